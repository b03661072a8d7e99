"""Copy an app's template/ into a session's folder and render it, in OnDemand's order."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portal.debian_package import find_program
from portal.ruby import ask_ruby


class StagingError(Exception):
    """rsync refused; the message is its output."""


def make_staged_root(staged_root: Path) -> None:
    """Make the folder, and its parents for the owner alone."""
    for folder in (*reversed(staged_root.parents), staged_root):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def stage(
    template: Path,
    staged_root: Path,
    user_defined: Mapping[str, str],
    context: Mapping[str, str],
    session: Mapping[str, Any],
) -> None:
    """Leave the session's files in `staged_root`; raise RubyError for a template that cannot be rendered."""
    make_staged_root(staged_root)
    copied = subprocess.run(  # noqa: S603 - a list, no shell
        [find_program("rsync"), "-rlpv", "--exclude", ".*.swp", "--exclude", "*.erb", f"{template}/", str(staged_root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if copied.returncode != 0:
        raise StagingError(copied.stdout + copied.stderr)
    saved = staged_root / "user_defined_context.json"
    saved.write_text(json.dumps(user_defined, indent=2))
    saved.chmod(0o644)
    files = [(str(source), str(target)) for source, target in erb_files(template, staged_root)]
    ask_ruby({"do": "stage", "files": files, "context": dict(context), "session": dict(session)})


def erb_files(template: Path, staged_root: Path) -> list[tuple[Path, Path]]:
    """Return (source, target) of each *.erb; as Ruby's glob does, pass hidden and linked folders by."""
    found = []
    for folder, subfolders, names in os.walk(template):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            source = Path(folder, name)
            if name.endswith(".erb") and not name.startswith("."):
                found.append((source, staged_root / source.relative_to(template).with_suffix("")))
    return found
