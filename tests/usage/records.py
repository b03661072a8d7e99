"""What a session has written down of its requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_hoster.settings import WebSettings
from llm_hoster.usage.reading import Group, read_usage
from llm_hoster.usage.record import RequestRecord
from llm_hoster.usage.store import SessionFacts

FACTS = SessionFacts("session-1", "Tiny model", "/staged", 1000.0, 100.0)
Lines = Callable[[], list[dict[str, Any]]]


def made(**changes: Any) -> RequestRecord:
    """A request as it is begun, unless told otherwise."""
    values: dict[str, Any] = {
        "begun_at": 1_800_000_000.0, "request_id": "req-1", "key_id": "owner", "key_name": "owner", "model": "tiny",
        "route": "/v1/completions", "is_stream": False, "address": "10.0.0.1",
    }  # fmt: skip
    return RequestRecord(**values | changes)


def audit_lines(settings: WebSettings) -> list[dict[str, Any]]:
    path = settings.data_dir / "usage" / f"{settings.session_id}.audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def only_group(path: Path) -> Group:
    (group,) = read_usage(path, 0.0).groups
    return group
