"""What a vLLM that sleeps is known by, and what it needs."""

from __future__ import annotations

import http.server
import socketserver
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.run.engine_run import EngineRun
from llm_hoster.engine.run.plan import AdapterFolder, Plan
from llm_hoster.engine.supervision.journal import Journal
from llm_hoster.engine.supervision.sleepers import Sleepers
from llm_hoster.engine.vllm.adapter import Adapter, Found
from tests.engine.conftest import wait_until


def test_the_time_asleep_is_no_silence_of_a_start(tmp_path: Path) -> None:
    plan = Plan(ServedModel("tiny", "Tiny model"), ["vllm"], {})
    run = EngineRun(plan, Folders(tmp_path, tmp_path), tmp_path / "vllm.log", lambda: None)
    time.sleep(0.3)
    assert run.silent_s >= 0.3
    run.begin_again()
    assert run.silent_s < 0.3


def test_one_with_another_adapter_is_another_one(tmp_path: Path) -> None:
    law = Adapter("law", tmp_path, rank=8, stamp="1")
    plans = [
        Plan(
            ServedModel("tiny", "Tiny model"),
            ["vllm"],
            {},
            adapters=AdapterFolder([each], 8, lambda: Found([], {}), lambda served: []),
        )
        for each in (law, law, replace(law, stamp="2"))
    ]
    assert plans[0].serves_like(plans[1])
    assert not plans[0].serves_like(plans[2])


class Sleepy(http.server.BaseHTTPRequestHandler):
    """Has no questions, and falls asleep when it is asked to."""

    def do_GET(self) -> None:
        self.answer("vllm:num_requests_running 0.0\nvllm:num_requests_waiting 0.0\nvllm:request_success_total 0.0\n")

    def do_POST(self) -> None:
        self.answer("{}")

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def address_string(self) -> str:
        return "unix"


def test_what_has_slept_needs_no_more_memory(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first it needs twice its weights, which are 1 GiB here, and 8 GiB for the start of the other one."""
    folders = Folders(short_dir, short_dir)
    folders.tmp_dir.mkdir()
    journal = Journal(short_dir / "state.json", 0.0, short_dir / "vllm.log")
    sleepers = Sleepers(folders, journal, lambda: None)
    plan = Plan(ServedModel("tiny", "Tiny model"), ["vllm"], {}, bytes_asleep=lambda: 2**30)
    run = EngineRun(plan, folders, short_dir / "vllm.log", lambda: None)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", str(10 * 1024))
    assert sleepers.has_room_for(run)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", str(10 * 1024 - 1))
    assert not sleepers.has_room_for(run)
    with socketserver.ThreadingUnixStreamServer(str(folders.socket_path), Sleepy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sleepers.lay_down(run)
        wait_until(lambda: sleepers.look() is not None)
        server.shutdown()
    assert sleepers.has_room_for(run)
