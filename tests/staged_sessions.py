"""Sessions in a home folder of the test's own, staged as OnDemand and the job leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.web_session import API_KEY, PASSWORD, WebServer

Stage = Callable[..., Path]
NOTHING_YET = {"reason": "It runs.", "ended_at": None, "su_used": 0.5}
ENDED = {"reason": "The time limit was reached.", "ended_at": 1_790_000_000.0, "su_used": 12.345}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OOD_DATAROOT", raising=False)
    return tmp_path / "home"


@pytest.fixture
def stage(home: Path) -> Stage:
    def make(
        session_id: str, *, app: str = "sys/llm_hoster", outcome: object = None, server: WebServer | None = None
    ) -> Path:
        data = home / "ondemand/data/sys/dashboard/batch_connect"
        folder = data / app / "output" / session_id
        folder.mkdir(parents=True)
        context = '{"model":"tiny","gpu_type":"cpu","num_gpus":"1"}'
        (folder / "session.json").write_text(f'{{"context":{context},"catalogue":{{}}}}\n')
        (data / "db").mkdir(exist_ok=True)
        (data / "db" / session_id).write_text("{}")
        if outcome is not None:
            (folder / "outcome.json").write_text(json.dumps(outcome))
        if server is not None:
            endpoint = {"base_url": server.settings.base_url, "api_key": API_KEY, "model": "tiny"}
            (folder / "endpoint.json").write_text(json.dumps(endpoint))
            (folder / "secret").write_text(PASSWORD)
        return folder

    return make
