"""The session that has taken over from this one: where it answers, as it says itself in a file of our folder."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from llm_hoster.engine.record.atomic_file import replace_file

SUCCESSOR_FILE = "successor.json"
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
PROXIES = ("rnode", "node")


@dataclass(frozen=True)
class Successor:
    """`model` and `model_title` are what it serves; `folder` is where it is staged."""

    host: str
    port: int
    proxy: str
    model: str
    model_title: str
    job_id: str
    folder: str

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    @property
    def connect_path(self) -> str:
        return f"/{self.proxy}/{self.host}/{self.port}/login"

    def write(self, folder: Path) -> None:
        """Tell a session that came before, and its card, which takes the path as it is."""
        document = asdict(self) | {"base_url": self.base_url, "connect_path": self.connect_path}
        replace_file(folder / SUCCESSOR_FILE, json.dumps(document))


def read_successor(folder: Path) -> Successor | None:
    """Give None while there is none; host and port go into headers and pages, so they are looked at."""
    try:
        document = json.loads((folder / SUCCESSOR_FILE).read_bytes())
        successor = Successor(**{field.name: document[field.name] for field in fields(Successor)})
        is_sound = (
            HOST.fullmatch(successor.host) is not None and successor.proxy in PROXIES and 0 < successor.port < 65536
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return successor if is_sound else None
