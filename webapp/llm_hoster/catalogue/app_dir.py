"""Where the OnDemand app lies: the folder that holds manifest.yml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llm_hoster.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[3]
APP_VARIABLE = "LLM_HOSTER_APP"
# The installed app is PREFIX/app/VERSION; beside it the site may lay a copy of the portal's folder for everybody.
FOR_EVERYBODY = Path(sys.prefix).parent.parent / "ood"


def find_app_dir() -> Path:
    """Take the folder that LLM_HOSTER_APP names, else the current one, else that of this installation."""
    if os.environ.get(APP_VARIABLE):
        return find_own_app_dir()
    return Path.cwd() if _is_app(Path.cwd()) else find_own_app_dir()


def find_own_app_dir() -> Path:
    """Leave the current folder out: what lies where somebody happens to be must not become a job of theirs."""
    named = os.environ.get(APP_VARIABLE)
    folders = [Path(named).expanduser()] if named else [CHECKOUT, FOR_EVERYBODY]
    for folder in folders:
        if _is_app(folder):
            return folder.absolute()
    if named:
        raise ConfigError(f"{named}: holds no manifest.yml, expected the app's folder. {APP_VARIABLE} names it.")
    raise ConfigError(
        f"No manifest.yml here, nor in {FOR_EVERYBODY}: go to the app's folder, or name it in {APP_VARIABLE}."
    )


def _is_app(folder: Path) -> bool:
    return (folder / "manifest.yml").is_file()
