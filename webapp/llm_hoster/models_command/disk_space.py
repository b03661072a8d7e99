"""Whether a model finds room, and what a full disk or a used-up quota says."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from llm_hoster.errors import HubError
from llm_hoster.models_command.progress import gib

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota there is used up",
    errno.EFBIG: "that is larger than a file may be there",
}
MAKE_ROOM = "Make room, for example with `llm-hoster models prune`, or choose a smaller model."


def require_space(model: str, needed: int, cache: Path) -> None:
    """A quota is not seen here: it shows only while writing."""
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise HubError(f"{model} needs {gib(needed)} more in {cache}, and {gib(free)} are free there. {MAKE_ROOM}")


def write_fault(error: OSError, model: str, cache: Path) -> HubError:
    """Say in a sentence why a file of the cache cannot be written. What has come stays for the next attempt."""
    reason = FULL.get(error.errno or 0)
    if reason is not None:
        return HubError(f"{model} cannot be written to {cache}: {reason}. {MAKE_ROOM}")
    return HubError(
        f"{model} cannot be written to {cache} on {os.uname().nodename} ({error.strerror or error}). Name a folder "
        "that you may write with --cache, or ask who looks after this one."
    )
