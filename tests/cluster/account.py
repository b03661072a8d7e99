"""The people of the cluster, and the files that make the system know them inside its namespaces only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """A non-root user. A home with a size is a file system of its own, as small as a site's quota."""

    name: str
    user_id: int
    home: str
    home_mib: int | None = None

    def __post_init__(self) -> None:
        if ":" in self.home or "\n" in self.home:
            raise ValueError(f"{self.home!r}: /etc/passwd cannot hold this home folder")


ALICE = Account("alice", 2001, "/home/alice")
BOB = Account("bob", 2002, "/home/bob")


def write_account_files(folder: Path, accounts: tuple[Account, ...]) -> None:
    """Write passwd, group and shadow into `folder`: the machine's own entries and those of `accounts`."""
    for name, mode in (("passwd", 0o644), ("group", 0o644), ("shadow", 0o600)):
        lines = Path("/etc", name).read_text().rstrip("\n").split("\n")
        for account in accounts:
            lines.append(_entry(name, account))
        target = folder / name
        target.write_text("\n".join(lines) + "\n")
        target.chmod(mode)


def _entry(file_name: str, account: Account) -> str:
    entries = {
        "passwd": f"{account.name}:x:{account.user_id}:{account.user_id}::{account.home}:/bin/bash",
        "group": f"{account.name}:x:{account.user_id}:",
        "shadow": f"{account.name}:*:20000::::::",
    }
    return entries[file_name]
