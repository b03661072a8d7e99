"""
The sessions of the person who runs a command: found in the folders that OnDemand stages, and asked over HTTP.

Whoever can read the folder is the owner: the folder's secret opens the session's pages as the card's button does.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from llm_hoster.engine.chain.predecessor import CALLED_OFF_FILE, PREDECESSOR_FILE
from llm_hoster.engine.record.successor import SUCCESSOR_FILE
from llm_hoster.errors import SessionError

DATA_ROOT_VARIABLE = "OOD_DATAROOT"
# batch_connect/[CLUSTER/]{sys,dev,usr}/[USER/]APP[/SUB_APP]/output/ID
DEPTH_MAX = 5
STAGED_FILE = "session.json"
# To connect, and to wait for an answer.
TIMEOUT_S = (3.0, 10.0)
# `serve` writes outcome.json every 30 s, unless the home folder is full.
SILENCE_S = 90.0
GONE_S = 86400.0


@dataclass(frozen=True)
class Endpoint:
    """The content of endpoint.json."""

    base_url: str
    api_key: str
    model: str

    @property
    def root_url(self) -> str:
        return self.base_url.removesuffix("/v1")


class OwnSession:
    """One staged folder. What it says of itself is read anew each time; the login is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def endpoint(self) -> Endpoint | None:
        """None before the job has started. Once the next in a row has taken over, the file names that one's address."""
        values = _read_object(self.folder / "endpoint.json")
        if self.has_successor:
            values |= {"base_url": self._own_base_url()}
        names = ("base_url", "api_key", "model")
        if not all(isinstance(values.get(name), str) for name in names):
            return None
        return Endpoint(**{name: values[name] for name in names})

    @property
    def has_successor(self) -> bool:
        return (self.folder / SUCCESSOR_FILE).exists()

    def _own_base_url(self) -> str | None:
        """Its card has it, as base64 of JSON."""
        try:
            card = json.loads(base64.b64decode((self.folder / "card").read_bytes()))
            return str(card["base_url"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def outcome(self) -> Mapping[str, Any]:
        """The content of outcome.json; empty before the job has started."""
        return _read_object(self.folder / "outcome.json")

    @property
    def has_ended(self) -> bool:
        """Whether it said so, or has not said anything for a day."""
        was_called_off = (self.folder / CALLED_OFF_FILE).exists()
        return was_called_off or self.outcome.get("ended_at") is not None or self._silence_s() > GONE_S

    @property
    def is_silent(self) -> bool:
        """Whether it has stopped to write what it costs: its node is gone, or its home folder is full."""
        return self._silence_s() > SILENCE_S

    @property
    def is_running(self) -> bool:
        """Where the files leave a doubt, the session is asked."""
        if self.endpoint is None or self.has_ended:
            return False
        try:
            return not self.is_silent or self.get("/healthz").ok
        except SessionError:
            return False

    @property
    def is_on_a_card(self) -> bool:
        """Whether the portal still has its record: one that was deleted while it waited leaves no other word."""
        if (self.folder / PREDECESSOR_FILE).exists():
            return True  # The portal has never known of it: the session before it has submitted it.
        for folder in self.folder.parents[: DEPTH_MAX + 2]:
            if (folder / "db").is_dir():
                return (folder / "db" / self.id).exists()
        return True

    def _silence_s(self) -> float:
        try:
            return time.time() - (self.folder / "outcome.json").stat().st_mtime
        except OSError:
            return 0.0

    def staged(self) -> Mapping[str, Any]:
        """Give session.json: the form's values under `context`, and the catalogue."""
        return _read_object(self.folder / STAGED_FILE)

    def get(self, path: str) -> requests.Response:
        """Ask as the owner; raise SessionError when the session does not answer. Statuses are the caller's matter."""
        return self._ask("GET", path, None)

    def post(self, path: str, form: Mapping[str, str]) -> requests.Response:
        """Send a form as a page of the session does. A redirect is given back and not followed."""
        return self._ask("POST", path, form)

    def _ask(self, method: str, path: str, form: Mapping[str, str] | None) -> requests.Response:
        root_url = self._running_endpoint().root_url
        return self._send(self._logged_in, method, f"{root_url}{path}", form)

    @cached_property
    def _logged_in(self) -> requests.Session:
        endpoint = self._running_endpoint()
        client = requests.Session()
        # The cluster's own addresses are not for a proxy, whatever the environment names.
        client.trust_env = False
        client.headers.update({"Accept": "application/json", "Origin": endpoint.root_url})
        try:
            secret = (self.folder / "secret").read_text()
        except OSError as error:
            raise SessionError(f"{error.filename}: cannot be read ({error.strerror}). It opens the session.") from error
        answer = self._send(client, "POST", f"{endpoint.root_url}/login", {"password": secret})
        if answer.status_code != requests.codes.see_other:
            raise SessionError(f"{endpoint.root_url} is not session {self.id} any more: it has ended.")
        return client

    def _running_endpoint(self) -> Endpoint:
        endpoint = self.endpoint
        if endpoint is None:
            raise SessionError(f"Session {self.id} has no address yet: its job waits, or has just begun.")
        return endpoint

    def _send(
        self, client: requests.Session, method: str, url: str, form: Mapping[str, str] | None
    ) -> requests.Response:
        try:
            # Redirects lead to pages, and one from a stranger on the port of a dead session could lead anywhere.
            return client.request(method, url, data=form, timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise SessionError(
                f"Session {self.id} does not answer at {url.partition('://')[2].partition('/')[0]}: it has ended, or "
                "this machine cannot reach its node. Try it on a login node of the cluster."
            ) from error


def own_sessions() -> list[OwnSession]:
    """Find every staged session of this app, newest first; ended ones too, as long as their folders are there."""
    found = []
    for root in _data_roots():
        for output in _output_folders(root / "batch_connect", DEPTH_MAX):
            for folder in _folders(output):
                path = folder / STAGED_FILE
                if path.is_file() and _is_ours(path):
                    found.append((path.stat().st_mtime, OwnSession(folder)))
    return [session for _, session in sorted(found, key=lambda each: each[0], reverse=True)]


def find_session(name: str | None = None) -> OwnSession:
    """
    Find a session by its folder, its id or the beginning of its id; without a name, the one that runs.

    Raise SessionError that lists what there is, where that is none or several.
    """
    if name is not None and (Path(name) / STAGED_FILE).is_file():
        return OwnSession(Path(name).resolve())
    sessions = own_sessions()
    if name is None:
        fitting = [session for session in sessions if session.is_running and not session.has_successor]
        if len(fitting) == 1:
            return fitting[0]
        problem = "None of your sessions runs" if not fitting else "Several of your sessions run: name one of them"
    else:
        fitting = [session for session in sessions if session.id.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        problem = f"Several of your sessions begin with {name!r}" if fitting else f"No session of yours is {name!r}"
    known = ", ".join(session.id for session in (fitting or sessions)[:10])
    raise SessionError(f"{problem}." + (f" There is: {known}." if known else " None was found at all."))


def _data_roots() -> list[Path]:
    """OnDemand's own rule: OOD_DATAROOT, or a folder in the home that has the portal's name, `ondemand` mostly."""
    configured = os.environ.get(DATA_ROOT_VARIABLE)
    return [Path(configured)] if configured else sorted(Path.home().glob("*/data/*/dashboard"))


def _output_folders(folder: Path, depth: int) -> Iterator[Path]:
    for each in _folders(folder):
        if each.name == "output":
            yield each
        elif depth > 1:
            yield from _output_folders(each, depth - 1)


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _is_ours(path: Path) -> bool:
    """Other apps have a session.json too. Ours begins with the form's values, and has the catalogue after them."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b'{"context"')
    except OSError:
        return False


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
