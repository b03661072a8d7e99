"""The person's own folder on this machine, where nobody else reads: open tunnels, and the history of the chat."""

from __future__ import annotations

import os
from pathlib import Path


def own_folder() -> Path:
    """Where data of programs lies by the XDG convention; it may not be there yet."""
    configured = os.environ.get("XDG_DATA_HOME", "")
    data = Path(configured) if configured.startswith("/") else Path.home() / ".local" / "share"
    return data / "llm-hoster"


def tunnels_folder() -> Path:
    """Has an endpoint file for each tunnel that is open."""
    return own_folder() / "tunnels"


def make_private(folder: Path) -> Path:
    """Make a folder, if it is not there, and close it to others."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder
