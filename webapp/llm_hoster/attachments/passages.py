"""
The passages of attached files that fit a question, for files that are too long to be read whole.

They are ranked by the words that they share with the question: BM25 in SQLite's full-text index, in memory. Embeddings
would also find what is said in other words; but a session serves one base model, which chats or embeds, and those of a
model that chats rank worse than words do. What a question about one's own files asks for is mostly named in them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.block import fenced
from llm_hoster.attachments.content import Content
from llm_hoster.attachments.file_question import file_question
from llm_hoster.attachments.names import shown_name
from llm_hoster.usage.tokens import BYTES_PER_TOKEN
from llm_hoster.words import UNSPACED, WORD, install_words, searchable

# Some 300 tokens: a few paragraphs that can be understood alone.
PASSAGE_CHARACTERS = 1_200
HEAD_CHARACTERS = 400
QUESTION_WORDS_MAX = 64
MATCHES_MAX = 24
# Of the best one's score: what is below shares only common words with the question. Of words that more than half of the
# passages have, SQLite thinks a million times less than of others.
WORTH = 0.1
SCORE_MIN = 0.001
SENTENCE_END = re.compile(r"(?<=[.!?;:])\s|(?<=[\u3002\uff01\uff1b\uff1f])|\s(?=\S*$)")

INTRODUCTION = "The attached files are too long to be read whole. These passages of them fit the question best."
REQUEST = (
    "Say behind each statement which passage it is from, as [1]. Where the passages do not answer the question, say so."
)

Count = Callable[[str], int]
# Passages in the order in which to take them, each with the one that it stands beside, or itself.
Order = list[tuple[int, int]]


@dataclass(frozen=True)
class Passage:
    """
    A piece of a file; `page` is None for files without pages, and lines count from 1 in the file or the page.

    `head` is the line of names of the table that it is from, where that does not stand in it.
    """

    file_id: str
    name: str
    text: str
    page: int | None
    first_line: int
    last_line: int
    head: str = ""

    @property
    def title(self) -> str:
        if self.page is not None:
            return f"{self.name}, page {self.page}"
        if self.first_line == self.last_line:
            return f"{self.name}, line {self.first_line}"
        return f"{self.name}, lines {self.first_line} to {self.last_line}"

    @property
    def whole_text(self) -> str:
        return f"{self.head}\n{self.text}" if self.head else self.text

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Passage:
        """Raise ValueError for what `to_json` has not written: an imported history may come from anybody."""
        texts = [values.get(name) for name in ("file_id", "name", "text", "head")]
        lines = [values.get(name) for name in ("first_line", "last_line")]
        page = values.get("page")
        if not all(isinstance(text, str) for text in texts) or not all(type(line) is int for line in lines):
            raise ValueError("this is no passage")
        if page is not None and type(page) is not int:
            raise ValueError("a page has a number")
        return cls(**{name: values[name] for name in FIELDS} | {"name": shown_name(values["name"])})


FIELDS = tuple(field.name for field in dataclasses.fields(Passage))


def passages_from_json(values: object) -> list[Passage]:
    """Leave out what is none."""
    found = []
    for value in values if isinstance(values, list) else []:
        with contextlib.suppress(ValueError):
            found.append(Passage.from_json(value if isinstance(value, dict) else {}))
    return found


def estimated_tokens(text: str) -> int:
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1


def passages_of(attachment: Attachment, content: Content) -> list[Passage]:
    """Cut what was read out of a file at empty lines, ends of lines or of sentences; a picture has nothing to cut."""
    # Rows say little without the names of their columns.
    head = content.pages[0].partition("\n")[0][:HEAD_CHARACTERS] if attachment.kind == "table" else ""
    return [
        Passage(
            attachment.id, attachment.name, piece, page if attachment.kind == "pdf" else None, first, last,
            "" if first == 1 else head,
        )
        for page, text in enumerate(content.pages, 1)
        for first, last, piece in _pieces(text)
    ]  # fmt: skip


def fitting_passages(
    question: str,
    passages: Sequence[Passage],
    budget_tokens: int,
    *,
    fallback: str = "",
    count: Count = estimated_tokens,
) -> list[Passage]:
    """
    Choose those that fit the question best, and those around them, as long as there is room; in the order of the files.

    Files that the question names are looked into alone, each with the same room. Where no word of it is in a file, as
    in "Summarise beta.txt", its beginning is taken; and those of all files where it asks for all of them, as in
    "Summarise both", or where it has no word to search for and neither has the `fallback`.
    """
    chosen: set[int] = set()
    left = budget_tokens
    orders = _orders(question, passages) or _orders(fallback, passages) or _beginnings(passages)
    for index, found in _in_turns(orders, passages):
        if index in chosen or (index != found and found not in chosen):
            continue
        cost = count(passages_block([passages[index]]))
        if cost <= left:
            chosen.add(index)
            left -= cost
    return _joined(passages, sorted(chosen))


def passages_block(passages: Sequence[Passage]) -> str:
    """Write the passages with their numbers, from 1."""
    return "\n".join(fenced(f"[{number}] {each.title}", each.whole_text) for number, each in enumerate(passages, 1))


def question_about(question: str, passages: Sequence[Passage]) -> str:
    """Write what the model reads in place of the question."""
    return f"{INTRODUCTION}\n\n{passages_block(passages)}\n{REQUEST}\n\n{question}"


# --- Cutting ---


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """Give the first and the last line of each piece, and its text."""
    piece: list[str] = []
    length = first = last = 0
    for number, line in _short_lines(text):
        is_full = length + len(line) > PASSAGE_CHARACTERS
        is_apart = not line.strip() and length > PASSAGE_CHARACTERS // 2
        if piece and (is_full or is_apart):
            yield first, last, "\n".join(piece)
            piece, length = [], 0
        if not piece and not line.strip():
            continue
        if not piece:
            first = number
        last = number
        piece.append(line)
        length += len(line) + 1
    if piece:
        yield first, last, "\n".join(piece).rstrip()


def _short_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number the lines; of one that is a whole chapter, each part has its number."""
    for number, line in enumerate(text.split("\n"), 1):
        while len(line) > PASSAGE_CHARACTERS:
            ends = [match.end() for match in SENTENCE_END.finditer(line, 0, PASSAGE_CHARACTERS)]
            end = ends[-1] if ends else PASSAGE_CHARACTERS
            yield number, line[:end].rstrip()
            line = line[end:]
        yield number, line


