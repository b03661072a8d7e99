"""`llm-hoster bench` measures a session with real vLLM, and any endpoint that it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_hoster.bench_command.figures import Answer, Figures
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY, WebServer

SMALL = ["--concurrency", "1,2", "--requests", "4", "--input-tokens", "8", "--output-tokens", "5"]


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llm_hoster", "bench", *arguments]
    return subprocess.run(
        command, env={"PYTHONPATH": ":".join(sys.path), **environment}, capture_output=True, text=True
    )


@pytest.mark.engine
def test_it_measures_an_own_session(
    make_server: Callable[..., WebServer], live_engine: LiveEngine, tmp_path: Path
) -> None:
    server = make_server(engine=live_engine.socket_path)
    folder = tmp_path / "session-1"
    folder.mkdir()
    (folder / "session.json").write_text('{"context": {}}')
    endpoint = {"base_url": server.settings.base_url, "api_key": API_KEY, "model": "tiny"}
    (folder / "endpoint.json").write_text(json.dumps(endpoint))

    found = bench(str(folder), "--json", *SMALL)

    assert found.returncode == 0, found.stderr
    one, two = json.loads(found.stdout)
    assert (one["concurrency"], two["concurrency"]) == (1, 2)
    for figures in (one, two):
        assert (figures["requests"], figures["failed"]) == (4, 0)
        assert figures["output_tokens_per_s"] == pytest.approx(5 * figures["requests_per_s"], rel=0.02)
        assert figures["input_tokens_per_s"] == pytest.approx(8 * figures["requests_per_s"], rel=0.02)
        for name in ("ttft_ms", "itl_ms", "latency_ms"):
            assert 0 < figures[name]["p50"] <= figures[name]["p95"] <= figures[name]["p99"]
        assert figures["ttft_ms"]["p50"] < figures["latency_ms"]["p50"]
    assert "100%" in found.stderr or "2 at a time" in found.stderr


@pytest.mark.engine
def test_it_measures_an_endpoint_with_a_key_from_a_file(
    make_server: Callable[..., WebServer], live_engine: LiveEngine, tmp_path: Path
) -> None:
    server = make_server(engine=live_engine.socket_path)
    (tmp_path / "key").write_text(f"{API_KEY}\n")
    told = ["--base-url", server.settings.base_url, "--model", "tiny"]

    found = bench(*told, "--key-file", str(tmp_path / "key"), *SMALL)
    assert found.returncode == 0, found.stderr
    assert [line.split()[:3] for line in found.stdout.splitlines()[2:]] == [["1", "4", "0"], ["2", "4", "0"]]

    refused = bench(*told, *SMALL, OPENAI_API_KEY="sk-wrong")
    assert refused.returncode == 1
    assert "No valid API key" in refused.stderr and "Traceback" not in refused.stderr


def test_it_says_what_is_missing(tmp_path: Path) -> None:
    assert "--model" in bench("--base-url", "http://127.0.0.1:1/v1").stderr
    assert "OPENAI_API_KEY" in bench("--base-url", "http://127.0.0.1:1/v1", "--model", "m").stderr
    assert "1,8,32" in bench("--concurrency", "1,x").stderr
    nobody = bench("--base-url", "http://127.0.0.1:1/v1", "--model", "m", *SMALL, OPENAI_API_KEY="k")
    assert nobody.returncode == 1 and "No request was answered" in nobody.stderr


def test_percentiles_are_times_that_were_measured() -> None:
    answers = [Answer(ttft_s=number / 1000, duration_s=1.0, output_tokens=2) for number in range(1, 101)]
    document = Figures(4, [*answers, Answer(error="refused")], seconds=10.0).document()
    assert document["ttft_ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert document["itl_ms"] == {"p50": None, "p95": None, "p99": None}
    assert (document["requests"], document["failed"], document["requests_per_s"]) == (100, 1, 10.0)
    assert document["output_tokens_per_s"] == 20.0
