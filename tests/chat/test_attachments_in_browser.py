"""Files that come to a message by the button, by drag, by paste and from the cluster, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from llm_hoster.engine.record.state import write_state
from tests.attachments.made_files import pdf, png
from tests.chat.remembering_engine import remembering_engine
from tests.page_faults import find_faults
from tests.web_session import WebServer, ready_state, starting_state

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
DROP = """([selector, name, text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], name));
    const target = document.querySelector(selector);
    for (const kind of ["dragover", "drop"]) {
        target.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
        if (kind === "dragover") window.isOffered = document.querySelector(".drop-hint").checkVisibility();
    }
}"""
PASTE = """([text, name, others]) => {
    const transfer = new DataTransfer();
    if (name) transfer.items.add(new File([text], name)); else transfer.setData("text/plain", text);
    for (const [type, words] of Object.entries(others ?? {})) transfer.setData(type, words);
    const paste = new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
    return document.getElementById("message").dispatchEvent(paste);
}"""


@pytest.fixture
def asked(short_dir: Path) -> Iterator[list[Any]]:
    with remembering_engine(short_dir / "engine.sock", sees=True) as asked:
        yield asked


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path, asked: list[Any]) -> WebServer:
    return make_server(engine=short_dir / "engine.sock")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the session's owner; asked for before `server`."""
    folder = tmp_path / "home"
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / "loss.csv").write_text("step,loss\n1,0.5\n")
    (folder / "notes.md").write_text("# Notes of mine\n")
    (folder / ".hidden.txt").write_text("hidden")
    (folder / "key.pem").write_text("secret")
    (folder / "key.pem").chmod(0)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def chips(page: Page) -> Locator:
    return page.locator("#attachments .attachment")


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    payload: Any = [{"name": name, "mimeType": "", "buffer": data} for name, data in files]
    page.get_by_label("Attach files").set_input_files(payload)


def send(page: Page, text: str = "What is it?") -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".message-assistant .prose").last).to_have_text("Read.")
    expect(page.locator(".message-stop")).to_have_count(0)


def test_files_of_the_button_go_with_the_message_and_stand_under_it(open_page: OpenPage, asked: list[Any]) -> None:
    page = open_page()
    choose(page, ("plan.txt", b"one two three"), ("report.pdf", pdf(["Page one"])), ("pixel.png", png(30, 20)))
    expect(chips(page)).to_have_count(3)
    expect(chips(page).first).to_contain_text("tokens")
    page.get_by_role("button", name="Remove report.pdf").click()
    expect(chips(page)).to_have_count(2)
    send(page)

    content = asked[-1][-1]["content"]
    assert content[0]["text"].startswith("File: plan.txt\n```txt\none two three\n```")
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")
    expect(chips(page)).to_have_count(0)
    question = page.locator(".message-user")
    expect(question.get_by_role("link", name="plan.txt")).to_be_visible()
    picture = question.get_by_role("img", name="Preview of pixel.png")
    page.wait_for_function("image => image.complete && image.naturalWidth === 30", arg=picture.element_handle())
    with page.expect_download() as download:
        question.get_by_role("link", name="plan.txt").click()
    assert (download.value.suggested_filename, download.value.path().read_bytes()) == ("plan.txt", b"one two three")


def test_an_edit_keeps_the_files_that_are_left_in_it(open_page: OpenPage, asked: list[Any]) -> None:
    page = open_page()
    choose(page, ("a.txt", b"aaa"), ("b.txt", b"bbb"))
    expect(chips(page)).to_have_count(2)
    send(page)
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Remove a.txt").click()
    page.get_by_label("Your message in other words").fill("In other words")
    page.locator(".edit").get_by_role("button", name="Send").click()
    expect(page.locator(".message-text")).to_have_text("In other words")
    expect(page.locator(".message-user .attachment")).to_have_text([re.compile("b.txt")])
    assert asked[-1][-1]["content"] == "File: b.txt\n```txt\nbbb\n```\n\nIn other words"


