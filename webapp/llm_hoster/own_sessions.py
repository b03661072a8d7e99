"""
The sessions of the person who runs a command: found in the folders that OnDemand stages, and asked over HTTP.

Whoever can read the folder is the owner: the folder's secret opens the session's pages as the card's button does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from llm_hoster.client.endpoint import Endpoint, read_object
from llm_hoster.client.session_files import STAGED_FILE
from llm_hoster.client.staged_session import DEPTH_MAX, StagedSession, data_roots, sessions_named, staged_folders
from llm_hoster.engine.chain.predecessor import CALLED_OFF_FILE, PREDECESSOR_FILE
from llm_hoster.engine.record.successor import SUCCESSOR_FILE
from llm_hoster.errors import NoSessionError, SessionError

# Where `llm-hoster launch` stages: batch_connect/command_line/output/ID. No app of the portal is called so.
COMMAND_LINE = "command_line"
DEFAULT_DATA_ROOT = "ondemand/data/sys/dashboard"
CONTEXT_CHARACTERS_MAX = 16384
# To connect, and to wait for an answer.
TIMEOUT_S = (3.0, 10.0)


class OwnSession(StagedSession):
    """One staged folder, and the login to its session, which is kept."""

    @property
    def endpoint(self) -> Endpoint | None:
        """As in its file, but always the session's own address: the file names that of the next in a row."""
        endpoint = super().endpoint
        if endpoint is None or not self.has_successor:
            return endpoint
        base_url = self._own_base_url()
        return None if base_url is None else replace(endpoint, base_url=base_url)

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
        """As in its file; before the job has started, the word of who has called it off."""
        return super().outcome or self._called_off()

    @property
    def has_ended(self) -> bool:
        """Whether it said so, was called off, or has not said anything for a day."""
        return bool(self._called_off()) or super().has_ended

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
        if self.is_of_command_line or (self.folder / PREDECESSOR_FILE).exists():
            return True  # The portal has never known of it: the command, or the session before it, has submitted it.
        for folder in self.folder.parents[: DEPTH_MAX + 2]:
            if (folder / "db").is_dir():
                return (folder / "db" / self.id).exists()
        return True

    @property
    def is_of_command_line(self) -> bool:
        """Whether `llm-hoster launch` has made it: then the portal has no card for it, and only Slurm knows its job."""
        return self.folder.parent.parent.name == COMMAND_LINE

    def _called_off(self) -> Mapping[str, Any]:
        try:
            return {"reason": (self.folder / CALLED_OFF_FILE).read_text().strip()}
        except OSError:
            return {}

    def staged(self) -> Mapping[str, Any]:
        """Give session.json: the form's values under `context`, and the catalogue."""
        return read_object(self.folder / STAGED_FILE)

    def context(self) -> Mapping[str, Any]:
        """Give the form's values alone. They stand first, and the catalogue after them is large."""
        try:
            with (self.folder / STAGED_FILE).open(encoding="utf-8") as file:
                start = file.read(CONTEXT_CHARACTERS_MAX)
            values, _ = json.JSONDecoder().raw_decode(start.partition(":")[2].lstrip())
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def require_endpoint(self) -> Endpoint:
        """Raise SessionError where it has no address yet."""
        endpoint = self.endpoint
        if endpoint is None:
            raise SessionError(f"Session {self.id} has no address yet: its job waits, or has just begun.")
        return endpoint

    def get(self, path: str) -> requests.Response:
        """Ask as the owner; raise SessionError when the session does not answer. Statuses are the caller's matter."""
        return self._ask("GET", path, None)

    def post(self, path: str, form: Mapping[str, str]) -> requests.Response:
        """Send a form as a page of the session does. A redirect is given back and not followed."""
        return self._ask("POST", path, form)

    def _ask(self, method: str, path: str, form: Mapping[str, str] | None) -> requests.Response:
        root_url = self.require_endpoint().root_url
        return self._send(self._logged_in, method, f"{root_url}{path}", form)

    @cached_property
    def _logged_in(self) -> requests.Session:
        endpoint = self.require_endpoint()
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
    return list(map(OwnSession, staged_folders()))


def find_session(name: str | None = None) -> OwnSession:
    """
    Find a session by its folder, its id or the beginning of its id; without a name, the one that runs.

    Raise NoSessionError that lists what there is, where that is none or several.
    """
    if name is not None and (Path(name) / STAGED_FILE).is_file():
        return OwnSession(Path(name).resolve())
    sessions = own_sessions()
    if name is None:
        fitting = [session for session in sessions if session.is_running and not session.has_successor]
        none, several = "None of your sessions runs", "Several of your sessions run: name one of them"
    else:
        fitting = sessions_named(name, sessions)
        none, several = f"No session of yours is {name!r}", f"Several of your sessions begin with {name!r}"
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(session.id for session in (fitting or sessions)[:10])
    problem = several if fitting else none
    raise NoSessionError(f"{problem}." + (f" There is: {known}." if known else " None was found at all."))


def model_of(context: Mapping[str, Any]) -> str:
    """Give the model that the form's values name: one of the catalogue, or what the person typed."""
    return str(context.get("typed_model") or context.get("model") or "?")


def command_line_output() -> Path:
    """Name the folder in which `llm-hoster launch` stages: where the portal keeps its sessions, or would keep them."""
    roots = data_roots() or [Path.home() / DEFAULT_DATA_ROOT]
    return roots[0] / "batch_connect" / COMMAND_LINE / "output"
