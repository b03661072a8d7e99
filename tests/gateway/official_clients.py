"""What the tests of the official clients share: a session, what is asked of it, and what the tiny model knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.web_session import WebServer, ready_state, starting_state

MakeServer = Callable[..., WebServer]

GREETING = "Hello! I am the tiny model of LLM Hoster."
HELLO: Any = [{"role": "user", "content": "Say hello."}]
THINK: Any = [{"role": "user", "content": "Think, then answer."}]
WHAT_TIME: Any = [{"role": "user", "content": "What time is it?"}]
REASONING = "I should answer with one word."
TOO_LARGE = "x" * 21 * 1024 * 1024

# The states in which nobody answers, with the seconds after which a client is to ask again.
NOT_READY = {
    "starting": (starting_state(), 5),
    "switching": (ready_state(state="switching"), 5),
    "restarting": (ready_state(state="restarting", remaining_s=20.0), 25),
}
