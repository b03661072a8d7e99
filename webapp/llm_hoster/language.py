"""
The language of whoever reads a page, and what a sentence is in it.

The code, the records and the endpoint are English. A template's own sentences are translated by gettext; those that the
code makes stay English until a page shows them, with `translated`: so one that was written where no reader is known, by
the supervisor or into the history, is told to each reader in the reader's language.
"""

from __future__ import annotations

import re
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import Any

from flask import Flask, g, has_request_context, request

ENGLISH = "en"
# As each calls itself.
LANGUAGES = {ENGLISH: "English", "de": "Deutsch"}
COOKIE = "llm_hoster_language"
FOLDER = Path(__file__).parent / "languages"
STATIC = Path(__file__).parent / "static"

# The sentences of the code are kept apart from those of templates: {names} stand in them for what is not known before.
CODE = "code"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
SENTENCE_END = re.compile(r"(?<=[.?!])\s")
# As German and most other languages of Europe write numbers.
SEPARATORS = str.maketrans({",": ".", ".": ","})
# A value that a sentence begins with is no sentence itself.
WITHIN_SENTENCE = r"(?:(?<![.?!])\s|\S)"
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
# Of a text in which sentences are looked for, and of what stands in one of their places.
TEXT_MAX = 2000
PLACE_MAX = 500
# Values are told too, and values in them: "about {minutes}", "{count} minutes".
DEPTH_MAX = 3
SENTENCE_ENDS = (".", "?", "!")
# What a script says, in its module: sentence("In English.")
SCRIPT_SENTENCE = re.compile(r'\bsentence\(\s*("(?:[^"\\]|\\.)*")')


class Translations(GNUTranslations):
    """One language's file. It also knows a sentence of the code by what stands around its values."""

    _catalog: dict[Any, str]

    def patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """Give the code's sentences with their translations, those that say most themselves first."""
        prefix = f"{CODE}\x04"
        keys = [key for key in self._catalog if isinstance(key, str) and key.startswith(prefix)]
        keys.sort(key=lambda key: -len(PLACEHOLDER.sub("", key)))
        messages = [key.removeprefix(prefix) for key in keys]
        return [(pattern_of(message), self.pgettext(CODE, message)) for message in messages]


def pattern_of(message: str) -> re.Pattern[str]:
    """Match a sentence at the beginning of a text, and fewer words than a sentence only as the whole of it."""
    pieces = PLACEHOLDER.split(message)
    pattern = re.escape(pieces[0])
    for index, (name, piece) in enumerate(zip(pieces[1::2], pieces[2::2], strict=True)):
        value = WITHIN_SENTENCE if pattern == "" else "."
        is_new = name not in pieces[1 : 2 * index + 1 : 2]
        pattern += (rf"(?P<_{name}>{value}{{1,{PLACE_MAX}}}?)" if is_new else rf"(?P=_{name})") + re.escape(piece)
    return re.compile(pattern + (r"(?=\s|\Z)" if message.endswith(SENTENCE_ENDS) else r"\Z"), re.DOTALL)


def init_app(app: Flask) -> None:
    """Let templates speak the reader's language."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda message: _translations(language()).gettext(message),
        lambda one, several, count: _translations(language()).ngettext(one, several, count),
        newstyle=True,
    )
    app.jinja_env.filters.update(translated=translated, number=number)
    app.jinja_env.globals.update(language=language, languages=LANGUAGES, script_sentences=script_sentences)


def language() -> str:
    """Give what the reader has chosen, else what the browser asks for, as far as it is there. English else."""
    if not has_request_context():
        return ENGLISH
    if "language" not in g:
        chosen = request.cookies.get(COOKIE, "")
        g.language = chosen if chosen in LANGUAGES else _wish()
    return str(g.language)


def _wish() -> str:
    """Give the first that the browser asks for and that is here, in whatever country it is spoken."""
    wishes = (wish.partition("-")[0].lower() for wish, quality in request.accept_languages if quality > 0)
    return next((wish for wish in wishes if wish in LANGUAGES), ENGLISH)


def gettext(message: str, **values: object) -> str:
    """Translate words that are written in the code; `values` take the places of %(name)s."""
    return _translations(language()).gettext(message) % values


def ngettext(one: str, several: str, count: int, **values: object) -> str:
    return _translations(language()).ngettext(one, several, count) % ({"count": number(count)} | values)


def translated(text: object) -> str:
    """Translate what the code said in English: sentence by sentence, as far as they are known."""
    return _translated(language(), str(text))


def number(value: float, decimals: int = 0) -> str:
    return _number(language(), f"{value:,.{decimals}f}")


def script_sentences() -> dict[str, str]:
    """Give what scripts say by its English; nothing where that is what they are to say."""
    return {} if language() == ENGLISH else _script_sentences(language())


@lru_cache(maxsize=1)
def english_of_scripts() -> list[str]:
    texts = [path.read_text() for path in sorted(STATIC.glob("*.js"))]
    return list(dict.fromkeys(match[1][1:-1] for text in texts for match in SCRIPT_SENTENCE.finditer(text)))


@lru_cache
def _script_sentences(language: str) -> dict[str, str]:
    return {english: _translations(language).gettext(english) for english in english_of_scripts()}


@lru_cache
def _translations(language: str) -> NullTranslations:
    if language == ENGLISH:
        return NullTranslations()
    with (FOLDER / f"{language}.mo").open("rb") as file:
        return Translations(file)


@lru_cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    known = _translations(language)
    return known.patterns() if isinstance(known, Translations) else []


@lru_cache(maxsize=1024)
def _translated(language: str, text: str, depth: int = 0) -> str:
    if language == ENGLISH or len(text) > TEXT_MAX or depth > DEPTH_MAX:
        return text
    if text != text.strip():
        return text.replace(text.strip(), _translated(language, text.strip(), depth)) if text.strip() else text
    known = _translations(language).pgettext(CODE, text)
    if known != text:
        return known
    told, is_known, rest = [], False, text
    while rest:
        sentence, length = _first_sentence(language, rest, depth)
        is_known |= sentence != rest[:length].rstrip()
        told.append(sentence)
        rest = rest[length:].lstrip()
    return " ".join(told) if is_known else text


def _first_sentence(language: str, text: str, depth: int) -> tuple[str, int]:
    """Translate the known sentence that the text begins with, else give what stands before the next one."""
    for pattern, translation in _patterns(language):
        match = pattern.match(text)
        if match is not None:
            values = {name[1:]: _value(language, value, depth + 1) for name, value in match.groupdict().items()}
            return _fill(translation, values), match.end()
    end = SENTENCE_END.search(text)
    length = len(text) if end is None else end.start()
    return text[:length], length


def _fill(translation: str, values: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda place: values[place[1]], translation)


def _value(language: str, text: str, depth: int) -> str:
    return _number(language, text) if NUMBER.fullmatch(text) else _translated(language, text, depth)


def _number(language: str, english: str) -> str:
    return english if language == ENGLISH else english.translate(SEPARATORS)
