"""vLLM's /tokenize: how many tokens the engine makes of something, and how many it reads at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import HTTPError as UpstreamError

from llm_hoster.engine.record.state import SERVING, State
from llm_hoster.gateway.successor import open_call
from llm_hoster.settings import WebSettings

TIMEOUT_S = 20.0
JSON = "application/json"
PATHS = {False: "/tokenize", True: "/v1/tokenize"}

EngineRun = tuple[str, str, float | None, int]
_limits: dict[EngineRun, int] = {}


@dataclass(frozen=True)
class Tokenized:
    """`status` is 0 where nobody answers; `limit` is the engine's max_model_len."""

    status: int = 0
    tokens: int | None = None
    limit: int | None = None


def tokenize(settings: WebSettings, state: State, **subject: Any) -> Tokenized:
    """Have the `messages`, with what else the model's template takes, or the `prompt` counted."""
    if state.state not in SERVING:
        return Tokenized()
    body = json.dumps({"model": state.model.name} | subject).encode()
    call = open_call(settings, state, silence_timeout_s=TIMEOUT_S)
    try:
        call.send("POST", PATHS[state.successor is not None], body=body, headers={"Content-Type": JSON})
        answer = call.response()
        assert answer is not None  # noqa: S101 - only a watched client makes it None
        if answer.status != 200 or not answer.headers.get("Content-Type", "").startswith(JSON):
            return Tokenized(answer.status)
        document = json.loads(answer.read())
        found = Tokenized(200, int(document["count"]), int(document["max_model_len"]))
    except (UpstreamError, OSError, ValueError, KeyError, TypeError):
        return Tokenized()
    finally:
        call.close()
    if found.limit is not None:
        _limits[run_of(settings, state)] = found.limit
    return found


def known_limit(settings: WebSettings, state: State) -> int | None:
    """Say how many tokens the model reads at once, its reply included; None where the engine was not asked yet."""
    return _limits.get(run_of(settings, state))


def context_limit(settings: WebSettings, state: State) -> int | None:
    """Say the same, and ask the engine where it is not known; None where that does not say."""
    return known_limit(settings, state) or tokenize(settings, state, prompt="").limit


def run_of(settings: WebSettings, state: State) -> EngineRun:
    """Name what one engine keeps to: another model, or the same with other adjustments, has other facts."""
    place = state.successor.base_url if state.successor else str(settings.socket_path)
    return place, state.model.name, state.ready_at, state.restarts
