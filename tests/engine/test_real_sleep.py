"""vLLM itself, asleep and awake again: on a CPU it frees nothing, but all else is as on a GPU."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import RunningSession
from tests.engine.test_real_recovery import say_hello
from tests.engine.test_serve import assert_nothing_is_left
from tests.engine.test_sleep import change, engines, notes
from tests.engine.test_supervisor import SmallSession, two_models

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]
GREETING = "Hello! I am the tiny model of LLM Hoster."


def test_a_model_comes_back_from_sleep_and_answers(
    start_session: Callable[..., RunningSession], prefix: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(prefix / "models" / "tiny", tmp_path / "second")
    models = [two_models("second", str(folder))]
    session = SmallSession(start_session(engine={"sleep_mode": True}, more_models=models))
    session.session.wait_for_state("ready", timeout_s=90)
    (first,) = engines(session)
    change(session, "second", timeout_s=90)
    began = time.monotonic()
    change(session, "tiny", timeout_s=90)

    assert first in engines(session)
    assert session.session.state().restarts == 0  # type: ignore[union-attr]
    assert "Tiny model has woken up after" in notes(session)
    assert time.monotonic() - began < 10
    assert say_hello(session.session) == GREETING
    session.session.stop()
    assert_nothing_is_left(session.session)
