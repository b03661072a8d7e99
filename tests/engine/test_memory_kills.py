"""The kernel's own count of processes that it killed for want of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_hoster.engine.failures.memory_kills import count_memory_kills


@pytest.mark.parametrize(
    ("own", "file", "text"),
    [
        ("0::/system.slice/job_7/step_batch\n", "system.slice/job_7/step_batch/memory.events", "low 0\noom_kill 3\n"),
        (
            "12:cpuset:/x\n5:memory,hugetlb:/slurm/job_7\n",
            "memory/slurm/job_7/memory.oom_control",
            "under_oom 0\noom_kill 3\n",
        ),
    ],
)
def test_both_kinds_of_cgroups_are_read(tmp_path: Path, own: str, file: str, text: str) -> None:
    (tmp_path / "own").write_text(own)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text)
    assert count_memory_kills(tmp_path / "own", tmp_path) == 3


def test_where_nobody_counts_nothing_is_said(tmp_path: Path) -> None:
    assert count_memory_kills(tmp_path / "none", tmp_path) is None
    (tmp_path / "own").write_text("0::/gone\n1:name=systemd:/x\n")
    assert count_memory_kills(tmp_path / "own", tmp_path) is None
