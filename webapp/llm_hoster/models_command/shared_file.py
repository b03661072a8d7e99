"""Files of the site's: written whole or not at all, and readable by those who may read them now."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from llm_hoster.errors import ConfigError

WORLD_READABLE = 0o644
FOLDER_FOR_ALL = 0o755


def write_shared(path: Path, text: str, mode: int | None = None) -> None:
    """Write by atomic replace; the mode is the given one, else that of the file before, else readable by everybody."""
    target = path.resolve()  # Behind a link, so that the link stays one.
    try:
        make_folder(target.parent)
        if mode is None:
            mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else WORLD_READABLE
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            os.chmod(temporary, mode)
            os.replace(temporary, target)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}).") from error


def make_folder(folder: Path) -> None:
    """Make a folder that everybody may look into, also where the umask says otherwise; leave one that exists."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_FOR_ALL)
