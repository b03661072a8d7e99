"""Export and import in a real browser: with script, without it, for axe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.exchange.exchanged_files import A, B, document, own
from tests.page_faults import find_faults
from tests.web_session import WebServer

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}

OpenPage = Callable[..., Page]


@pytest.fixture
def server(make_server: Callable[..., WebServer]) -> WebServer:
    return make_server()


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "chats.json"
    path.write_text(json.dumps(document(own(A, title="Trees & <b>leaves</b>"), own(B, title="Roots"), {"odd": 1})))
    return path


def test_chats_come_in_out_and_are_taken_back(open_page: OpenPage, chats: Path, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("link", name="Export and import").press("Enter")
    page.get_by_label("A file of this chat").set_input_files(chats)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("2 chats came in.")).to_be_visible()
    expect(page.get_by_text("1 entry was left out")).to_be_visible()
    expect(page.get_by_role("heading", name="The import has ended")).to_be_focused()
    expect(page.locator("#conversation-list a:not(.more)")).to_have_count(2)

    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export all chats").click()
    downloading.value.save_as(tmp_path / "all.json")
    titles = [each["title"] for each in json.loads((tmp_path / "all.json").read_text())["conversations"]]
    assert titles == ["Trees & <b>leaves</b>", "Roots"]
    page.get_by_role("button", name="Undo: take 2 chats out again").click()
    expect(page.get_by_text("2 chats were taken out again.")).to_be_visible()
    expect(page.locator("#conversation-list a:not(.more)")).to_have_count(0)


def test_a_chat_is_downloaded_under_its_title(open_page: OpenPage, chats: Path) -> None:
    page = open_page("/chats/files")
    page.get_by_label("A file of this chat").set_input_files(chats)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("2 chats came in.")).to_be_visible()
    page.goto(f"/chats/{A}")
    names = {"Markdown": "Trees-b-leaves-b.md", "JSON": "Trees-b-leaves-b.json", "a web page": "Trees-b-leaves-b.html"}
    for link, name in names.items():
        with page.expect_download() as downloading:
            page.get_by_role("link", name=f"Export as {link}").click()
        assert downloading.value.suggested_filename == name


def test_a_chat_as_a_web_page_stands_alone_and_runs_nothing(
    open_page: OpenPage, browser: Browser, chats: Path, tmp_path: Path
) -> None:
    hostile = own(A, title="</title><script>alert(1)</script>")
    hostile["messages"][0]["content"] = "</style><img src=x onerror=alert(1)>"
    hostile["messages"][1] |= {
        "content": "# Said\n\n<script>alert(1)</script> ![x](https://example.org/x.png)\n\n```\nx\n```",
        "reasoning": "<script>alert(1)</script>", "model": "<b onclick=alert(1)>",
    }  # fmt: skip
    chats.write_text(json.dumps(document(hostile)))
    page = open_page("/chats/files")
    page.get_by_label("A file of this chat").set_input_files(chats)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("1 chat came in.")).to_be_visible()
    page.goto(f"/chats/{A}")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export as a web page").click()
    path = tmp_path / "chat.html"
    downloading.value.save_as(path)

    for bypass_csp in (False, True):
        context = browser.new_context(bypass_csp=bypass_csp)
        alone, happened = context.new_page(), list[str]()
        alone.on("dialog", lambda dialog, happened=happened: (happened.append("dialog"), dialog.dismiss()))
        alone.on("console", lambda message, happened=happened: happened.append(message.text))
        alone.on("request", lambda request, happened=happened: happened.append(request.url))
        alone.goto(path.as_uri())
        expect(alone.get_by_role("heading", name="Said")).to_be_visible()
        assert alone.locator("main").evaluate("each => getComputedStyle(each).maxWidth") != "none"
        assert happened == [path.as_uri()]
        if bypass_csp:
            assert find_faults(alone) == []
        context.close()


def test_all_of_it_works_without_scripts(open_page: OpenPage, chats: Path) -> None:
    page = open_page(java_script_enabled=False)
    page.get_by_role("link", name="Export and import").click()
    page.get_by_label("A file of this chat").set_input_files(chats)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("2 chats came in.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 chats were taken out again.")).to_be_visible()


def test_the_panel_is_accessible_before_and_after_an_import(open_page: OpenPage, chats: Path) -> None:
    page = open_page(bypass_csp=True)
    page.get_by_role("link", name="Export and import").click()
    expect(page.get_by_role("button", name="Import")).to_be_visible()
    assert find_faults(page) == []
    page.get_by_label("A file of this chat").set_input_files(chats)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("2 chats came in.")).to_be_visible()
    assert find_faults(page) == []
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for path in ("/chats/files", f"/chats/{A}"):
        page.goto(path)
        assert find_faults(page) == [], path
