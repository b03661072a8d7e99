"""
What the files of a session say, read on the login node.

Nothing of ours needs to be installed there: a few lines of sh come over the connection and print the files. The name of
the session is in these lines and in no argument, which everybody on that machine could read.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from llm_hoster.client.endpoint import Endpoint, endpoint_of
from llm_hoster.client.staged_session import GONE_S
from llm_hoster.errors import NoSessionError

MARK = "llm-hoster:"
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
# $wanted is a folder or file, the beginning of a session's id, a job's number, or empty.
SCRIPT = """
say() { printf '%s%s %s\\n' 'llm-hoster:' "$1" "$2"; }
age() { echo $(( $(date +%s) - $(stat -c %Y "$1" 2>/dev/null || date +%s) )); }
tell() {
  [ -f "$1/session.json" ] || return 0
  say folder "$1"
  say age "$(age "$1/session.json")"
  say silence "$(age "$1/outcome.json")"
  for each in endpoint outcome successor; do
    [ -f "$1/$each.json" ] && say "$each" "$(tr -d '\\n' < "$1/$each.json")"
  done
}
search() {
  find "$1/batch_connect" -maxdepth 8 -path "*/output/$2/session.json" 2>/dev/null | while IFS= read -r file; do
    tell "${file%/session.json}"
  done
}
look() {
  search "$1" "$wanted*"
  case $wanted in
    *[!0-9]*|'') ;;
    *) grep -ls "\\"job_id\\": *\\"$wanted\\"" "$1"/batch_connect/db/* | while IFS= read -r file; do
         search "$1" "${file##*/}"
       done ;;
  esac
}
case $wanted in
  */endpoint.json) tell "${wanted%/*}" ;;
  */*) tell "${wanted%/}" ;;
  *)
    if [ -n "$OOD_DATAROOT" ]; then
      look "$OOD_DATAROOT"
    else
      for root in "$HOME"/*/data/*/dashboard; do look "$root"; done
    fi ;;
esac
say end ''
"""


@dataclass
class RemoteSession:
    """One staged folder of the cluster. `age_s` is since it was staged, `silence_s` since its last word."""

    folder: str
    age_s: float = 0.0
    silence_s: float = 0.0
    endpoint: Endpoint | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    successor_folder: str | None = None

    @property
    def id(self) -> str:
        return PurePosixPath(self.folder).name

    @property
    def has_ended(self) -> bool:
        return self.outcome.get("ended_at") is not None or self.silence_s > GONE_S

    @property
    def reason(self) -> str:
        reason = self.outcome.get("reason")
        return reason if isinstance(reason, str) else ""


def question(wanted: str) -> str:
    """Give the lines of sh that look for a session."""
    return f"wanted={shlex.quote(wanted)}\n{SCRIPT}"


def read_sessions(text: str) -> list[RemoteSession] | None:
    """Give what the lines have printed; None where they have not come to their end. Other programs may print too."""
    sessions: list[RemoteSession] = []
    for line in text.splitlines():
        name, _, value = line.removeprefix(MARK).partition(" ")
        if not line.startswith(MARK):
            continue
        if name == "end":
            return sessions
        if name == "folder":
            sessions.append(RemoteSession(value))
        elif sessions:
            _read(sessions[-1], name, value)
    return None


def _read(session: RemoteSession, name: str, value: str) -> None:
    if name in {"age", "silence"}:
        setattr(session, f"{name}_s", float(value) if value.lstrip("-").isdigit() else 0.0)
        return
    try:
        document = json.loads(value)
    except ValueError:
        return
    if not isinstance(document, dict):
        return
    if name == "endpoint":
        session.endpoint = _safe(endpoint_of(document))
    elif name == "outcome":
        session.outcome = document
    elif name == "successor" and isinstance(document.get("folder"), str):
        session.successor_folder = document["folder"]


def _safe(endpoint: Endpoint | None) -> Endpoint | None:
    """Its host becomes an argument of ssh."""
    if endpoint is None:
        return None
    url = urlsplit(endpoint.base_url)
    return endpoint if url.port and HOST.fullmatch(url.hostname or "") else None


def choose(sessions: list[RemoteSession], wanted: str) -> RemoteSession:
    """Take the one that is named, or the newest that runs; raise NoSessionError where that is none or several."""
    by_folder = {session.folder: session for session in sessions}
    if wanted:
        fitting = [session for session in by_folder.values() if session.id == wanted] or list(by_folder.values())
        if len(fitting) == 1:
            return fitting[0]
        problem = f"Several sessions begin with {wanted!r}" if fitting else f"There is no session or job {wanted!r}"
        known = ", ".join(session.id for session in fitting)
        raise NoSessionError(f"{problem} on that machine." + (f" There is: {known}." if known else ""))
    running = [session for session in by_folder.values() if session.endpoint and not session.has_ended]
    if not running:
        raise NoSessionError("No session of yours runs there. Launch one from the portal's Interactive Apps.")
    return min(running, key=lambda session: session.age_s)
