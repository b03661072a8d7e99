"""
A step of Slurm that is asked to end by the end of its input: `python -m llm_hoster.engine.cluster.step COMMAND...`

srun has a step killed at once when it gets SIGTERM or is killed itself, and then nobody removes the step's files on the
other node. So it is kept out of our process group, and its input is open as long as this program lives: SIGTERM closes
it, and so does whatever else ends us.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence


def hold(command: Sequence[str]) -> int:
    # S603: a list, made by us.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as srun:  # noqa: S603
        assert srun.stdin is not None  # noqa: S101 - a pipe was asked for
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: srun.stdin and srun.stdin.close())
        return srun.wait()


if __name__ == "__main__":
    sys.exit(hold(sys.argv[1:]))
