"""What may be changed of a launch, and what nobody can set through a page."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.run.engine_run import EngineRun
from llm_hoster.engine.run.plan import Plan
from llm_hoster.errors import SessionError
from tests.engine.conftest import wait_until


def test_shares_and_tokens_of_an_order_are_what_vllm_gets() -> None:
    assert Adjustment.parse({"gpu_memory_utilization": 0.65, "max_num_batched_tokens": 4096}).arguments() == [
        "--max-num-batched-tokens", "4096", "--gpu-memory-utilization", "0.65",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {"gpu_memory_utilization": 0.49},
        {"gpu_memory_utilization": 0.99},
        {"gpu_memory_utilization": math.nan},
        {"gpu_memory_utilization": True},
        {"gpu_memory_utilization": "0.9 --trust-remote-code"},
        {"max_num_batched_tokens": 0},
        {"max_num_batched_tokens": 2048.0},
        {"max_num_batched_tokens": True},
        {"enforce_eager": 1},
        {"trust_remote_code": True},
        {"kv_cache_memory_bytes": 1},
    ],
)
def test_what_is_no_setting_of_ours_cannot_be_ordered(values: dict[str, Any]) -> None:
    with pytest.raises(SessionError, match=r"cannot be set\. What can be changed: max_model_len, "):
        Adjustment.parse(values)


def test_what_an_earlier_failure_asked_for_is_kept() -> None:
    first = Adjustment(max_model_len=2048, enforce_eager=True)
    assert first.followed_by(Adjustment(gpu_memory_utilization=0.65)) == Adjustment(
        max_model_len=2048, gpu_memory_utilization=0.65, enforce_eager=True
    )
    assert first.followed_by(Adjustment(max_model_len=1024)).max_model_len == 1024


def test_the_button_under_a_failure_keeps_what_an_earlier_one_changed(tmp_path: Path) -> None:
    folders = Folders(tmp_path, tmp_path)
    folders.tmp_dir.mkdir()
    log = Path(__file__).with_name("logs") / "memory_taken.log"
    program = ["/bin/sh", "-c", f"cat {log}; exit 1"]
    plan = Plan(ServedModel("tiny", "Tiny"), program, os.environ, adjustment=Adjustment(max_model_len=2048))
    run = EngineRun(plan, folders, tmp_path / "vllm.log", lambda: None)
    run.start()

    def has_failed() -> bool:
        run.look()
        return run.failure is not None

    wait_until(has_failed)
    assert run.failure is not None and run.failure.remedy is not None
    assert run.failure.remedy.adjustment == Adjustment(max_model_len=2048, gpu_memory_utilization=0.65)
