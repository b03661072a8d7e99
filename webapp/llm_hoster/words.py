"""What is searched for, and in which words: SQLite's full-text index knows words, and a person types text."""

from __future__ import annotations

import re
import sqlite3
import unicodedata

from markupsafe import Markup, escape

# Scripts that write no spaces between words: Thai to Myanmar, Khmer, kana, Han. Each of their letters is indexed as a
# word, and a word of theirs is searched for as its letters in a row. (SQLite's trigram index would find parts of every
# word, but none of two letters, which most Chinese words are; and it is not in the SQLite of older systems.)
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# As SQLite cuts them: an underscore is none of a word.
WORD = re.compile(r"[^\W_]+")
WORDS_MAX = 12
SNIPPET_CHARS = 160
BEFORE_CHARS = 50


def searchable(text: str | None) -> str:
    """
    Prepare a text for the index. What a row had is taken out by giving the same text again, so a change of this
    function asks for a new SCHEMA_VERSION.
    """
    text = text or ""
    return text if text.isascii() else UNSPACED.sub(r" \g<0> ", text)


def install_words(database: sqlite3.Connection) -> None:
    """Make `searchable` known where the triggers of the schema call it."""
    database.create_function("searchable", 1, searchable, deterministic=True)


def words_of(query: str) -> list[str]:
    return WORD.findall(unicodedata.normalize("NFC", query))[:WORDS_MAX]


def expression_of(query: str) -> str | None:
    """
    Say in FTS5's language that all words shall be there, the last one perhaps only begun; None where there is no word.

    Nothing that a person types is part of that language: words are letters and digits, and stand in quotes.
    """
    words = words_of(query)
    if not words:
        return None
    phrases = [f'"{searchable(word).strip()}"' for word in words]
    # Of one letter every word is the beginning of too many.
    if len(words[-1]) > 1 and query[-1:].isalnum():
        phrases[-1] += " *"
    return " ".join(phrases)


def snippet_of(text: str, query: str) -> Markup:
    """Cut a text around the first word that was searched for, with what was found in <mark>; all else is escaped."""
    folded = fold(text)
    wanted = [fold(word) for word in words_of(query)]
    found = _marks(folded, wanted, 0, len(folded))
    start = max(0, (found[0][0] if found else 0) - BEFORE_CHARS)
    start = 0 if start == 0 else text.find(" ", start, start + BEFORE_CHARS) + 1 or start
    end = min(len(text), start + SNIPPET_CHARS)
    pieces = [Markup("…") if start > 0 else Markup("")]
    for mark_start, mark_end in _marks(folded, wanted, start, end):
        pieces += [
            escape(text[start:mark_start]),
            Markup("<mark>"),
            escape(text[mark_start:mark_end]),
            Markup("</mark>"),
        ]
        start = mark_end
    pieces += [escape(text[start:end]), Markup("…") if end < len(text) else Markup("")]
    return Markup("").join(pieces)


class _Folds(dict[int, str]):
    """Each letter without case and accent, as one letter: places in a text stay what they are."""

    def __missing__(self, code: int) -> str:
        self[code] = unicodedata.normalize("NFD", chr(code))[0].lower()[0]
        return self[code]


_folds = _Folds()


def fold(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_folds)


def _marks(folded: str, wanted: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """Find the words, or beginnings of words, between two places; they do not overlap."""
    if not wanted:
        return []
    choice = "|".join(re.escape(word) for word in sorted(wanted, key=len, reverse=True))
    pattern = re.compile(rf"(?:\b|(?<={UNSPACED.pattern})|(?={UNSPACED.pattern}))(?:{choice})")
    return [match.span() for match in pattern.finditer(folded, start, end)]
