"""Vendored files are what their package published, and our modules stay small."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import llm_hoster

STATIC = Path(llm_hoster.__file__).parent / "static"


def test_each_vendored_file_has_the_hash_that_is_written_down() -> None:
    vendored = json.loads((STATIC / "vendor" / "vendor.json").read_text())

    for entry in vendored:
        assert hashlib.sha256((STATIC / "vendor" / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert {entry["file"] for entry in vendored} | {"vendor.json"} == {
        path.name for path in (STATIC / "vendor").iterdir()
    }


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_a_module_has_at_most_150_lines_and_loads_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= 150
    assert "http://" not in text
    assert "https://" not in text


def test_the_style_sheet_has_at_most_300_lines() -> None:
    assert len((STATIC / "app.css").read_text().splitlines()) <= 300
