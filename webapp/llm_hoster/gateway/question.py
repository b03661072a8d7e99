"""What a program asks, as far as the gateway must know it, and the body in which it is passed on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Request
from pydantic import TypeAdapter, ValidationError

from llm_hoster.errors import HTTPError
from llm_hoster.gateway.routes import JSON, Route

# One request may ask for so many answers: the choices of `n`, times the texts of a list.
ANSWERS_MAX = 128
# What a question may name by an address that vLLM would fetch: keys of OpenAI's and Anthropic's parts.
MEDIA_KEYS = {"url", "image_url", "audio_url", "video_url", "file_url"}
# Where questions carry parts; addresses elsewhere, as in the description of a tool, are only text.
PLACES_OF_PARTS = ("messages", "input", "prompt", "system", "instructions", "query", "documents", "data_1", "data_2")
BOOLEAN = TypeAdapter(bool)
INTEGER = TypeAdapter(int)
T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """
    `body` is what is sent; it asks for the usage also where the client did not (`wants_usage`), and has the priority.
    `priority` is for a route whose body has no field for it.

    `model` is None where none is named, and in forms, which are not looked into.
    """

    body: bytes | None
    model: str | None = None
    streams: bool = False
    wants_usage: bool = False
    priority: int = 0


def read_question(request: Request, route: Route, *, priority: int, media_hosts: Sequence[str]) -> Question:
    """
    Read the body; raise HTTPError for what vLLM must not be asked.

    `priority` is vLLM's: the smaller, the earlier. A client can only make its question less urgent than that. What is
    not JSON, or not an object, is passed on as it is: vLLM says best what is wrong with it.
    """
    if request.method != "POST":
        return Question(None)
    body = request.get_data(cache=False)
    if request.content_length is None:
        request.stream.read(1)  # Raises 413 where Flask has read up to its limit, and has said nothing of the rest.
    if route.content_type != JSON:
        return Question(body)
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise HTTPError(400, "The body is nested too deeply.", code="invalid_json") from error
    except ValueError:
        return Question(body)
    if not isinstance(document, dict):
        return Question(body)
    require_allowed(document, media_hosts)
    streams = _as(BOOLEAN, document.get("stream"), False)
    options = document.get("stream_options")
    wants_usage = isinstance(options, dict) and _as(BOOLEAN, options.get("include_usage"), False)
    changes = {} if route.is_anthropic else _priority_change(document, priority)
    if streams and route.has_usage_option and not wants_usage and isinstance(options, dict | None):
        changes["stream_options"] = (options or {}) | {"include_usage": True}
    if changes:
        body = json.dumps(document | changes).encode()
    model = document.get("model")
    return Question(body, model if isinstance(model, str) else None, streams, wants_usage, priority)


def require_allowed(document: Mapping[str, Any], media_hosts: Sequence[str]) -> None:
    """Raise HTTPError for what vLLM must not be asked."""
    _require_few_answers(document)
    _require_allowed_media(document, media_hosts)


def _as(kind: TypeAdapter[T], value: Any, default: T) -> T:
    """Read a value as vLLM will, which takes "1" for true and "8" for a number."""
    try:
        return kind.validate_python(value)
    except ValidationError:
        return default


def _priority_change(document: Mapping[str, Any], priority: int) -> dict[str, Any]:
    wanted = max(priority, _as(INTEGER, document.get("priority"), priority))
    return {"priority": wanted} if wanted != document.get("priority", 0) else {}


def _require_few_answers(document: Mapping[str, Any]) -> None:
    texts = document.get("prompt")
    number = _as(INTEGER, document.get("n"), 1)
    # A list of numbers is one text, as tokens.
    if isinstance(texts, list) and texts and not isinstance(texts[0], int):
        number *= len(texts)
    if number > ANSWERS_MAX:
        message = f"The request asks for {number} answers; at most {ANSWERS_MAX} are given. Ask for fewer, more often."
        raise HTTPError(400, message, code="too_many_answers")


def _require_allowed_media(document: Mapping[str, Any], hosts: Sequence[str]) -> None:
    """Refuse what this node would fetch with its own rights in the cluster's network."""
    for place in PLACES_OF_PARTS:
        for address in _addresses(document.get(place)):
            if address[:5].lower() == "data:" or _host_of(address) in hosts:
                continue
            allowed = f"only from {', '.join(hosts)}" if hosts else "not from addresses"
            message = (
                f"{address[:80]!r} is not fetched: here pictures, sounds and films are taken {allowed}. "
                "Send the content itself, as data:...;base64,..."
            )
            raise HTTPError(400, message, code="media_not_allowed")


def _host_of(address: str) -> str | None:
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in {"http", "https"} else None


def _addresses(part: Any) -> Iterator[str]:
    """Walk without recursion: a hostile body is nested as deeply as JSON allows."""
    waiting = [part]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            for key, value in each.items():
                if key in MEDIA_KEYS and isinstance(value, str):
                    yield value
                else:
                    waiting.append(value)
