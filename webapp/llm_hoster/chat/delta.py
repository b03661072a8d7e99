"""vLLM's chat-completion stream, as the pieces that a reply is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Delta:
    """One chunk. `reasoning` is what vLLM 0.32 calls so and earlier versions `reasoning_content`."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: str | None = None
    is_end: bool = False


def parse_stream(chunks: Iterable[bytes]) -> Iterator[Delta]:
    """Cut a stream of bytes at its events, wherever the chunks begin and end."""
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield parse_event(line[5:].strip())


def parse_event(data: bytes) -> Delta:
    if data == b"[DONE]":
        return Delta(is_end=True)
    document = json.loads(data)
    if "error" in document:
        error = document["error"]
        return Delta(error=whole(str(error.get("message", error) if isinstance(error, dict) else error)))
    choices = document.get("choices") or [{}]
    delta = choices[0].get("delta") or {}
    return Delta(
        content=whole(delta.get("content") or ""),
        reasoning=whole(delta.get("reasoning") or delta.get("reasoning_content") or ""),
        tool_calls=tuple(delta.get("tool_calls") or ()),
        finish_reason=choices[0].get("finish_reason"),
        usage=document.get("usage"),
    )


def whole(text: str) -> str:
    """Half of a pair of surrogates, which JSON can hold, can neither be saved nor shown."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def merge_tool_calls(calls: list[dict[str, Any]], pieces: Iterable[dict[str, Any]]) -> None:
    """Put pieces of tool calls where they belong: the name comes first, the arguments follow bit by bit."""
    for piece in pieces:
        index = piece.get("index", 0)
        while len(calls) <= index:
            calls.append({"name": "", "arguments": ""})
        function = piece.get("function") or {}
        for name in ("name", "arguments"):
            calls[index][name] += whole(function.get(name) or "")
