"""The folders that OnDemand stages for a person's sessions, and what the files in them say."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from llm_hoster.client.endpoint import Endpoint, read_endpoint, read_object
from llm_hoster.client.session_files import ENDPOINT_FILE, OUTCOME_FILE, STAGED_FILE

DATA_ROOT_VARIABLE = "OOD_DATAROOT"
# batch_connect/[CLUSTER/]{sys,dev,usr}/[USER/]APP[/SUB_APP]/output/ID
DEPTH_MAX = 5
# `serve` writes outcome.json every 30 s, unless the home folder is full.
SILENCE_S = 90.0
GONE_S = 86400.0


class StagedSession:
    """One staged folder. What it says of itself is read anew each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def endpoint(self) -> Endpoint | None:
        """None before the job has started. Once the next in a row has taken over, the file names that one's address."""
        return read_endpoint(self.folder / ENDPOINT_FILE)

    @property
    def outcome(self) -> Mapping[str, Any]:
        """The content of outcome.json; empty before the job has started."""
        return read_object(self.folder / OUTCOME_FILE)

    @property
    def has_ended(self) -> bool:
        """Whether it said so, or has not said anything for a day."""
        return self.outcome.get("ended_at") is not None or self._silence_s() > GONE_S

    @property
    def is_silent(self) -> bool:
        """Whether it has stopped to write what it costs: its node is gone, or its home folder is full."""
        return self._silence_s() > SILENCE_S

    def _silence_s(self) -> float:
        try:
            return time.time() - (self.folder / OUTCOME_FILE).stat().st_mtime
        except OSError:
            return 0.0


SessionT = TypeVar("SessionT", bound=StagedSession)


def sessions_named(name: str, sessions: Sequence[SessionT]) -> list[SessionT]:
    """Give those whose id begins so, and the whole id alone: that of the first in a row is the beginning of others."""
    fitting = [session for session in sessions if session.id.startswith(name)]
    return [session for session in fitting if session.id == name] or fitting


def staged_folders() -> list[Path]:
    """Find every staged session of this app, newest first; ended ones too, as long as their folders are there."""
    found = []
    for root in data_roots():
        for output in _output_folders(root / "batch_connect", DEPTH_MAX):
            for folder in _folders(output):
                path = folder / STAGED_FILE
                if path.is_file() and _is_ours(path):
                    found.append((path.stat().st_mtime, folder))
    return [folder for _, folder in sorted(found, reverse=True)]


def data_roots() -> list[Path]:
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
