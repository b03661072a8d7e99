"""Vendored files are what their package published, and our modules stay small."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import llm_hoster
from llm_hoster.chat.code_block import GRAMMARS

STATIC = Path(llm_hoster.__file__).parent / "static"


def test_each_vendored_file_has_the_hash_that_is_written_down() -> None:
    vendored = json.loads((STATIC / "vendor" / "vendor.json").read_text())

    hashes = {file: sha256 for entry in vendored for file, sha256 in entry["files"].items()}
    files = {path for path in (STATIC / "vendor").rglob("*") if path.is_file() and path.name != "vendor.json"}
    assert {
        str(path.relative_to(STATIC / "vendor")): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    } == hashes


def test_there_is_a_grammar_for_each_language_whose_code_is_coloured() -> None:
    grammars = {path.name.removesuffix(".min.js") for path in (STATIC / "vendor" / "highlight").iterdir()}

    assert grammars == GRAMMARS | {"core"}


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_a_module_has_at_most_150_lines_and_loads_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= 150
    assert "http://" not in text
    assert "https://" not in text


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.css")), ids=lambda path: path.name)
def test_a_style_sheet_has_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
