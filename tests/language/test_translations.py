"""Every sentence of the pages has its translations, and none stands where they cannot reach it."""

from __future__ import annotations

import gettext
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment

from llm_hoster.language import CODE, FOLDER, STATIC
from translation.code_sentences import PACKAGE
from translation.language_file import collected, missing, po_path, read, translations, updated

TEMPLATES = sorted(path for path in (PACKAGE / "templates").rglob("*.html"))
PLACES = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
TAGS = re.compile(r"</?\w+[^>]*>")
READ_OUT = {"aria-label", "placeholder", "title", "alt", "hx-confirm"}
# Names, classes, units and what is typed: the same in every language.
ALIKE = {
    "LLM Hoster",
    "open",
    "SU",
    "GPU",
    "UTC",
    "app",
    "plain",
    "read -rs LLM_HOSTER_API_KEY && export LLM_HOSTER_API_KEY",
}
SCRIPT_WORDS = re.compile(
    r"""(?:textContent = |announce\(|ariaLabel = |placeholder = |title = )(?:[\w.!]+ \? )?["`][A-Z]"""
)


@pytest.mark.parametrize("language", translations())
def test_every_sentence_is_translated(language: str) -> None:
    """Whoever adds one runs `make languages` and writes its translations into the file that it names."""
    there = {(message.context, message.id) for message in read(language) if message.id}
    wanted = {(message.context, message.id) for message in collected() if message.id}
    assert sorted(map(str, wanted - there)) == [], "make languages"
    assert sorted(map(str, there - wanted)) == [], "make languages"
    assert missing(updated(language)) == []


@pytest.mark.parametrize("language", translations())
def test_a_translation_has_the_same_values_and_marks(language: str) -> None:
    for message in read(language):
        if not message.id:
            continue
        english = message.id if isinstance(message.id, tuple) else (message.id,)
        told = message.string if isinstance(message.string, tuple) else (message.string,)
        for each in told:
            assert set(PLACES.findall(each)) <= set(PLACES.findall(english[-1])), english
            assert set(PLACES.findall(english[0])) <= set(PLACES.findall(each)), english
            assert sorted(TAGS.findall(each)) == sorted(TAGS.findall(english[-1])), english
            assert each == each.strip()


@pytest.mark.parametrize("language", translations())
def test_the_compiled_file_is_that_of_the_written_one(language: str) -> None:
    with (FOLDER / f"{language}.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in read(language):
        if message.id and isinstance(message.id, str):
            found = compiled.pgettext(message.context, message.id) if message.context else compiled.gettext(message.id)
            assert found == message.string, "make languages"
        elif message.id:
            assert tuple(compiled.ngettext(*message.id, count) for count in (1, 2)) == message.string, "make languages"
    assert sorted(path.name for path in FOLDER.glob("*.po")) == sorted(po_path(each).name for each in translations())


def test_the_sentences_of_the_code_and_of_scripts_are_found() -> None:
    ids = {message.id for message in collected() if message.context == CODE}
    assert {
        "The message is empty. Write something first.",
        "The message could not be saved ({error}).",
        "vLLM does not find {1} on this node.",
        '"{name}" is empty. Attach a file that has something in it.',
        "Keyboard shortcuts",
    } <= ids
    assert {"Copied", ("1 chat has come in so far.", "%(count)s chats have come in so far.")} <= {
        message.id for message in collected()
    }


class Words(HTMLParser):
    """What a person reads, or hears read out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and name in READ_OUT]


def unmarked(path: Path) -> list[str]:
    """Give the words of a template that no translation reaches."""
    html, is_marked, is_code = "", False, False
    for _, kind, value in Environment(extensions=["jinja2.ext.i18n"]).lex(path.read_text()):
        if kind == "name" and value in ("trans", "endtrans"):
            is_marked = value == "trans"
        is_code = (is_code or kind.endswith("_begin")) and not kind.endswith("_end")
        if kind == "data" and not is_marked:
            html += value
        elif kind.endswith("_end"):
            html += "\N{OBJECT REPLACEMENT CHARACTER}"
    words = Words()
    words.feed(html)
    texts = [" ".join(re.split("\N{OBJECT REPLACEMENT CHARACTER}|\\s", text)).strip(" ,.:;()·") for text in words.found]
    # What a macro gives to a tag is no text.
    return [text for text in texts if re.search(r"[^\W\d_]{2,}", text) and text not in ALIKE and '="' not in text]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_words_that_no_translation_reaches(path: Path) -> None:
    assert unmarked(path) == []


def test_no_script_has_words_that_no_translation_reaches() -> None:
    scripts = {path.name: path.read_text() for path in STATIC.glob("*.js")}
    assert {name: SCRIPT_WORDS.findall(text) for name, text in scripts.items() if SCRIPT_WORDS.search(text)} == {}
