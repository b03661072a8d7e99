"""A conversation that grows too long: counted, warned of, cut, summarised, gone on with elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.chat.context import context_use, left_out, turns_of
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.cut import SUMMARY, TAKEN, Cut, Cuts
from llm_hoster.chat.failure import CONTEXT_FULL
from llm_hoster.chat.message import Message
from tests.chat.history_files import add_turns
from tests.chat.limited_engine import LimitedEngine, limited_engine
from tests.live_engine import wait_for
from tests.web_session import MakeClient, WebServer

CHAT = "c" * 32
LIMIT = 400
WORDS = "word " * 40


def chain(*texts: str, **counts: tuple[int, int]) -> list[Message]:
    """Make a branch; `a1=(10, 2)` are the tokens of the reply with the text a1."""
    found: list[Message] = []
    for number, text in enumerate(texts):
        message = Message(CHAT, "assistant" if number % 2 else "user", text, id=text, created_at=float(number + 1))
        message.parent_id = found[-1].id if found else None
        if text in counts:
            message.prompt_tokens, message.completion_tokens = counts[text]
        found.append(message)
    return found


def content_of(message: Message) -> str:
    return message.content


def ids(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


class TestCuts:
    branch = chain("q1", "a1", "q2", "a2")

    def test_what_stands_above_is_not_read(self) -> None:
        assert ids(Cuts((Cut("a1"),)).read_part(self.branch)) == ["q2", "a2"]

    def test_a_summary_stands_in_its_place(self) -> None:
        read = ids(Cuts((Cut("a1", "They met."),)).read_part(self.branch))
        assert read == [SUMMARY.format(summary="They met."), TAKEN, "q2", "a2"]

    def test_of_another_branch_it_says_nothing(self) -> None:
        other = [*self.branch[:1], Message(CHAT, "assistant", "a1b", id="a1b", parent_id="q1")]
        assert ids(Cuts((Cut("a1", "They met."),)).read_part(other)) == ["q1", "a1b"]

    def test_the_last_one_on_a_branch_counts_and_without_it_the_one_before(self) -> None:
        cuts = Cuts((Cut("a2"), Cut("a1"), Cut("", "Before.", "f" * 32)))
        assert cuts.on(self.branch) == Cut("a2")
        assert cuts.without("a2").on(self.branch) == Cut("a1")
        assert cuts.without("a2").without("a1").on(self.branch) == Cut("", "Before.", "f" * 32)

    def test_they_are_kept_as_json(self) -> None:
        cuts = Cuts().with_cut(Cut("a1")).with_cut(Cut("a1", "Better."))
        assert Cuts.from_json(cuts.to_json()) == cuts
        assert cuts.cuts == (Cut("a1", "Better."),)

    @pytest.mark.parametrize("hostile", [
        None, 1, [], {"cuts": 1}, {"cuts": [1, None, {"after": 1}, {"summary": []}], "changed_at": "x"},
    ])  # fmt: skip
    def test_of_what_is_none_nothing_is_taken(self, hostile: Any) -> None:
        assert Cuts.from_json({"context": hostile}) == Cuts()


class TestUse:
    branch = chain("q1", "a1", "q2", "a2", a1=(10, 2), a2=(30, 5))

    def test_the_engines_count_of_the_last_turn_is_exact(self) -> None:
        use = context_use(self.branch, Cuts(), content_of, 100)
        assert (use.tokens, use.is_exact, use.level) == (35, True, "ok")

    def test_a_reply_without_a_count_makes_it_a_guess(self) -> None:
        stopped = [*self.branch, Message(CHAT, "user", "x" * 40), Message(CHAT, "assistant", "y" * 40, state="stopped")]
        use = context_use(stopped, Cuts(), content_of, 100)
        assert (use.tokens, use.is_exact) == (35 + 20, False)

    def test_a_question_without_a_reply_is_not_sent_again(self) -> None:
        failed = [*self.branch, Message(CHAT, "user", "x" * 400), Message(CHAT, "assistant", state="failed")]
        assert context_use(failed, Cuts(), content_of, 100).tokens == 35

    def test_a_cut_that_was_made_since_makes_it_a_guess(self) -> None:
        use = context_use(self.branch, Cuts((Cut("a1"),), changed_at=9.0), content_of, 100)
        assert (use.tokens, use.is_exact) == (1, False)
        use = context_use(self.branch, Cuts((Cut("a1"),), changed_at=1.5), content_of, 100)
        assert (use.tokens, use.is_exact) == (35, True)

    def test_thoughts_are_not_sent_again(self) -> None:
        branch = chain("q1", "answer", answer=(10, 20))
        branch[-1].reasoning = "x" * 6
        use = context_use(branch, Cuts(), content_of, 100)
        assert (use.tokens, use.is_exact) == (20, False)

    @pytest.mark.parametrize(("tokens", "level"), [(59, "ok"), (60, "near"), (74, "near"), (75, "full")])
    def test_levels(self, tokens: int, level: str) -> None:
        branch = chain("q1", "a1", a1=(tokens, 0))
        assert context_use(branch, Cuts(), content_of, 100).level == level
        assert context_use(branch, Cuts(), content_of).level == "ok"

    def test_what_a_reply_may_have_is_kept_for_it(self) -> None:
        use = context_use(chain("q1", "a1", a1=(55, 0)), Cuts(), content_of, 100, 50)
        assert (use.near, use.full, use.level) == (40, 50, "full")

    def test_of_a_question_that_did_not_fit_alone_nothing_can_be_left_out(self) -> None:
        refused = Message(CHAT, "assistant", state="failed", failure=f"{CONTEXT_FULL}100 tokens", id="r")
        branch = [Message(CHAT, "user", "q"), refused]
        assert context_use(branch, Cuts(), content_of, 100).level == "alone"
        assert context_use([*self.branch, *branch], Cuts(), content_of, 100).level == "refused"
        assert context_use([*self.branch, *branch], Cuts((Cut("a2", "They met."),)), content_of, 100).level == "alone"


@pytest.mark.parametrize(("budget", "gone"), [(100, 1), (4, 1), (3, 2), (2, 2), (1, 3), (0, 3), (-5, 3)])
def test_the_oldest_turns_are_left_out(budget: int, gone: int) -> None:
    branch = chain("q1", "a1", "q2", "a2", "q3", "a3")
    turns = turns_of(branch)
    assert left_out(turns, budget, len) == branch[: 2 * gone]


class Chat:
    """A page of forms and links, as without script."""

    def __init__(self, server: WebServer, engine: LimitedEngine) -> None:
        self.url = f"{server.url}/chat/{CHAT}"
        self.server, self.engine = server, engine
        self.browser = server.browser()

    def page(self, path: str = "") -> str:
        answer = self.browser.get(f"{self.url}{path}", timeout=30)
        assert answer.status_code == 200
        return unescape(answer.text)

    def ask(self, text: str, status: int = 200) -> str:
        answer = self.browser.post(f"{self.url}/messages", data={"message": text}, timeout=30)
        assert answer.status_code == status, answer.text
        if status == 200:
            self.wait()
        return unescape(answer.text)

    def wait(self) -> None:
        wait_for(lambda: "message-stop" not in self.page(), "the reply ends")

    def choose(self, what: str, status: int = 200, **form: str) -> str:
        answer = self.browser.post(f"{self.url}/context/{what}", data=form, timeout=30)
        assert answer.status_code == status, answer.text
        return unescape(answer.text)

    def meter(self) -> str:
        found = re.search(r'class="context-tokens">([^<]*)<', self.page("/context"))
        assert found is not None
        return found[1]

    def level(self) -> str:
        found = re.search(r'data-level="(\w+)"', self.page("/context"))
        assert found is not None
        return found[1]

    def reply_ids(self) -> list[str]:
        return re.findall(r'<li id="message-(\w+)" class="message message-assistant', self.page())

    def wait_for_summary(self) -> None:
        wait_for(lambda: "writes a summary" not in self.page(), "the summary ends")


@pytest.fixture
def engine(short_dir: Path) -> Iterator[LimitedEngine]:
    with limited_engine(short_dir / "limited.sock", LIMIT) as engine:
        yield engine


@pytest.fixture
def chat(make_server: Callable[..., WebServer], short_dir: Path, engine: LimitedEngine) -> Chat:
    return Chat(make_server(engine=short_dir / "limited.sock"), engine)


def test_the_meter_tells_what_the_engine_has_counted(chat: Chat) -> None:
    assert chat.meter() == f"0 of {LIMIT} tokens"
    chat.ask("one two three")
    # Three words and four for the message; three words of the reply.
    assert chat.meter() == f"10 of {LIMIT} tokens"
    assert f"10 of {LIMIT} tokens" in chat.page()
    # One request, for the limit alone, however often one looks.
    assert len(chat.engine.counted) == 1


def test_a_branch_without_a_count_is_counted_once(chat: Chat) -> None:
    chat.ask("one two three")
    chat.meter()
    chat.choose("undo", after="")
    before = len(chat.engine.counted)
    assert f"about 7 of {LIMIT} tokens" in chat.page()
    # The question that comes next has four, too.
    assert [chat.meter(), chat.meter()] == [f"18 of {LIMIT} tokens"] * 2
    assert len(chat.engine.counted) == before + 1


def test_tools_are_counted_with_the_messages(chat: Chat) -> None:
    tools = json.dumps([{"name": "get_time", "description": "Tell the time.", "parameters": {"type": "object"}}])
    chat.browser.post(f"{chat.url}/settings", data={"tools": tools}, timeout=30).raise_for_status()
    chat.ask("one two three")
    assert chat.meter() == f"14 of {LIMIT} tokens"
    chat.choose("undo", after="")
    assert chat.meter() == f"22 of {LIMIT} tokens"
    # And where a question is looked at before it is asked.
    counted = len(chat.engine.counted)
    chat.ask("word " * LIMIT, 413)
    assert all(each["tools"][0]["function"]["name"] == "get_time" for each in chat.engine.counted[counted:])
    assert len(chat.engine.counted) == counted + 1


def test_people_are_warned_before_it_is_full(chat: Chat) -> None:
    chat.meter()
    assert 'hx-swap-oob="true" hidden>' in chat.page("/context")
    while "near" not in chat.level():
        chat.ask(WORDS)
    assert 'hx-swap-oob="true">' in chat.page("/context") and "Leave out the oldest" in chat.page()
    chat.ask(WORDS)
    assert chat.level() == "full"


def test_a_question_that_does_not_fit_is_refused_before_anything_is_written(chat: Chat) -> None:
    chat.meter()
    for _ in range(5):
        chat.ask(WORDS)
    asked = len(chat.engine.asked)
    assert "the model can read 400" in chat.ask("word " * 120, 413)
    assert (len(chat.engine.asked), len(chat.reply_ids())) == (asked, 5)


def test_a_first_question_that_does_not_fit_is_told_to_be_shortened(chat: Chat) -> None:
    chat.meter()
    assert "This message alone has" in chat.ask("word " * LIMIT, 413)


def test_the_oldest_messages_are_left_out_and_read_again(chat: Chat) -> None:
    for number in range(5):
        chat.ask(f"q{number} {WORDS}")
    page = chat.choose("leave-out")
    assert "The model no longer reads what is above" in page
    chat.ask("next")
    words = chat.engine.last_words()
    assert words[0].startswith("q3") and words[-1] == "next" and len(words) == 5
    used = chat.meter()

    after = re.search(r'name="after" value="(\w+)"', page)
    assert after is not None
    assert "no longer reads" not in chat.choose("undo", after=after[1])
    assert chat.meter() != used
    chat.meter()
    chat.choose("leave-out", message="word " * 240)
    chat.ask("last")
    assert chat.engine.last_words()[0] == "next"


def test_what_the_engine_refuses_is_asked_again_with_less(chat: Chat) -> None:
    for number in range(5):
        chat.ask(f"q{number} {WORDS}")
    # The limit is not known before somebody has looked: then the engine says it.
    chat.ask("big " * 200)
    page = chat.page()
    assert "longer than the 400 tokens that the model can read" in page
    assert chat.level() == "refused"

    chat.choose("leave-out")
    chat.wait()
    assert chat.engine.last_words()[-1].startswith("big big")
    assert "that the model can read" not in chat.page()
    assert "2 / 2" in chat.page()


def test_a_message_that_is_too_long_alone_is_told_so(chat: Chat) -> None:
    chat.ask("big " * 450)
    assert chat.level() == "alone"
    assert "nothing before this message" in chat.choose("leave-out", 409)
    chat.ask(WORDS)
    assert "This message alone has 504 tokens" in chat.choose("leave-out", 413, message="word " * 500)
    assert "no longer reads" not in chat.page()


def test_a_summary_stands_for_what_came_before(chat: Chat) -> None:
    for number in range(6):
        chat.ask(f"q{number} {WORDS}")
    chat.engine.gate.clear()
    page = chat.choose("summary")
    assert "The model writes a summary" in page
    wait_for(lambda: "They spoke about words." in chat.page("/context/summary"), "the summary is shown as it grows")
    assert "context-cut" not in chat.page()
    chat.engine.gate.set()
    chat.wait_for_summary()
    page = chat.page()
    assert "The model reads a summary of what is above" in page and "<p>They spoke about words.</p>" in page

    # The history was read in pieces that fit, each with the summary of those before it.
    asked = [each["messages"][0]["content"] for each in chat.engine.asked if "max_tokens" in each]
    assert len(asked) > 1 and all("They spoke about words." in each for each in asked[1:])
    assert "q0" in asked[0]

    chat.ask("next")
    words = chat.engine.last_words()
    assert words[:2] == [SUMMARY.format(summary="They spoke about words."), TAKEN]
    assert words[2].startswith("q5") and words[-1] == "next"


def test_a_summary_can_be_stopped_and_leaves_all_as_it_was(chat: Chat) -> None:
    chat.ask(WORDS)
    chat.engine.gate.clear()
    chat.choose("summary")
    assert chat.choose("summary", 409)
    page = chat.choose("summary/stop")
    assert "writes a summary" not in page and "reads a summary" not in page
    chat.engine.gate.set()
    chat.ask("next")
    assert chat.engine.last_words()[0].startswith("word")
    assert 'class="warn"' not in chat.page()


@pytest.mark.parametrize("fault", ["broken", "empty", "too small"])
def test_a_summary_that_fails_says_why(chat: Chat, fault: str) -> None:
    for number in range(3):
        chat.ask(f"q{number} {WORDS}")
    chat.meter()
    if fault == "broken":
        chat.engine.is_broken = True
    elif fault == "empty":
        chat.engine.summary = "<think>They spoke"
    else:
        chat.engine.limit = 20
    chat.choose("summary")
    sentence = {"broken": "The engine is broken.", "empty": "wrote no summary", "too small": "too little at once"}
    wait_for(lambda: sentence[fault] in chat.page("/context"), "it is told")
    assert "reads a summary" not in chat.page()
    assert sentence[fault] in chat.page("/context/summary")
    # Told once, and not for ever.
    assert sentence[fault] not in chat.page("/context")


def test_a_new_chat_begins_with_a_summary(chat: Chat) -> None:
    chat.ask(f"Apples {WORDS}")
    chat.choose("summary", new="1")
    wait_for(lambda: "go on in the new chat" in chat.page(), "the summary is there")
    answer = chat.browser.get(f"{chat.url}/context/summary", timeout=30)
    address = answer.headers["HX-Redirect"]
    page = chat.browser.get(chat.server.url + address, timeout=30).text
    assert "This chat begins with a summary of an earlier one" in page
    assert f'href="/chat/{CHAT}"' in page and "<p>They spoke about words.</p>" in page
    assert "What would you like to know?" not in page
    assert "Continued: Apples" in page
    chat.url = chat.server.url + address
    assert chat.meter() != f"0 of {LIMIT} tokens"
    chat.ask("next")
    assert chat.engine.last_words() == [SUMMARY.format(summary="They spoke about words."), TAKEN, "next"]


def test_other_settings_stay_with_a_cut(make_client: MakeClient) -> None:
    client = make_client()
    store: ConversationStore = client.application.extensions["llm_hoster"]["store"]
    add_turns(store, CHAT, 1)
    store.change(CHAT, "owner", {"settings": {"system_prompt": "Be brief.", "context": {"cuts": [{"after": "x"}]}}})
    assert client.post(f"/chat/{CHAT}/context/undo", data={"after": "x"}).status_code == 303
    conversation = store.find_conversation(CHAT, "owner")
    assert conversation is not None and conversation.settings.keys() == {"system_prompt", "context"}
    assert Cuts.from_json(conversation.settings).cuts == ()


def test_of_another_persons_chat_nothing_is_told_or_done(chat: Chat) -> None:
    chat.url = f"{chat.server.url}/chat/{'d' * 32}"
    for what in ("leave-out", "undo", "summary", "summary/stop"):
        chat.choose(what, 404)
    assert chat.browser.get(f"{chat.url}/context/summary", timeout=30).status_code == 404
    assert chat.meter() == f"0 of {LIMIT} tokens"
