"""A chat on paper, in a real browser: nothing of a message lies beside the sheet, nor in a part that would scroll."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from playwright.sync_api import Page, expect

from llm_hoster.chat.conversation import ConversationStore
from tests.chat.echo_engine import echo_engine
from tests.chat.history_files import add_chat, grow_old
from tests.web_session import MakeSettings, WebServer

pytestmark = pytest.mark.browser

CHAT, WIDE_CHAT = "d" * 32, "e" * 32
# A4 with margins of 1 cm, in CSS pixels.
PAPER = {"width": 718, "height": 1047}
POINTS_OF_CM = 72 / 2.54
QUESTION = "first " + "words that fill more than one line " * 8 + "/long_path" * 15
COLUMNS = 14
TABLE = "\n".join(
    "|" + "|".join(each for _ in range(COLUMNS)) + "|" for each in ("heading", "---", "a value", "`identifier_of_it`")
)
ANSWER = f"""
{TABLE}

```python
{"some_name = " + "function_of_a_long_name(argument, " * 8}
{"x" * 300}
```

Inline `{"y" * 200}` and https://example.org/{"z" * 200}

$$ {" + ".join(f"a_{{{number}}} x^{{{number}}}" for number in range(60))} = b $$
"""
MATRIX = "$$\\begin{matrix}" + " & ".join(f"c_{{{number}}}" for number in range(26)) + "\\end{matrix}$$"
LAST_OF = {CHAT: "59", WIDE_CHAT: "25"}
# Each word that is beside the sheet, or cut off by a part that hides what leaves it.
CUT_OFF = """[...document.querySelectorAll(".message")].flatMap((message) => {
  const words = document.createTreeWalker(message, NodeFilter.SHOW_TEXT), cut = [];
  while (words.nextNode()) {
    const part = words.currentNode.parentElement, range = document.createRange();
    if (!part.checkVisibility() || part.closest(".visually-hidden, .katex-mathml")) continue;
    range.selectNodeContents(words.currentNode);
    let [left, right] = [0, innerWidth];
    for (let each = part; each !== document.body; each = each.parentElement) {
      const box = each.getBoundingClientRect();
      if (getComputedStyle(each).display === "inline" || getComputedStyle(each).overflowX === "visible") continue;
      [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
    }
    const isCut = (box) => box.width && (box.left < left - 1 || box.right > right + 1);
    if ([...range.getClientRects()].some(isCut)) cut.push(words.currentNode.data.slice(0, 40));
  }
  return cut;
})"""

OpenPage = Callable[..., Page]


@pytest.fixture
def server(make_settings: MakeSettings, make_server: Callable[..., WebServer], short_dir: Path) -> WebServer:
    path = make_settings().data_dir / "conversations" / "earlier.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        add_chat(store, CHAT, QUESTION, ANSWER)
        add_chat(store, WIDE_CHAT, QUESTION, MATRIX)
    grow_old(path, 100)
    with echo_engine(short_dir / "echo.sock"):
        return make_server(engine=short_dir / "echo.sock")


def test_nothing_of_a_message_is_cut_off_on_paper(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{CHAT}", viewport=PAPER)
    expect(page.locator(".math-drawn")).to_be_visible()
    assert page.evaluate(CUT_OFF) != []  # A window scrolls what is too wide.
    page.emulate_media(media="print")
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_question_fills_the_sheet_from_its_left_side(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{CHAT}", viewport=PAPER)
    page.emulate_media(media="print")
    box = page.locator(".message-user").bounding_box()
    assert box
    assert (box["x"], box["width"]) == (0, PAPER["width"])


@pytest.mark.parametrize("chat", [CHAT, WIDE_CHAT], ids=["what wraps", "what cannot wrap"])
def test_the_printed_file_has_all_of_its_text_on_the_sheet(open_page: OpenPage, chat: str) -> None:
    page = open_page(f"/chat/{chat}")
    expect(page.locator(".math-drawn")).to_be_visible()
    page.evaluate("document.fonts.ready.then(() => null)")
    pdf = page.pdf(format="A4", margin=dict.fromkeys(["top", "right", "bottom", "left"], "1cm"))
    sheets = pypdf.PdfReader(io.BytesIO(pdf)).pages
    for sheet in sheets:
        starts = starts_of_texts(sheet)
        assert starts
        assert [x for x in starts if not POINTS_OF_CM <= x + 1 < sheet.mediabox.width - POINTS_OF_CM] == []
    # Glyphs that lie beside the sheet are not in the file at all.
    assert LAST_OF[chat] in "".join(sheet.extract_text() for sheet in sheets)


def starts_of_texts(sheet: pypdf.PageObject) -> list[float]:
    """How far from the left side of the sheet each text begins, in points."""
    starts = []

    def look(text: str, matrix: list[float], text_matrix: list[float], *_: object) -> None:
        if text.strip():
            starts.append(pypdf.mult(text_matrix, matrix)[4])

    sheet.extract_text(visitor_text=look)
    return starts
