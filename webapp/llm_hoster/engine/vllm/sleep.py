"""
vLLM's sleep mode: the weights go to the job's memory, what was read of conversations is dropped, the GPU is free.

Its routes are among those for development, which are open on the session's own socket alone (docs/security.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from llm_hoster.catalogue.choice import Choice
from llm_hoster.engine.vllm.figures import read_figures
from llm_hoster.engine.vllm.request import post
from llm_hoster.errors import EngineError

# Weights are kept; at level 2 they would be read again.
SLEEP = "/sleep?level=1"
WAKE = "/wake_up"
VARIABLES: Mapping[str, str] = {"VLLM_SERVER_DEV_MODE": "1"}
# Hundreds of GB, over a bus of some GB/s.
ANSWER_TIMEOUT_S = 180.0
# A question that was on its way when the socket went aside is in vLLM's figures by then, and has this long to end.
LATE_S = 0.5
LATE_MAX_S = 10.0
POLL_S = 0.2


def can_sleep(choice: Choice) -> bool:
    """Whether the site wants it, and one vLLM has all of the model."""
    return choice.engine.sleep_mode and choice.offer.nodes == 1 and choice.replicas == 1


def sleep_arguments(choice: Choice) -> Sequence[str]:
    if not can_sleep(choice):
        return ()
    # In development vLLM logs a traceback for each request that it refuses.
    quiet = ("--no-log-error-stack",)
    # On a CPU vLLM refuses the option, and answers the routes all the same: nothing is freed, but all else is tried.
    return quiet if choice.engine.accelerator == "cpu" else ("--enable-sleep-mode", *quiet)


def fall_asleep(socket_path: Path) -> None:
    """
    Return when it sleeps; raise EngineError where it does not.

    A question that a sleeping vLLM takes waits for as long as it sleeps, so that there must be none.
    """
    deadline = time.monotonic() + LATE_MAX_S
    time.sleep(LATE_S)
    while (figures := read_figures(socket_path)) is None or figures.are_requests_open:
        if time.monotonic() > deadline:
            raise EngineError("It still writes answers.")
        time.sleep(POLL_S)
    _ask(socket_path, SLEEP)


def wake_up(socket_path: Path) -> None:
    """Return when it is awake; raise EngineError where it is not."""
    _ask(socket_path, WAKE)


def _ask(socket_path: Path, path: str) -> None:
    try:
        status, answer = post(socket_path, path, {}, ANSWER_TIMEOUT_S)
    except OSError as error:
        raise EngineError(f"vLLM does not answer ({error}).") from error
    if status != HTTPStatus.OK:
        raise EngineError(f"vLLM answers {status}: {answer[:200].decode(errors='replace')}")
