"""The tunnel: opened, kept up, led to the session's next node, and closed."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from llm_hoster.client.endpoint import Endpoint
from llm_hoster.client.own_folder import make_private, tunnels_folder
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import LLMHosterError, SessionError
from llm_hoster.status_command.text import clean
from llm_hoster.tunnel_command.remote_session import RemoteSession, choose, question, read_sessions
from llm_hoster.tunnel_command.ssh import SshConnection

FIRST_PORT = 8000
LAST_PORT = 8999
PAUSE_MAX_S = 60.0
POLL_S = 1.0
# Login nodes are shared: they are asked this seldom whether the session has moved.
ASK_EVERY_S = 15.0


@dataclass(frozen=True)
class Route:
    """From a port of this machine to the session's, as `ssh -L` takes it."""

    port: int
    endpoint: Endpoint

    def __str__(self) -> str:
        url = urlsplit(self.endpoint.base_url)
        return f"127.0.0.1:{self.port}:{url.hostname}:{url.port}"

    @property
    def local(self) -> Endpoint:
        return replace(self.endpoint, base_url=f"http://127.0.0.1:{self.port}/v1")


class Tunnel:
    """`tell` gets a line for each change; `on_open` what is there to use, each time that it is another."""

    def __init__(
        self,
        connection: SshConnection,
        wanted: str,
        *,
        port: int,
        ask_every_s: float,
        tell: Callable[[str], None],
        on_open: Callable[[Route, Path], None],
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._port = port
        self._ask_every_s = ask_every_s
        self._tell = tell
        self._on_open = on_open
        self._route: Route | None = None
        self._file: Path | None = None
        self._folder = ""

    def run(self) -> str:
        """Keep it up until the session ends, and give the reason of that."""
        self._connect_first()
        asked_at = -self._ask_every_s
        while True:
            if not self._connection.is_up:
                self._connect_again()
                asked_at = -self._ask_every_s
            if time.monotonic() - asked_at >= self._ask_every_s:
                asked_at = time.monotonic()
                session = self._ask()
                if session is not None and session.has_ended and session.successor_folder is None:
                    return clean(session.reason) or "The session has ended."
                if session is not None:
                    self._follow(session)
            time.sleep(min(POLL_S, self._ask_every_s))

    def close(self) -> None:
        self._connection.close()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _connect_first(self) -> None:
        if not self._connection.open():
            raise LLMHosterError("ssh could not log in; its own words are above.")

    def _connect_again(self) -> None:
        pause_s = 1.0
        self._route = None  # It went with the connection.
        self._tell("the connection is lost, logging in again ...")
        while not self._connection.open():
            self._tell(f"the login node does not answer, trying again in {pause_s:.0f} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _ask(self) -> RemoteSession | None:
        """Give None where the login node has nothing to say: the connection may just be ending."""
        sessions = read_sessions(self._connection.ask(question(self._folder or self._wanted)))
        if sessions is None:
            return None
        if self._folder and not sessions:
            raise SessionError("The session's folder is not there any more: it was deleted.")
        session = choose(sessions, self._folder or self._wanted)
        self._folder = session.folder
        if session.has_ended and session.successor_folder is not None:
            self._folder = session.successor_folder
        return session

    def _follow(self, session: RemoteSession) -> None:
        if session.endpoint is None:
            self._tell(f"session {clean(session.id)} has no address yet: its job waits, or has just begun")
            return
        route = Route(self._port, session.endpoint)
        if route == self._route:
            return
        if str(route) != str(self._route):
            if self._route is not None:
                self._connection.cancel(str(self._route))
            self._route = None
            if not self._connection.forward(str(route)):
                if self._connection.is_up:
                    raise LLMHosterError(f"ssh could not open port {self._port} of this machine. Try another --port.")
                return
        self._route = route
        self._on_open(route, self._write(session.id, route))
        self._tell(f"open: {route.local.base_url} leads to {clean(route.endpoint.model)} at {route.endpoint.host}")

    def _write(self, session_id: str, route: Route) -> Path:
        """Clients on this machine find the key there, and by it the tunnel."""
        if self._file is None:
            self._file = make_private(tunnels_folder()) / f"{Path(session_id).name}.json"
        local = route.local
        values = {"base_url": local.base_url, "api_key": local.api_key, "model": local.model}
        replace_file(self._file, json.dumps(values))
        return self._file


def free_port() -> int:
    """Take the first that is free, so that it is mostly the same one; raise LLMHosterError for none."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise LLMHosterError(f"No port from {FIRST_PORT} to {LAST_PORT} is free here. Name one with --port.")
