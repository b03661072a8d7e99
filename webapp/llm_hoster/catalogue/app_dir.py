"""Where the OnDemand app lies: the folder that holds manifest.yml."""

from __future__ import annotations

from pathlib import Path

from llm_hoster.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[3]


def find_app_dir() -> Path:
    """Take the current folder, or else the checkout that this package lies in."""
    for folder in (Path.cwd(), CHECKOUT):
        if (folder / "manifest.yml").is_file():
            return folder
    raise ConfigError("No manifest.yml here: go to the app's folder, or name it.")