# --- Ranking ---


def _orders(question: str, passages: Sequence[Passage]) -> list[Order]:
    """Say what to take first, for each file that the question is about or for all of them; nothing where it is none."""
    texts: dict[str, list[str]] = {}
    for passage in passages:
        texts.setdefault(passage.name, []).append(passage.text)
    asked = file_question(question, texts)
    if asked.named:
        files = [part for part in _files(passages) if passages[part[0]].name in asked.named]
        return [_found(asked.search, passages, part) or [(index, index) for index in part] for part in files]
    found = _found(asked.search, passages, range(len(passages)))
    if found:
        return [found]
    return _beginnings(passages) if asked.is_whole else []


def _files(passages: Sequence[Passage]) -> list[list[int]]:
    files: dict[str, list[int]] = {}
    for index, passage in enumerate(passages):
        files.setdefault(passage.file_id, []).append(index)
    return list(files.values())


def _beginnings(passages: Sequence[Passage]) -> list[Order]:
    return [[(index, index) for index in part] for part in _files(passages)]


def _found(search: str, passages: Sequence[Passage], part: Sequence[int]) -> Order:
    """Put what stands around the passages that fit behind them."""
    ranked = [part[place] for place in _ranked(search, [passages[index] for index in part])]
    beside = [
        (near, index)
        for index in ranked
        for near in (index + 1, index - 1)
        if 0 <= near < len(passages) and passages[near].file_id == passages[index].file_id
    ]
    return [(index, index) for index in ranked] + beside


def _in_turns(orders: Sequence[Order], passages: Sequence[Passage]) -> list[tuple[int, int]]:
    """Go on with the order that has had the least, so that each has its share of the room."""
    turns = []
    for number, order in enumerate(orders):
        had = 0
        for index, found in order:
            turns.append((had, number, index, found))
            had += len(passages[index].text)
    return [(index, found) for _, _, index, found in sorted(turns, key=lambda turn: turn[:2])]


def _ranked(question: str, passages: Sequence[Passage]) -> list[int]:
    expression = " OR ".join(dict.fromkeys(_terms(question)))
    if not expression:
        return []
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        install_words(database)
        # Stems let "costs" find "cost"; in other languages they do no harm.
        database.execute(
            "CREATE VIRTUAL TABLE passages USING fts5 "
            "(words, content = '', tokenize = 'porter unicode61 remove_diacritics 1')"
        )
        database.executemany(
            "INSERT INTO passages (rowid, words) VALUES (?, ?)",
            ((index, searchable(passage.text)) for index, passage in enumerate(passages)),
        )
        rows = database.execute(
            "SELECT rowid, -bm25(passages) AS score FROM passages WHERE passages MATCH ? ORDER BY score DESC, rowid "
            "LIMIT ?",
            (expression, MATCHES_MAX),
        ).fetchall()
    return [index for index, score in rows if score >= max(WORTH * rows[0][1], SCORE_MIN)]


def _terms(question: str) -> Iterator[str]:
    """Give the words in quotes, as FTS5 wants them; of a script without spaces each two letters in a row."""
    for word in WORD.findall(question)[:QUESTION_WORDS_MAX]:
        if not UNSPACED.search(word):
            yield f'"{word}"'
            continue
        pairs = (word[start : start + 2] for start in range(max(1, len(word) - 1)))
        yield from (f'"{searchable(pair).strip()}"' for pair in pairs)


def _joined(passages: Sequence[Passage], chosen: Iterable[int]) -> list[Passage]:
    """Put those together that follow one another on one page."""
    joined: list[Passage] = []
    previous = None
    for index in chosen:
        passage = passages[index]
        if previous == index - 1 and (joined[-1].file_id, joined[-1].page) == (passage.file_id, passage.page):
            text = f"{joined[-1].text}\n{passage.text}"
            joined[-1] = dataclasses.replace(joined[-1], text=text, last_line=passage.last_line)
        else:
            joined.append(passage)
        previous = index
    return joined
