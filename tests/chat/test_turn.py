"""What is done with one message: asked again, in other words, gone on with, rated, copied; and branches switched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from llm_hoster.chat.conversation_settings import ConversationSettings
from llm_hoster.chat.engine_request import engine_request
from llm_hoster.chat.message import Message
from llm_hoster.chat.tree import Tree
from llm_hoster.chat.turn import Turn, edited_turn, next_turn, repeated_turn
from tests.chat.echo_engine import echo_engine
from tests.live_engine import wait_for
from tests.web_session import WebServer

CHAT = "c" * 32


def chain(*texts: str) -> list[Message]:
    found: list[Message] = []
    for number, text in enumerate(texts):
        role = "assistant" if number % 2 else "user"
        parent_id = found[-1].id if found else None
        found.append(Message(CHAT, role, text, id=text, parent_id=parent_id, created_at=float(number)))  # type: ignore[arg-type]
    return found


BRANCH = chain("q1", "a1", "q2", "a2")
TREE = Tree(BRANCH)


def asked(turn: Turn, **settings: str) -> dict[str, Any]:
    return engine_request(turn, ConversationSettings.from_json(settings), lambda message: message.content)


def words(turn: Turn, **settings: str) -> list[str]:
    return [message["content"] for message in asked(turn, **settings)["messages"]]


def test_a_question_at_the_end_has_all_before_it() -> None:
    turn = next_turn(CHAT, BRANCH, "q3")
    assert (words(turn), turn.question.parent_id) == (["q1", "a1", "q2", "a2", "q3"], "a2")


def test_a_question_in_other_words_has_what_came_before_the_former_one() -> None:
    turn = edited_turn(TREE, BRANCH[2], "other")
    assert (words(turn), turn.question.parent_id) == (["q1", "a1", "other"], "a1")
    assert words(edited_turn(TREE, BRANCH[0], "other")) == ["other"]


def test_what_the_model_is_told_first_stands_first() -> None:
    assert words(next_turn(CHAT, [], "q"), system_prompt="Be brief.") == ["Be brief.", "q"]


def test_one_more_reply_answers_the_same_question() -> None:
    turn = repeated_turn(TREE, BRANCH[3])
    assert (words(turn), turn.reply.parent_id, turn.is_question_new) == (["q1", "a1", "q2"], "q2", False)


def test_a_reply_that_goes_on_begins_with_what_there_is() -> None:
    body = asked(repeated_turn(TREE, BRANCH[3], goes_on=True))
    assert body["messages"][-1] == {"role": "assistant", "content": "a2"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_half_a_thought_is_nothing_to_go_on_from() -> None:
    thought = Message(CHAT, "assistant", "", id="a3", parent_id="q1", reasoning="Hm", finish_reason="length")
    turn = repeated_turn(Tree([*BRANCH, thought]), thought, goes_on=True)
    assert (words(turn), turn.reply.reasoning, thought.can_go_on) == (["q1"], "", False)


def test_a_reply_whose_question_is_lost_cannot_be_repeated() -> None:
    with pytest.raises(LookupError):
        repeated_turn(Tree(BRANCH[1:2]), BRANCH[1])


class Chat:
    """A page of forms and links, as without script."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.browser = server.browser()

    def questions(self) -> list[str]:
        return re.findall(r'<div class="message-text">(.*?)</div>', self.page())

    def page(self) -> str:
        return self.browser.get(f"{self.server.url}/chat/{CHAT}").text

    def ask(self, text: str) -> None:
        answer = self.browser.post(f"{self.server.url}/chat/{CHAT}/messages", data={"message": text})
        assert answer.status_code == 200
        self.wait()

    def wait(self) -> None:
        wait_for(lambda: "message-stop" not in self.page(), "the reply ends")

    def ids(self) -> list[str]:
        return re.findall(r'<li id="message-(\w+)"', self.page())

    def do(self, what: str, message_id: str, **form: str) -> requests.Response:
        answer = self.browser.post(f"{self.server.url}/chat/messages/{message_id}/{what}", data=form)
        self.wait()
        return answer


@pytest.fixture
def chat(make_server: Callable[..., WebServer], short_dir: Path) -> Any:
    with echo_engine(short_dir / "echo.sock", piece=5):
        yield Chat(make_server(engine=short_dir / "echo.sock"))


def test_branches_stand_beside_each_other_and_can_be_switched(chat: Chat) -> None:
    chat.ask("Apples")
    question, reply = chat.ids()
    assert "1 / 2" not in chat.page()

    assert chat.do("again", reply).status_code == 200
    assert "2 / 2" in chat.page() and reply not in chat.ids()
    chat.do("edit", question, message="Pears")
    other = chat.ids()[0]
    assert chat.questions() == ["Pears"]
    chat.ask("Plums")

    chat.do("show", question)
    assert chat.questions() == ["Apples"]
    chat.do("show", other)
    assert chat.questions() == ["Pears", "Plums"]
    chat.do("show", reply)
    assert chat.ids() == [question, reply] and "1 / 2" in chat.page()


def test_a_reply_goes_on_where_it_ended(chat: Chat) -> None:
    chat.ask("Half of it")
    _, reply = chat.ids()
    chat.do("continue", reply)
    # The engine says again what it was told last: the half that there was.
    assert "Half of itHalf of it" in chat.page()
    assert "2 / 2" in chat.page()


def test_a_rating_is_kept_and_taken_back(chat: Chat) -> None:
    chat.ask("Apples")
    _, reply = chat.ids()
    for rating, pressed in (("good", ["true", "false"]), ("bad", ["false", "true"]), ("bad", ["false", "false"])):
        chat.do("rating", reply, rating=rating)
        assert re.findall(r'name="rating"[^>]*aria-pressed="(\w+)"', chat.page()) == pressed


def test_the_source_is_what_was_written(chat: Chat) -> None:
    text = "# A <b>head</b>\n\n| a |\n|---|"
    chat.ask(text)
    answer = chat.browser.get(f"{chat.server.url}/chat/messages/{chat.ids()[1]}/source")
    assert (answer.text, answer.headers["Content-Type"]) == (text, "text/plain; charset=utf-8")


@pytest.mark.parametrize("what", ["again", "continue", "edit", "show", "rating"])
def test_what_is_not_there_or_of_the_other_side_is_refused(chat: Chat, what: str) -> None:
    chat.ask("Apples")
    question, reply = chat.ids()
    assert chat.do(what, "f" * 32, message="x").status_code == 404
    if what != "show":
        wrong = reply if what == "edit" else question
        assert chat.do(what, wrong, message="x").status_code == 404
    assert json.dumps(chat.ids()) == json.dumps([question, reply])
