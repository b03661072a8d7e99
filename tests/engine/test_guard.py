"""The end of what has strayed from a session's groups, and who is spared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import wait_until

# In a process of its own: it kills every child of the one that it runs in.
BEGIN = """
import os, subprocess, time
from llm_hoster.engine.process.guard import adopt_orphans, kill_descendants

adopt_orphans()
helper = subprocess.Popen(["sleep", "60"])
subprocess.run(["sh", "-c", "setsid sleep 61 &"], start_new_session=True)
time.sleep(0.3)

def left():
    found = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout
    return sorted(line for line in found.splitlines() if line.startswith("sleep"))
"""


GUARDED = """
import os, signal, sys
from pathlib import Path
from llm_hoster.engine.process.guard import Guard

guard = Guard(Path(sys.argv[1]))
if sys.argv[2] == "told":
    guard.watch([])
print(guard.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("is_told", [True, False])
def test_a_guard_that_knows_no_processes_leaves_the_folder_by_which_they_are_found(
    tmp_path: Path, is_told: bool
) -> None:
    folder = tmp_path / "llmh-session"
    folder.mkdir()
    command = [sys.executable, "-c", GUARDED, str(folder), "told" if is_told else "untold"]
    guard = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=20).stdout)
    wait_until(lambda: not Path(f"/proc/{guard}").exists())
    assert folder.exists() is not is_told


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_strays_are_killed_and_what_runs_in_our_own_session_is_spared_until_the_end() -> None:
    """Slurm's programs run there, in threads, while a dead vLLM's rest is cleared away."""
    script = """
print(left())
kill_descendants(set(), 2.0, spare_own_session=True)
print(left(), helper.poll())
kill_descendants(set(), 2.0)
print(left())
"""
    assert run(script).splitlines() == ["['sleep 60', 'sleep 61']", "['sleep 60'] None", "[]"]


def test_what_runs_as_another_user_is_left_and_not_waited_for() -> None:
    """Nothing of ours can end a program that has become another user's."""
    script = """
real, os.kill = os.kill, lambda pid, number: refuse() if pid == helper.pid else real(pid, number)
def refuse():
    raise PermissionError
began = time.monotonic()
kill_descendants(set(), 10.0)
print(left(), time.monotonic() - began < 2)
helper.kill = lambda: real(helper.pid, 9)
helper.kill()
"""
    assert run(script) == "['sleep 60'] True"
