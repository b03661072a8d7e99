"""The tiles of newer Intel processors: an engine for the CPU has asked the kernel for them before it computes."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ENGINE_NAME

pytestmark = pytest.mark.engine

TILES = 1 << 18
# arch_prctl: what the kernel could give, and what this process may use.
ASK = """
import ctypes
found = []
for question in (0x1021, 0x1022):
    answer = ctypes.c_uint64()
    ctypes.CDLL(None).syscall(158, question, ctypes.byref(answer))
    found.append(answer.value)
print(found)
"""


def test_each_python_of_the_engine_may_use_the_tiles_that_there_are(prefix: Path) -> None:
    python = prefix / "engine" / ENGINE_NAME / "bin" / "python"
    done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=True)
    supported, permitted = json.loads(done.stdout) if platform.machine() == "x86_64" else (0, 0)
    assert permitted & TILES == supported & TILES
