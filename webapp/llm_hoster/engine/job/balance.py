"""How many SU the account has left: the site's own command knows, asked now and then beside everything else."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.job_log import say
from llm_hoster.errors import SessionError

INTERVAL_S = 600.0
TIMEOUT_S = 10.0
# For what has left the command's group and holds its output.
SLACK_S = 1.0
FILE = "balance.json"
ACCOUNT = "{account}"


def read_balance(runtime_dir: Path) -> float | None:
    """Give the SU that were left when the command last ran; None where it failed, or has not run."""
    try:
        return float(json.loads((runtime_dir / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


class BalanceWatch:
    """Runs `balance_command` of site.yml for one account and keeps its answer in the runtime folder."""

    def __init__(
        self,
        command: Sequence[str],
        account: str,
        runtime_dir: Path,
        *,
        interval_s: float = INTERVAL_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._command = [argument.replace(ACCOUNT, account) for argument in command]
        self._path = runtime_dir / FILE
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._has_complained = False

    def start(self) -> None:
        threading.Thread(target=self._watch, name="balance", daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.look()
            time.sleep(self._interval_s)

    def look(self) -> None:
        """Run the command once. What fails is not shown, and told once: the session goes on without it."""
        try:
            replace_file(self._path, json.dumps(self._ask()))
        except (OSError, SessionError) as error:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            if not self._has_complained:
                say("balance", f"balance_command of site.yml failed, so no balance is shown: {error}")
            self._has_complained = True

    def _ask(self) -> float:
        if shutil.which(self._command[0]) is None:
            raise SessionError(f"there is no program {self._command[0]}")
        # `timeout` ends all that the command has started with it. A session of its own would do that too, but then the
        # supervisor would take it for a stray process of vLLM's (guard.py).
        command = ["timeout", "--signal=KILL", str(self._timeout_s), *self._command]
        try:
            done = subprocess.run(  # noqa: S603 - the site's own command, as a list
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._timeout_s + SLACK_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SessionError("it left something behind that goes on") from None
        if done.returncode == -signal.SIGKILL:
            raise SessionError(f"it did not end within {self._timeout_s:.0f} s, or was killed")
        if done.returncode != 0:
            raise SessionError(f"it ended with exit status {done.returncode}")
        return _parse(done.stdout)


def _parse(output: bytes) -> float:
    try:
        left = float(output)
    except ValueError:
        left = math.nan
    if not math.isfinite(left):
        raise SessionError(f"expected one number, the SU left; found {output[:60]!r}")
    return left
