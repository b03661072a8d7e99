"""Which mounts make the cluster's own folders and let non-root users read what the tests share with them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.account import Account

# Fresh in every cluster: nothing of a test stays on the machine, nothing of the machine disturbs a test.
# /srv/scratch/NAME and /srv/projects/NAME stand for a site's large file systems.
FRESH = {"/run": "755", "/dev/shm": "1777", "/home": "755", "/srv": "755"}


def render_mounts(folder: Path, accounts: Iterable[Account], shared: Iterable[Path]) -> str:
    """Give the shell lines that boot.sh sources.

    A shared folder keeps its path. Where a folder above it is closed to others (a checkout below /root, say), that
    folder is covered by an empty one in the namespace, and only what is shared appears in it.
    """
    paths = sorted({folder.resolve(), *(path.resolve() for path in shared)})
    closed = sorted({str(ancestor) for path in paths if (ancestor := find_closed_ancestor(path)) is not None})
    covers = FRESH | {ancestor: "755" for ancestor in closed}
    kept = [path for path in paths if any(path.is_relative_to(cover) for cover in covers)]
    lines = []
    for number, path in enumerate(kept):
        lines += [f"mkdir -p {_quote(folder / 'kept' / str(number))}"]
        lines += [f"mount --bind {_quote(path)} {_quote(folder / 'kept' / str(number))}"]
    # Opened now: the folder itself may be covered below.
    lines += [f"exec {{kept}}<{_quote(folder / 'kept')}"] if kept else []
    lines += [f"mount -t tmpfs -o mode={mode} tmpfs {_quote(cover)}" for cover, mode in covers.items()]
    for number, path in enumerate(kept):
        target = _quote(path)
        if path.is_dir():
            lines += [f"mkdir -p {target}"]
        else:
            lines += [f"mkdir -p {_quote(path.parent)}", f": >{target}"]
        lines += [f'mount --bind "/proc/self/fd/$kept/{number}" {target}']
    for account in accounts:
        lines += _render_account(account)
    return "\n".join(lines) + "\n"


def find_closed_ancestor(path: Path) -> Path | None:
    """Find the topmost folder above `path` that other users may not enter."""
    for ancestor in reversed(path.parents):
        if ancestor.stat().st_mode & 0o001 == 0:
            return ancestor
    return None


def _render_account(account: Account) -> list[str]:
    home = _quote(account.home)
    owner = f"{account.user_id}:{account.user_id}"
    lines = [f"mkdir -p {home}"]
    if account.home_mib is not None:
        lines += [f"mount -t tmpfs -o size={account.home_mib}m tmpfs {home}"]
    lines += [f"chown {owner} {home}", f"chmod 700 {home}"]
    for place in ("scratch", "projects"):
        personal = _quote(f"/srv/{place}/{account.name}")
        lines += [f"mkdir -p {personal}", f"chown {owner} {personal}", f"chmod 700 {personal}"]
    return lines


def _quote(path: object) -> str:
    return shlex.quote(str(path))
