"""Questions about files that are too long for the context."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.chat.documents import Documents, documents_of, long_files
from llm_hoster.chat.message import Message
from llm_hoster.chat.turn import Turn, next_turn
from llm_hoster.errors import AttachmentError
from tests.attachments.made_files import pdf
from tests.chat.remembering_engine import remembering_engine
from tests.page_faults import find_faults
from tests.web_session import WebServer

LIMIT = 4_000
FILLER = "Nothing of note was decided on that day by the committee of the northern district. "
REPORT = "\n\n".join(f"Chapter {number}\n\n{FILLER * 12}" for number in range(1, 41))
ANSWER = "The <b>gooseberry</b> harvest of the valley was 412 tonnes."


def report(answer: str = ANSWER) -> bytes:
    return REPORT.replace("Chapter 20\n", f"Chapter 20\n\n{answer}\n").encode()


def file(letter: str, tokens: int, kind: str = "text") -> Attachment:
    return Attachment(letter * 64, f"{letter}.txt", kind, 1, tokens=tokens)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> AttachmentStore:
    return AttachmentStore(tmp_path / "attachments")


def found(turn: Turn, store: AttachmentStore, limit: int = LIMIT) -> Documents:
    documents = documents_of(turn, store, limit)
    assert documents is not None
    return documents


def test_files_are_long_from_the_longest_on_until_the_others_leave_room() -> None:
    a, b, c = file("a", 1_500), file("b", 900), file("c", 1_000)
    assert long_files([a], LIMIT) == []
    assert long_files([file("a", 2_001)], LIMIT) == [file("a", 2_001)]
    assert long_files([c, a, b], LIMIT) == [a]
    assert long_files([c, a, b], 1_000) == [a, c, b]
    # The same file twice is one, and how many tokens a picture has is not for us to say.
    assert long_files([a, a, file("p", 9_000, "picture")], LIMIT) == []


def test_a_question_has_the_passages_of_the_long_files_in_place_of_them(store: AttachmentStore) -> None:
    turn = next_turn("c", [], "How much was the gooseberry harvest?", [store.add(report(), "report.txt")])
    documents = found(turn, store)
    assert [ANSWER in source.text for source in documents.sources].count(True) == 1
    assert ANSWER in documents.text and documents.text.endswith("How much was the gooseberry harvest?")
    assert len(documents.text) < LIMIT * 2
    assert documents.whole_files(turn.question) == []


def test_files_that_fit_are_sent_whole(store: AttachmentStore) -> None:
    long, short = store.add(report(), "report.txt"), store.add(b"short", "short.txt")
    assert documents_of(next_turn("c", [], "Why?", [short]), store, LIMIT) is None
    assert documents_of(next_turn("c", [], "Why?", [long]), store, 1_000_000) is None
    assert documents_of(next_turn("c", [], "Why?", [long]), store, None) is None
    turn = next_turn("c", [], "Why?", [long, short])
    assert found(turn, store).whole_files(turn.question) == [short]


def test_a_later_question_looks_into_the_same_files_again(store: AttachmentStore) -> None:
    first = Message("c", "user", "How was the gooseberry harvest?", attachments=[store.add(report(), "report.txt")])
    branch = [first, Message("c", "assistant", "Good.", parent_id=first.id)]
    documents = found(next_turn("c", branch, "What did chapter 7 decide?"), store)
    assert any("Chapter 7\n" in source.text for source in documents.sources)
    assert "report.txt (too long" in documents.names(first)
    # Nothing to search for: what was asked before still is the subject.
    assert ANSWER in found(next_turn("c", branch, "And why?"), store).text


def test_a_later_question_may_ask_for_one_file_or_for_all(store: AttachmentStore) -> None:
    other = "\n\n".join(f"Section {number}\n\n{FILLER * 12}" for number in range(1, 41)).encode()
    files = [store.add(report(), "alpha.txt"), store.add(other, "beta.txt")]
    first = Message("c", "user", "How was the gooseberry harvest?", attachments=files)
    branch = [first, Message("c", "assistant", "Good.", parent_id=first.id)]
    for question, names in (("Summarise both", ["alpha.txt", "beta.txt"]), ("What does beta say?", ["beta.txt"])):
        sources = found(next_turn("c", branch, question), store).sources
        assert [(source.name, source.first_line) for source in sources] == [(name, 1) for name in names]


def test_a_lost_file_stops_its_own_question_only(store: AttachmentStore) -> None:
    lost = store.add(report(), "report.txt")
    first = Message("c", "user", "How?", attachments=[lost])
    store.remove(lost.id)
    with pytest.raises(AttachmentError):
        documents_of(next_turn("c", [], "How?", [lost]), store, LIMIT)
    assert found(next_turn("c", [first], "And why?"), store).sources == []


# --- In the page ---


@pytest.fixture
def asked(short_dir: Path) -> Iterator[list[Any]]:
    with remembering_engine(short_dir / "engine.sock", limit=LIMIT) as asked:
        yield asked


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path, asked: list[Any]) -> WebServer:
    return make_server(engine=short_dir / "engine.sock")


def ask_about(page: Page, text: str, *files: tuple[str, bytes]) -> None:
    if files:
        payload: Any = [{"name": name, "mimeType": "", "buffer": data} for name, data in files]
        page.get_by_label("Attach files").set_input_files(payload)
        expect(page.locator("#attachments .attachment-facts")).to_have_count(len(files))
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".message-text").last).to_have_text(text)
    expect(page.locator(".message-stop")).to_have_count(0)


@pytest.mark.browser
def test_the_sources_of_a_reply_stand_under_it(open_page: Callable[..., Page], asked: list[Any]) -> None:
    page = open_page()
    payload: Any = {"name": "report.txt", "mimeType": "", "buffer": report()}
    page.get_by_label("Attach files").set_input_files(payload)
    expect(page.get_by_text("Too long to be read whole")).to_be_visible()
    ask_about(page, "How much was the gooseberry harvest?")
    told = asked[-1][-1]["content"]
    assert ANSWER in told and len(told) < LIMIT * 2

    number = next(number for number, part in enumerate(told.split("\n[")) if ANSWER in part)
    source = page.locator(".sources li details").nth(number - 1)
    expect(page.locator(".source-text", has_text="committee")).to_have_count(0)
    expect(source.locator("summary")).to_have_text(re.compile(r"^\[\d+\] report\.txt, lines \d+ to \d+$"))
    expect(page.get_by_text(ANSWER)).not_to_be_visible()
    source.locator("summary").click()
    expect(page.get_by_text(ANSWER)).to_be_visible()
    page.reload()
    page.locator(".sources li details", has_text="report.txt").first.click()
    expect(page.locator(".source-text", has_text="committee").first).to_be_visible()
    reply = page.locator(".message-assistant").get_attribute("id")
    address = f"/chat/messages/{(reply or '').removeprefix('message-')}/passages"
    shown = page.request.get(f"{address}/{number}")
    assert ANSWER in shown.text() and shown.headers["content-type"].startswith("text/plain")
    assert [page.request.get(f"{address}/{number}").status for number in (0, 99)] == [404, 404]
    # The long file is not sent again with what is asked next.
    ask_about(page, "What did chapter 7 decide?")
    assert [len(message["content"]) < LIMIT * 2 for message in asked[-1]] == [True] * 3
    assert "Chapter 7" in asked[-1][-1]["content"] and ANSWER not in str(asked[-1])
    exported = page.request.get(f"/chats/{page.url.rpartition('/')[2]}/export.md").text()
    assert "Read of the attached files:" in exported and "report.txt, lines" in exported


@pytest.mark.browser
def test_axe_finds_nothing_in_sources(open_page: Callable[..., Page]) -> None:
    page = open_page(bypass_csp=True)
    pages = [f"{FILLER * 8} Page {number}." for number in range(1, 31)]
    ask_about(page, "What is on page 17?", ("report.pdf", pdf(pages)))
    expect(page.locator(".sources")).to_be_visible()
    page.locator(".sources li summary").first.click()
    assert find_faults(page) == []