def test_what_is_dropped_and_pasted_becomes_files(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(DROP, ["#thread", "dropped.py", "print(1)"])
    assert page.evaluate("window.isOffered")
    expect(chips(page)).to_contain_text(["dropped.py"])
    assert page.evaluate(PASTE, ["print(2)", "pasted.py"]) is False
    expect(chips(page)).to_contain_text(["dropped.py", "pasted.py"])
    expect(page.locator(".drop-hint")).to_be_hidden()
    # A short text is the browser's to paste.
    assert page.evaluate(PASTE, ["short", ""]) is True


def test_a_picture_that_a_browser_has_copied_is_attached_and_one_of_a_text_is_not(open_page: OpenPage) -> None:
    page = open_page()
    html = {"text/html": "<img src='https://example.org/a.png'>"}
    assert page.evaluate(PASTE, ["one", "copied.txt", html]) is False
    expect(chips(page)).to_contain_text(["copied.txt"])
    assert page.evaluate(PASTE, ["two", "white.txt", html | {"text/plain": "\r\n"}]) is False
    expect(chips(page)).to_contain_text(["copied.txt", "white.txt"])
    # Office gives a picture of what it has copied.
    assert page.evaluate(PASTE, ["three", "cells.txt", html | {"text/plain": "1\t2"}]) is True
    expect(chips(page)).to_have_count(2)


def test_a_folder_that_is_dropped_is_told_from_a_file(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    (tmp_path / "my folder").mkdir()
    (tmp_path / "single.txt").write_text("single")
    files = [str(tmp_path / name) for name in ("my folder", "single.txt")]
    browser = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": files, "dragOperationsMask": 1}
        browser.send("Input.dispatchDragEvent", {"type": kind, "x": 500, "y": 300, "data": data})
    expect(chips(page)).to_have_count(2)
    expect(page.locator(".attachment-failed")).to_have_text(re.compile("my folder.*This is a folder. Choose the files"))
    expect(chips(page).last).to_contain_text("single.txt")
    expect(page.locator(".attachment-reading")).to_have_count(0)


def test_a_file_that_is_dropped_on_a_panel_or_is_too_large_is_not_sent(open_page: OpenPage, asked: list[Any]) -> None:
    page = open_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if request.method == "POST" else None)
    page.evaluate(DROP, ["#thread", "large.txt", "x" * 20_000_001])
    expect(page.locator(".attachment-failed")).to_contain_text("too large")
    page.get_by_role("link", name="Attached files").click()
    expect(page.locator("#panel").get_by_text("There are none.")).to_be_visible()
    page.evaluate(DROP, ["#panel", "beside.txt", "x"])
    assert not page.evaluate("window.isOffered")
    expect(chips(page)).to_have_count(1)
    assert requests == []


def test_a_long_paste_becomes_a_file_or_goes_into_the_message(open_page: OpenPage) -> None:
    page = open_page()
    text = "word " * 2000
    assert page.evaluate(PASTE, [text, ""]) is False
    expect(chips(page)).to_contain_text(["Pasted text"])
    expect(page.get_by_label("Message")).to_have_value("")
    page.get_by_role("button", name="Put it into the message instead").click()
    expect(page.get_by_label("Message")).to_have_value(text)
    expect(chips(page)).to_have_count(0)


def test_a_file_that_cannot_be_read_says_so_and_holds_the_message_back(open_page: OpenPage, asked: list[Any]) -> None:
    page = open_page(bypass_csp=True)  # A refusal stands in the console, too.
    choose(page, ("good.txt", b"good"), ("empty.txt", b""))
    expect(page.locator(".attachment-failed")).to_contain_text('"empty.txt" is empty.')
    page.get_by_label("Message").fill("What is it?")
    page.keyboard.press("Enter")
    expect(page.locator("#error")).to_contain_text("A file could not be attached.")
    page.locator(".attachment-failed").get_by_role("button", name="Remove").click()
    page.keyboard.press("Enter")
    send(page)
    assert "good" in asked[-1][-1]["content"]
    assert len(asked) == 1


def test_files_wait_for_an_engine_that_is_started_again(
    open_page: OpenPage, server: WebServer, asked: list[Any]
) -> None:
    page = open_page()
    choose(page, ("a.txt", b"aaa"))
    expect(chips(page)).to_contain_text(["a.txt"])
    write_state(server.settings.state_path, starting_state())
    page.evaluate("htmx.trigger(document.body, 'engine-changed')")
    expect(page.get_by_label("Message")).to_have_count(0)
    write_state(server.settings.state_path, ready_state())
    expect(chips(page)).to_contain_text(["a.txt"])
    send(page)
    assert "aaa" in asked[-1][-1]["content"]


def test_the_owner_chooses_files_of_the_cluster(home: Path, open_page: OpenPage, asked: list[Any]) -> None:
    page = open_page()
    page.get_by_role("link", name="Files on the cluster").click()
    panel = page.locator("#panel")
    expect(panel.get_by_label("Path of a folder or a file")).to_have_value(str(home))
    expect(panel.get_by_text(".hidden.txt")).to_have_count(0)
    panel.get_by_role("link", name="Show hidden files").click()
    expect(panel.get_by_label(".hidden.txt")).to_be_visible()
    panel.get_by_role("link", name="runs/").click()
    panel.get_by_label("loss.csv").check()
    panel.get_by_role("button", name="Attach what is chosen").click()
    expect(panel).to_be_hidden()
    expect(chips(page)).to_contain_text(["loss.csv"])

    page.get_by_role("link", name="Files on the cluster").click()
    path = panel.get_by_label("Path of a folder or a file")
    path.fill("/nowhere")
    path.press("Enter")
    expect(panel.get_by_role("alert").first).to_contain_text("There is no /nowhere on this node.")
    path.fill(str(home / "notes.md"))
    path.press("Enter")
    expect(panel.get_by_label("notes.md")).to_be_checked()
    panel.get_by_role("button", name="Attach what is chosen").click()
    expect(chips(page)).to_contain_text(["loss.csv", "notes.md"])
    send(page)
    assert "step,loss" in asked[-1][-1]["content"] and "# Notes of mine" in asked[-1][-1]["content"]


@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_page(home: Path, open_page: OpenPage, width: int) -> None:
    page = open_page(bypass_csp=True, viewport={"width": width, "height": 800})
    choose(page, (f"{'a_long_name_' * 8}.txt", b"one"), ("empty.txt", b""), ("pixel.png", png(30, 20)))
    expect(page.locator(".attachment-failed")).to_be_visible()
    expect(chips(page).last).to_contain_text("Picture, 30")
    assert_neat(page)
    page.get_by_role("link", name="Files on the cluster").click()
    expect(page.locator("#panel").get_by_text("notes.md")).to_be_visible()
    assert_neat(page)
    page.keyboard.press("Escape")
    page.locator(".attachment-failed").get_by_role("button", name="Remove").click()
    send(page)
    assert_neat(page)
    page.evaluate("document.querySelector('#conversations details').open = true")
    page.get_by_role("link", name="Attached files").click()
    expect(page.locator("#panel").get_by_text("pixel.png")).to_be_visible()
    assert_neat(page)


def assert_neat(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert find_faults(page) == []
