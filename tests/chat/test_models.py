"""The model that answers in a conversation, and two replies to one question: what is asked, kept and shown."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from llm_hoster.api_keys.api_key import ApiKey, owner_key
from llm_hoster.chat.message import Message
from llm_hoster.chat.model_choice import model_choice
from llm_hoster.chat.tree import Tree
from llm_hoster.engine.record.state import AdapterLook, write_state
from tests.chat.echo_engine import echo_engine
from tests.live_engine import wait_for
from tests.web_session import API_KEY, MakeClient, WebServer, ready_state

CHAT = "c" * 32
TWO = ready_state(adapters=("sql-lora",))
OWNER = owner_key(API_KEY)


def guest(*models: str) -> ApiKey:
    return ApiKey("key-1", "Ada", "d", created_at=0.0, models=models)


def test_the_base_model_comes_first_and_answers_where_nothing_is_kept() -> None:
    choice = model_choice(TWO, OWNER, {})
    assert list(choice.models.items()) == [("tiny", "Tiny model"), ("sql-lora", "sql-lora")]
    assert (choice.chosen, choice.lost) == ("tiny", None)
    assert list(model_choice(ready_state(), OWNER, {}).models) == ["tiny"]


def test_what_is_kept_answers_as_long_as_it_is_served() -> None:
    kept = {"model": "sql-lora"}
    assert model_choice(TWO, OWNER, kept).chosen == "sql-lora"
    away = model_choice(ready_state(adapters=()), OWNER, kept)
    assert (away.chosen, away.lost) == ("tiny", "sql-lora")
    assert model_choice(TWO, OWNER, {"model": ["sql-lora"]}).chosen == "tiny"


def test_a_key_is_offered_what_it_may_use() -> None:
    assert list(model_choice(TWO, guest(), {}).models) == ["tiny", "sql-lora"]
    assert model_choice(TWO, guest("sql-lora"), {}).chosen == "sql-lora"
    # Asking is refused then, with a sentence of its own.
    assert model_choice(TWO, guest("another"), {}).chosen == "tiny"


def test_a_branch_goes_on_from_the_first_of_its_choices_that_has_not_failed() -> None:
    question = Message("c", "user", "q", id="q", created_at=1.0)
    failed = Message("c", "assistant", id="a", parent_id="q", state="failed", created_at=2.0)
    good = Message("c", "assistant", "Yes", id="b", parent_id="q", created_at=3.0)
    assert Tree([question, failed, good]).whole_branch("q") == [question, good]
    assert Tree([question, failed]).whole_branch("q") == [question]
    assert Tree([question, failed, good]).whole_branch("a") == [question, failed]


class Chat:
    """A page of forms, as without script."""

    def __init__(self, server: WebServer, password: str = "p" * 32) -> None:
        self.server = server
        self.browser = requests.Session()
        self.browser.post(f"{server.url}/login", data={"password": password})

    def page(self) -> str:
        return self.browser.get(f"{self.server.url}/chat/{CHAT}").text

    def ask(self, text: str, **form: str) -> requests.Response:
        answer = self.browser.post(f"{self.server.url}/chat/{CHAT}/messages", data={"message": text} | form)
        self.wait()
        return answer

    def wait(self) -> None:
        wait_for(lambda: "message-stop" not in self.page(), "the replies end")

    def do(self, what: str, message_id: str) -> requests.Response:
        return self.browser.post(f"{self.server.url}/chat/messages/{message_id}/{what}")

    def ids(self) -> list[str]:
        return re.findall(r'<li id="message-(\w+)"', self.page())

    def prose(self) -> list[str]:
        return re.findall(r'<div class="prose"><p>(.*?)</p>', self.page())


@pytest.fixture
def gate(short_dir: Path) -> Iterator[threading.Event]:
    with echo_engine(short_dir / "echo.sock", piece=5, names_model=True) as gate:
        yield gate
        gate.set()


@pytest.fixture
def chat(make_server: Callable[..., WebServer], short_dir: Path, gate: threading.Event) -> Chat:
    return Chat(make_server(engine=short_dir / "echo.sock", state=TWO))


def test_a_form_without_script_chooses_a_model_and_the_chat_keeps_it(chat: Chat) -> None:
    chat.ask("One", model="sql-lora")
    chat.ask("Two")
    chat.ask("Three", model="tiny")
    chat.ask("Four", model="no-such-model")
    assert chat.prose() == ["sql-lora says: One", "sql-lora says: Two", "tiny says: Three", "tiny says: Four"]
    assert '<option value="tiny" selected>' in chat.page()
    # The next session has another base model: to go back to it is to choose nothing.
    exported = chat.browser.get(f"{chat.server.url}/chats/{CHAT}/export.json").json()
    assert exported["conversations"][0]["settings"] == {}
    assert chat.page().count("<span>sql-lora</span>") == 2


def test_a_reply_goes_on_in_the_words_of_its_own_model(chat: Chat) -> None:
    chat.ask("One", model="sql-lora")
    chat.browser.post(f"{chat.server.url}/chat/{CHAT}/model", data={"model": "tiny"})
    reply = chat.ids()[1]
    chat.do("continue", reply)
    chat.wait()
    assert chat.prose() == ["sql-lora says: Onesql-lora says: sql-lora says: One"]
    chat.do("again", reply)
    chat.wait()
    assert chat.prose() == ["tiny says: One"]


def test_two_replies_are_one_turn_of_the_conversation(chat: Chat) -> None:
    chat.ask("One", rival="sql-lora")
    assert chat.prose() == ["tiny says: One", "sql-lora says: One"]
    question, first, second = chat.ids()
    chat.do("choose", second)
    assert chat.ids() == [question, second] and "2 / 2" in chat.page()
    chat.ask("Two")
    chat.do("compare", first)
    assert chat.ids() == [question, first, second]
    chat.do("choose", second)
    assert chat.prose() == ["sql-lora says: One", "tiny says: Two"]


def test_a_question_without_a_choice_goes_on_from_the_first(chat: Chat) -> None:
    chat.ask("One", rival="tiny")
    chat.ask("Two")
    assert chat.prose() == ["tiny says: One", "tiny says: Two"] and "1 / 2" in chat.page()
    chat.ask("Three", rival="tiny")
    exported = chat.browser.get(f"{chat.server.url}/chats/{CHAT}/export.md").text
    assert exported.count("tiny says: Three") == 1


def test_a_second_question_waits_for_both(chat: Chat, gate: threading.Event) -> None:
    gate.clear()
    chat.browser.post(f"{chat.server.url}/chat/{CHAT}/messages", data={"message": "One", "rival": "tiny"})
    _, first, second = chat.ids()
    chat.browser.post(f"{chat.server.url}/chat/replies/{first}/stop")
    assert chat.browser.post(f"{chat.server.url}/chat/{CHAT}/messages", data={"message": "Two"}).status_code == 409
    # Who chooses has no use for the other.
    chat.do("choose", first)
    chat.do("show", second)
    wait_for(lambda: "<span>Stopped</span>" in chat.page(), "the other is stopped")
    gate.set()
    assert chat.ask("Two").status_code == 200


def test_a_guest_needs_a_place_for_each_and_leave_for_their_models(
    make_server: Callable[..., WebServer], short_dir: Path, gate: threading.Event
) -> None:
    server = make_server(engine=short_dir / "echo.sock", state=TWO)
    keys = f"{server.url}/keys/"
    owner = server.browser()
    page = owner.post(keys, data={"name": "Ada", "concurrent": "1"}).text
    ada = Chat(server, re.search(r"sk-llmh-[\w-]{43}", page)[0])  # type: ignore[index]
    assert ada.ask("One", rival="sql-lora").status_code == 429
    # The place of the first was given back.
    assert ada.ask("One").status_code == 200
    page = owner.post(keys, data={"name": "Bob", "models": "sql-lora"}).text
    bob = Chat(server, re.search(r"sk-llmh-[\w-]{43}", page)[0])  # type: ignore[index]
    bob.browser.post(f"{server.url}/chat/{'b' * 32}/messages", data={"message": "One", "model": "tiny"})
    shown = f"{server.url}/chat/{'b' * 32}"
    wait_for(lambda: "sql-lora says: One" in bob.browser.get(shown).text, "the model that Bob may use answers")


@pytest.mark.parametrize("what", ["choose", "compare"])
def test_what_cannot_be_chosen_or_compared_is_refused(chat: Chat, what: str) -> None:
    chat.ask("One")
    question, reply = chat.ids()
    assert chat.do(what, "f" * 32).status_code == 404
    assert chat.do(what, question).status_code == 404
    assert chat.do("compare", reply).status_code == 404


def test_a_page_hears_of_the_end_of_a_look_for_adapters(make_client: MakeClient) -> None:
    client = make_client(state=ready_state(adapters=(), adapter_look=AdapterLook(1.0)))
    assert "HX-Trigger" not in client.get("/engine/adapters").headers
    settings = client.application.extensions["llm_hoster"]["settings"]
    write_state(settings.state_path, ready_state(adapters=("sql-lora",), adapter_look=AdapterLook(1.0, 2.0, "One.")))
    assert client.get("/engine/adapters").headers["HX-Trigger"] == "adapters-changed"
    assert '<option value="sql-lora">' in client.get(f"/chat/{CHAT}/model").text
