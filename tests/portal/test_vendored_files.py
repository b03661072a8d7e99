"""The portal's vendored files are what their package published."""

from __future__ import annotations

import hashlib
import json

from portal.demo_app import REPOSITORY

VENDOR = REPOSITORY / "portal" / "static" / "vendor"


def test_each_vendored_file_of_the_portal_has_the_hash_that_is_written_down() -> None:
    vendored = {entry["file"]: entry["sha256"] for entry in json.loads((VENDOR / "vendor.json").read_text())}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.css")}
    assert found == vendored
