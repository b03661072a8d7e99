"""How much of the context a conversation fills, and what is left out of it where it is to fill less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_hoster.chat.cut import Cuts, below
from llm_hoster.chat.engine_request import ContentOf, messages_for_engine
from llm_hoster.chat.failure import is_context_full
from llm_hoster.chat.message import Message

# Until the engine has counted: of English. Of other languages and code it is less, which the first reply tells.
CHARACTERS_PER_TOKEN = 4.0
PICTURE_TOKENS = 1000
# A reply needs room too: a quarter of a small context, and not more of a large one than most replies have.
RESERVE_SHARE, RESERVE_MAX = 4, 1024
NEAR = 0.8

Level = Literal["ok", "near", "full", "refused", "alone"]


@dataclass(frozen=True)
class ContextUse:
    """What the next question would be sent with: `tokens` of `limit`, which is None while the engine has not told."""

    tokens: int = 0
    is_exact: bool = False
    characters_per_token: float = CHARACTERS_PER_TOKEN
    limit: int | None = None
    # The last question has got no reply, because it did not fit.
    is_refused: bool = False
    # Nothing can be left out: there is no turn that the model reads, but for a question without a reply.
    is_empty: bool = True
    # What the settings allow a reply: the engine refuses a question that leaves less room.
    reply_tokens: int = 0

    @property
    def near(self) -> int:
        """From so many tokens on people are told that the end is near."""
        return int(self.full * NEAR)

    @property
    def full(self) -> int:
        """From so many tokens on no room is left for a reply."""
        return room(self.limit or 0, self.reply_tokens)

    @property
    def level(self) -> Level:
        if self.is_refused:
            return "alone" if self.is_empty else "refused"
        if self.limit is None or self.is_empty or self.tokens < self.near:
            return "ok"
        return "near" if self.tokens < self.full else "full"


@dataclass(frozen=True)
class Turns:
    """What the model reads of a branch: whole turns, and the question that waits for its reply since it did not fit."""

    turns: list[list[Message]]
    waiting: Message | None = None

    @property
    def waiting_messages(self) -> list[Message]:
        return [self.waiting] if self.waiting else []


def room(limit: int, reply_tokens: int = 0) -> int:
    """Give the tokens that leave room for a reply."""
    return limit - max(reply_tokens, min(limit // RESERVE_SHARE, RESERVE_MAX))


def context_use(
    branch: list[Message], cuts: Cuts, content_of: ContentOf, limit: int | None = None, reply_tokens: int = 0
) -> ContextUse:
    """
    Take the engine's own count of the last turn, and guess what came after it.

    A cut that was made since makes it a guess too, and so do thoughts, which are not sent again.
    """
    read = cuts.read_part(branch)
    told = [place for place, message in enumerate(read) if _has_count(message) and message.created_at > cuts.changed_at]
    next_question = Message("", "user")
    whole = characters(messages_for_engine([*read, next_question], content_of))
    if not read:
        return ContextUse(is_exact=True, limit=limit, reply_tokens=reply_tokens)
    is_empty = not turns_of(below(branch, cuts.on(branch))).turns
    others = (limit, waits(branch) is not None, is_empty, reply_tokens)
    if not told:
        ratio = _ratio(read)
        return ContextUse(round(whole / ratio), False, ratio, *others)
    counted = read[: told[-1] + 1]
    last, before = counted[-1], characters(messages_for_engine(counted, content_of))
    tokens = _tokens(last)
    ratio = _sane(before, tokens)
    is_exact = whole == before and not last.reasoning
    return ContextUse(tokens + round((whole - before) / ratio), is_exact, ratio, *others)


def characters(messages: Sequence[dict[str, Any]]) -> int:
    return sum(map(_characters_of, (message["content"] for message in messages)))


def waits(branch: list[Message]) -> Message | None:
    """Give the last reply where it failed because the conversation was too long."""
    return branch[-1] if branch and is_context_full(branch[-1]) else None


def turns_of(read: list[Message]) -> Turns:
    """Cut a branch at its questions."""
    turns: list[list[Message]] = []
    for message in read:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    if turns and waits(turns[-1]) is not None and turns[-1][0].role == "user":
        return Turns(turns[:-1], turns[-1][0])
    return Turns(turns)


def left_out(turns: Turns, budget: int, count: Callable[[list[Message]], int]) -> list[Message]:
    """
    Say which turns, the oldest first, are left out so that the others have at most `budget` tokens.

    One at least, so that something comes of it. `count` may be a guess: it is asked in steps that halve the rest, as
    the engine counts a long text in many milliseconds.
    """
    low, high = 1, len(turns.turns)
    while low < high:
        middle = (low + high) // 2
        if count([message for turn in turns.turns[middle:] for message in turn]) <= budget:
            high = middle
        else:
            low = middle + 1
    return [message for turn in turns.turns[:low] for message in turn]


def _characters_of(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    picture = round(PICTURE_TOKENS * CHARACTERS_PER_TOKEN)
    return sum(len(part["text"]) if part.get("type") == "text" else picture for part in content)


def _has_count(message: Message) -> bool:
    return message.role == "assistant" and bool(message.prompt_tokens) and message.completion_tokens is not None


def _tokens(reply: Message) -> int:
    prompt, completion = reply.prompt_tokens or 0, reply.completion_tokens or 0
    written = len(reply.content) + len(reply.reasoning)
    return prompt + (round(completion * len(reply.content) / written) if reply.reasoning else completion)


def _ratio(read: list[Message]) -> float:
    """Take what an earlier count tells of the language, though not of the length."""
    for message in reversed(read):
        if _has_count(message) and message.content:
            written = len(message.content) + len(message.reasoning)
            return _sane(written, message.completion_tokens or 0)
    return CHARACTERS_PER_TOKEN


def _sane(written: int, tokens: int) -> float:
    """No language has less than a character for a token, or more than eight; a short text tells nothing."""
    return min(8.0, max(1.0, written / tokens)) if tokens >= 50 else CHARACTERS_PER_TOKEN
