"""The app of the demo: a copy of the repository's OnDemand files, configured for this machine.

A copy and not links, because Ruby's `__dir__` may look through a link and find the catalogue of the repository.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
SITE = REPOSITORY / "config" / "sites" / "local.yml"
APP_FILES = (
    "manifest.yml",
    "submit.yml.erb",
    "launch.rb",
    "view.html.erb",
    "info.md.erb",
    "completed.md.erb",
    "icon.svg",
    "template",
)


class DemoError(Exception):
    """The demo cannot run; the message says what is missing and what to do."""


def make_app(folder: Path, site: Path = SITE) -> Path:
    """Fill `folder` with the app and let `llm-hoster configure` write its form; raise DemoError with its words."""
    shutil.rmtree(folder, ignore_errors=True)
    copy_app_files(folder)
    command = [sys.executable, "-m", "llm_hoster", "configure", "--site", str(site), "--app", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if done.returncode != 0:
        raise DemoError(f"llm-hoster configure failed: {done.stderr.strip() or done.stdout.strip()}")
    return folder


def copy_app_files(folder: Path) -> None:
    """Copy what OnDemand reads of the app, but for what `llm-hoster configure` writes."""
    folder.mkdir(parents=True)
    for name in APP_FILES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
