"""Questions about files that are too long for the context: passages that fit the question stand in for the files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.passages import Passage, fitting_passages, passages_of, question_about
from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.chat.message import Message
from llm_hoster.chat.turn import Turn
from llm_hoster.errors import AttachmentError

# Of the context: what files may take together when they are sent whole, and what their passages may take.
WHOLE_SHARE = 2
PASSAGES_SHARE = 4
# More passages are no better answer: a model overlooks what stands in the middle of many.
PASSAGES_MAX_TOKENS = 6_000

LEFT_OUT = "File: {name} (too long to be sent whole; passages of it stand before the latest question)\n"


@dataclass(frozen=True)
class Documents:
    """
    What stands in for the files of a branch that are too long, when one question of it is asked.

    `text` is what the model reads in place of the question; `sources` are the passages in it, by their numbers.
    """

    long_ids: frozenset[str]
    text: str
    sources: list[Passage]

    def whole_files(self, message: Message) -> list[Attachment]:
        return [each for each in message.attachments if each.id not in self.long_ids]

    def names(self, message: Message) -> str:
        """Give what is said of its long files in an earlier question."""
        return "".join(LEFT_OUT.format(name=each.name) for each in message.attachments if each.id in self.long_ids)


def documents_of(turn: Turn, store: AttachmentStore, limit: int | None) -> Documents | None:
    """
    Find the passages that fit a turn's question; None where its branch has no files that are too long.

    `limit` is what the model reads at once, in tokens. Raise AttachmentError where a file of the question is lost. "And
    why?" has no word to search for: then those of the question before it count, but not where it asks for all of the
    files.
    """
    files = [file for message in (*turn.earlier, turn.question) for file in message.attachments]
    long = long_files(files, limit) if limit else []
    if not limit or not long:
        return None
    passages: list[Passage] = []
    for file in long:
        with contextlib.nullcontext() if file in turn.question.attachments else contextlib.suppress(AttachmentError):
            passages += passages_of(file, store.content(file))
    question = turn.question.content
    before = next((message.content for message in reversed(turn.earlier) if message.role == "user"), "")
    budget = min(limit // PASSAGES_SHARE, PASSAGES_MAX_TOKENS)
    sources = fitting_passages(question, passages, budget, fallback=before)
    return Documents(frozenset(file.id for file in long), question_about(question, sources), sources)


def long_files(attachments: Sequence[Attachment], limit: int) -> list[Attachment]:
    """
    Say which of all files of a branch cannot be sent whole, for a context of `limit` tokens.

    The longest first, until the others together leave room to talk about them. What a file is in one question it is in
    the next, unless others have come.
    """
    found: list[Attachment] = []
    files = {each.id: each for each in attachments if each.kind != "picture"}
    total = sum(map(_tokens, files.values()))
    for each in sorted(files.values(), key=lambda file: (-_tokens(file), file.id)):
        if total <= limit // WHOLE_SHARE:
            break
        total -= _tokens(each)
        found.append(each)
    return found


def _tokens(attachment: Attachment) -> int:
    return attachment.tokens_guess if attachment.tokens is None else attachment.tokens
