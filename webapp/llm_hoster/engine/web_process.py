"""The process of the pages and the API: gunicorn on the socket that is already bound."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from llm_hoster.engine.child import Child
from llm_hoster.engine.failure import deciding_line
from llm_hoster.settings import SETTINGS_VARIABLE

CONFIG = Path(__file__).resolve().parent.parent / "gunicorn_conf.py"
APPLICATION = "llm_hoster.web:create_app()"
ANSWER_TIMEOUT_S = 60.0


class WebProcess:
    """`hand_over` is called once, in the thread of the supervisor, when the pages answer."""

    def __init__(
        self, listener: socket.socket, settings_path: Path, log: Path, *, cwd: Path, hand_over: Callable[[], None]
    ) -> None:
        self._listener = listener
        self._settings_path = settings_path
        self._cwd = cwd
        self._hand_over: Callable[[], None] | None = hand_over
        self._answers: bool | None = None
        self._has_ended = False
        self._notify: Callable[[], None] = lambda: None
        self.child = Child("chat page", log=log, on_end=self._take_end)

    def start(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._listener.set_inheritable(True)
        descriptor = self._listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--config", str(CONFIG), "--bind", f"fd://{descriptor}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GUNICORN_")}
        environment |= {SETTINGS_VARIABLE: str(self._settings_path), "PYTHONUNBUFFERED": "1"}
        self.child.start([*command, APPLICATION], environment, cwd=self._cwd, pass_fds=[descriptor])
        threading.Thread(target=self._ask, name="chat page answers", daemon=True).start()

    @property
    def cause_of_end(self) -> str | None:
        """A sentence when the pages have ended or never answered."""
        if self._has_ended:
            line = deciding_line(list(self.child.lines))
            said = f" It said last: {line}" if line else ""
            return f"The chat page's server ended by itself (exit status {self.child.return_code}).{said}"
        if self._answers is False:
            return "The chat page did not answer as it should. web.log in the session's folder says more."
        return None

    def hand_over_once(self) -> None:
        if self._answers and self._hand_over is not None:
            self._hand_over()
            self._hand_over = None

    def _ask(self) -> None:
        """The socket listens already, so that one request waits just until gunicorn takes it."""
        # Imported here: it takes longer to load than all that must happen before vLLM starts.
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self._listener.getsockname()[1], timeout=ANSWER_TIMEOUT_S)
        try:
            connection.request("GET", "/healthz")
            self._answers = connection.getresponse().status == http.HTTPStatus.NO_CONTENT
        except (OSError, http.client.HTTPException):
            self._answers = False
        finally:
            connection.close()
        self._notify()

    def _take_end(self) -> None:
        self._has_ended = True
        self._notify()
