"""The Debian packages that the repository needs, from requirements/debian.txt, for whoever finds a program missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

LIST = Path(__file__).parent.parent / "requirements" / "debian.txt"
# An ordinary user's PATH leaves these out; httpd and the daemons lie there.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


class MissingProgramError(Exception):
    """A program is not installed; the message has the command that installs it."""


def search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])


def find_program(name: str) -> str:
    """Return the program's path; raise MissingProgramError with the command that installs it."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise MissingProgramError(f"{name} is not installed. {install_sentence([package_of(name)])}")
    return found


def require_packages(names: Iterable[str], checks: Path = LIST) -> None:
    """Raise MissingProgramError that names all missing packages at once."""
    missing = find_missing(names, checks)
    if missing:
        raise MissingProgramError(f"Programs are missing. {install_sentence(missing)}")


def find_missing(names: Iterable[str], checks: Path = LIST) -> list[str]:
    """Return those of the packages whose check fails; each check is a line of shell in `checks`."""
    known = read_checks(checks)
    return [name for name in names if not holds(known[name])]


def install_sentence(packages: Iterable[str]) -> str:
    return f"On Debian or Ubuntu: apt-get install -y --no-install-recommends {' '.join(sorted(packages))}"


def package_of(program: str) -> str:
    """Return the package whose check looks for the program; the program's own name where none does."""
    found = (name for name, check in read_checks(LIST).items() if program in check.split())
    return next(found, program)


def read_checks(path: Path) -> dict[str, str]:
    """Return each package of the list with the command that succeeds where it is there."""
    lines = [line.split(maxsplit=1) for line in path.read_text().splitlines() if not line.startswith("#")]
    return {words[0]: words[1] for words in lines if len(words) == 2}


def holds(check: str) -> bool:
    done = subprocess.run(  # noqa: S603 - the repository's own list
        ["bash", "-c", check],  # noqa: S607
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=os.environ | {"PATH": search_path()},
        check=False,
    )
    return done.returncode == 0
