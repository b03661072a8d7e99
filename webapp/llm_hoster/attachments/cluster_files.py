"""
Files and folders of the cluster, by their path, read as the owner of the session.

The kernel decides what may be read, and it knows one uid only. So these are for the owner's login: the caller checks
it, since a guest would read with the owner's rights. Links are followed: on clusters a home folder is full of them
(`~/scratch`), and a harmful one of somebody else can do no more than show the owner a file of the owner's own.
Who asks for a file on a network file system that does not answer waits with it: no program can end that.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from llm_hoster.attachments.bounds import FILE_MAX_BYTES
from llm_hoster.attachments.names import shown_name, shown_path
from llm_hoster.attachments.refusal import SENTENCES, Reason, refusal
from llm_hoster.errors import AttachmentError
from llm_hoster.regular_file import open_regular

LISTED = 500
# Of a folder with a million files, the rest is not looked at.
LOOKED_AT = 20_000
NO_FILE = (errno.EINVAL, errno.ENXIO, errno.ENODEV)
REASONS: dict[int, Reason] = {
    errno.ENOENT: "path_missing",
    errno.EACCES: "path_denied",
    errno.EPERM: "path_denied",
    errno.EISDIR: "path_folder",
    errno.ENOTDIR: "path_no_folder",
    errno.ELOOP: "path_loop",
    **dict.fromkeys(NO_FILE, "path_no_file"),
}


@dataclass(frozen=True)
class Entry:
    """
    One line of a folder. `name` and `leads_to` are fit to be shown, `path` is what the next question asks for.

    `note` is the sentence that says why it cannot be chosen, or empty. `leads_to` is the place of a link, or empty.
    """

    name: str
    path: str
    kind: Literal["folder", "file", "other"]
    size: int  # bytes, of a file
    leads_to: str = ""
    note: str = ""


@dataclass(frozen=True)
class Folder:
    """
    `left_out` says how many entries more there are, at least; `parent` is None at the top.

    `chosen` is the path of the entry that was asked for itself, or empty. Where the folder may be entered and not
    listed, `is_listed` is False and that entry the only one.
    """

    path: str
    parent: str | None
    entries: tuple[Entry, ...]
    left_out: int
    chosen: str = ""
    is_listed: bool = True


def read_cluster_file(path: str) -> bytes:
    """Read a file for the owner, at most FILE_MAX_BYTES; raise AttachmentError with a sentence that names the path."""
    place = _whole_path(path)
    try:
        with open_regular(place) as file:
            # One byte more tells a file that is too large; its size may be unknown before.
            data = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise _path_refusal(place, error) from error
    if len(data) > FILE_MAX_BYTES:
        raise refusal("too_large", name=shown_name(place.name))
    return data


def list_folder(path: str, *, shows_hidden: bool = False, limit: int = LISTED) -> Folder:
    """List a folder, or the one that a file lies in: the file stands first then, whatever else is in there."""
    place = _whole_path(path)
    try:
        return _listed(place, None, shows_hidden=shows_hidden, limit=limit)
    except OSError as error:
        # Of a path that leads through a file, nothing is there.
        if error.errno != errno.ENOTDIR or not os.path.lexists(place):
            raise _path_refusal(place, error) from error
    file = _describe(str(place))
    try:
        return _listed(place.parent, file, shows_hidden=shows_hidden, limit=limit)
    except OSError:
        return Folder(str(place.parent), str(place.parent.parent), (file,), 0, file.path, is_listed=False)


def _listed(place: Path, chosen: Entry | None, *, shows_hidden: bool, limit: int) -> Folder:
    """Put folders first, then files, each by name, and before all the file that was asked for; raise OSError."""
    with os.scandir(place) as scan:
        found = list(islice(scan, LOOKED_AT))
        more = sum(1 for _ in islice(scan, 1))
    first = () if chosen is None else (chosen,)
    known = {entry.path for entry in first}
    wanted = [each for each in found if (shows_hidden or not each.name.startswith(".")) and each.path not in known]
    wanted.sort(key=lambda entry: (not _is_folder(entry), entry.name.casefold(), entry.name))
    entries = (*first, *(_describe(entry.path) for entry in wanted[:limit]))
    parent = None if place.parent == place else str(place.parent)
    return Folder(str(place), parent, entries, max(0, len(wanted) - limit) + more, chosen.path if chosen else "")


def _whole_path(path: str) -> Path:
    """
    `..` is left to the kernel, which knows where a link leads. A null byte would end the path early.

    A space or the end of a line behind a path was mostly copied with it, unless there is a file that is called so.
    """
    path = path.lstrip()
    if path == "~" or path.startswith("~/"):
        path = str(Path.home()) + path[1:]
    if not os.path.lexists(path):
        path = path.rstrip()
    if not path.startswith("/") or "\0" in path:
        raise refusal("path_relative", path=shown_path(path))
    return Path("/" + path.lstrip("/"))


def _path_refusal(path: Path, error: OSError) -> AttachmentError:
    reason = REASONS.get(error.errno or 0, "path_failed")
    return refusal(reason, path=shown_path(str(path)), cause=error.strerror)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _describe(path: str) -> Entry:
    name = shown_path(os.path.basename(path))
    leads_to = ""
    try:
        if os.path.islink(path):
            leads_to = shown_path(os.path.realpath(path))
        status = os.stat(path)
        path.encode()
    except OSError as error:
        return Entry(name, path, "other", 0, leads_to, str(_path_refusal(Path(path), error)))
    except UnicodeEncodeError:
        # No form and no page could send such a path back.
        note = SENTENCES["path_failed"].format(path=name, cause="its name is not UTF-8")
        return Entry(name, "", "other", 0, leads_to, note)
    return _described(path, name, leads_to, status)


def _described(path: str, name: str, leads_to: str, status: os.stat_result) -> Entry:
    kind: Literal["folder", "file", "other"] = "other"
    reason: Reason | None = None
    if stat.S_ISDIR(status.st_mode):
        kind = "folder"
        reason = None if os.access(path, os.R_OK | os.X_OK, effective_ids=True) else "path_denied"
    elif not stat.S_ISREG(status.st_mode):
        reason = "path_no_file"
    else:
        kind = "file"
        if status.st_size > FILE_MAX_BYTES:
            reason = "too_large"
        elif not os.access(path, os.R_OK, effective_ids=True):
            reason = "path_denied"
    note = SENTENCES[reason].format(path=shown_path(path), name=name) if reason else ""
    return Entry(name, path, kind, status.st_size if kind == "file" else 0, leads_to, note)
