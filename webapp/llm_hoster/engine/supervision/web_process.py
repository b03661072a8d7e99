"""The process of the pages and the API: gunicorn on the socket that is already bound."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from llm_hoster.engine.failures.failure import deciding_line
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.record.job_log import say
from llm_hoster.engine.supervision.restart_policy import RestartPolicy
from llm_hoster.settings import SETTINGS_VARIABLE

CONFIG = Path(__file__).resolve().parents[2] / "gunicorn_conf.py"
APPLICATION = "llm_hoster.web:create_app()"
ANSWER_TIMEOUT_S = 60.0
# Pages that answered once are asked so often, and are started again when they are silent so many times in a row.
ASK_INTERVAL_S = 60.0
SILENCES_MAX = 3


@dataclass
class _Run:
    """One gunicorn. The thread that asks it writes down here what it finds: for the next one that counts no more."""

    has_ended: threading.Event = field(default_factory=threading.Event)
    answered_at: float | None = None
    heard_at: float = 0.0
    is_silent: bool = False
    is_killed: bool = False


class WebProcess:
    """
    Started again when it dies or is silent: the socket is ours, so that whoever calls meanwhile just waits.

    `hand_over` is called once, in the thread of the supervisor, when the pages answer.
    """

    def __init__(
        self,
        listener: socket.socket,
        settings_path: Path,
        log: Path,
        *,
        cwd: Path,
        hand_over: Callable[[], None],
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        ask_interval_s: float = ASK_INTERVAL_S,
    ) -> None:
        self._listener = listener
        self._settings_path = settings_path
        self._cwd = cwd
        self._hand_over: Callable[[], None] | None = hand_over
        self._answer_timeout_s = answer_timeout_s
        self._ask_interval_s = ask_interval_s
        self._run = _Run()
        self._notify: Callable[[], None] = lambda: None
        self._policy = RestartPolicy()
        # By the clock that only goes on.
        self._start_at: float | None = None
        # A sentence when the pages have ended for good, or never answered.
        self.cause_of_end: str | None = None
        self.child = Child("chat page", log=log, on_line=self._take_line, on_end=self._take_end)

    def start(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._listener.set_inheritable(True)
        descriptor = self._listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--config", str(CONFIG), "--bind", f"fd://{descriptor}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GUNICORN_")}
        environment |= {SETTINGS_VARIABLE: str(self._settings_path), "PYTHONUNBUFFERED": "1"}
        run = self._run = _Run()
        self.child.start([*command, APPLICATION], environment, cwd=self._cwd, pass_fds=[descriptor])
        threading.Thread(target=self._watch, args=(run,), name="chat page answers", daemon=True).start()

    def due_at(self) -> float | None:
        """When `look` has something to do by the clock, in Unix seconds."""
        return None if self._start_at is None else time.time() + self._start_at - time.monotonic()

    def look(self) -> None:
        """Take over what has happened since the last call; start the pages again where they have died."""
        run = self._run
        if self._start_at is not None:
            if time.monotonic() >= self._start_at:
                self._start_at = None
                try:
                    self.start(self._notify)
                except OSError as error:
                    self._start_later(f"The chat page's server cannot be started: {error.strerror}.", 0.0)
        elif run.has_ended.is_set():
            # A worker may outlive its master by a moment, and would take requests that nobody watches over.
            self.child.signal_group(signal.SIGKILL)
            served_s = 0.0 if run.answered_at is None else time.monotonic() - run.answered_at
            self._start_later(self._sentence_of_end(run), served_s)
        elif run.is_silent and self._hand_over is not None:
            self.cause_of_end = "The chat page did not answer as it should. web.log in the session's folder says more."
        elif run.is_silent and not run.is_killed:
            run.is_killed = True
            self.child.signal_group(signal.SIGKILL)

    def _sentence_of_end(self, run: _Run) -> str:
        if run.is_killed:
            return "The chat page's server did not answer any more."
        line = deciding_line(list(self.child.lines))
        said = f" It said last: {line}" if line else ""
        return f"The chat page's server ended by itself (exit status {self.child.return_code}).{said}"

    def _start_later(self, sentence: str, served_s: float) -> None:
        delay_s = self._policy.delay_after_crash(served_s)
        if delay_s is None or self._hand_over is not None:
            self.cause_of_end = sentence
            return
        say("session", f"{sentence} It is started again.")
        self._start_at = time.monotonic() + delay_s
        self._notify()

    def hand_over_once(self) -> None:
        if self._run.answered_at is not None and self._hand_over is not None:
            self._hand_over()
            self._hand_over = None

    # --- In the thread of one run ---

    def _watch(self, run: _Run) -> None:
        """The socket listens already, so that the first request waits just until gunicorn takes it."""
        if self._does_answer():
            run.answered_at = time.monotonic()
            self._notify()
            self._wait_for_silence(run)
        if not run.has_ended.is_set():
            run.is_silent = True
            self._notify()

    def _wait_for_silence(self, run: _Run) -> None:
        silences = 0
        while silences < SILENCES_MAX and not run.has_ended.wait(self._ask_interval_s):
            asked_at = time.monotonic()
            # With all its threads at work it answers late. Then it says meanwhile what else it has answered.
            is_alive = self._does_answer() or run.heard_at > asked_at
            silences = 0 if is_alive else silences + 1

    def _does_answer(self) -> bool:
        # Imported here: it takes longer to load than all that must happen before vLLM starts.
        import http.client

        port = self._listener.getsockname()[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=self._answer_timeout_s)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.NO_CONTENT
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _take_line(self, _line: str) -> None:
        self._run.heard_at = time.monotonic()

    def _take_end(self) -> None:
        self._run.has_ended.set()
        self._notify()
