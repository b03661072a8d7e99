"""Run one of the programs beside this file with an engine's own Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.conftest import ENGINE_NAME, vllm_cache

TIMEOUT_S = 280


def run_program(prefix: Path, name: str, folder: Path) -> None:
    """Its output is left in the folder, and shown when it fails."""
    here = Path(__file__).parent
    answer = subprocess.run(
        [prefix / "engine" / ENGINE_NAME / "bin" / "python", here / name, folder],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder), "VLLM_CACHE_ROOT": str(vllm_cache())},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    (folder / f"{name}.log").write_text(answer.stdout + answer.stderr)
    assert answer.returncode == 0, answer.stderr[-3000:]
