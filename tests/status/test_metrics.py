"""/metrics and /status.json: what they tell, and whom."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from llm_hoster.engine.record.state import ServedModel, State
from llm_hoster.settings import WebSettings
from llm_hoster.status.gauges import Gauges
from llm_hoster.status.gpu import Gpu
from llm_hoster.status.metrics import session_metrics
from llm_hoster.status.report import make_report
from llm_hoster.usage.figures import RequestFigures
from llm_hoster.usage.recorder import Recorder
from llm_hoster.usage.tokens import Tokens
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import LiveEngine
from tests.usage.records import made
from tests.web_session import API_KEY, MakeClient, MakeSettings, ready_state

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MODEL = ServedModel("tiny", "Tiny model")
READY = ready_state(model=MODEL, started_at=100.0, ready_at=142.5, restarts=3)
GPUS = (
    Gpu('T0 "with \\ care"', 97, 2**30, 80 * 2**30, 61, 312.5),
    Gpu("T1 MIG", None, 2**30, 5 * 2**30, 61, None),
)
PATHS = ["/metrics", "/status.json"]
BEARER = {"Authorization": f"Bearer {API_KEY}"}


def parsed(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Give the samples by their name and the values of their labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def metrics_of(
    settings: WebSettings, state: State = READY, gpus: tuple[Gpu, ...] = GPUS, requests: Any = None
) -> dict[str, Any]:
    report = make_report(settings, state, Gauges(None, gpus), settings.started_at + 1800)
    return parsed(session_metrics(report, *filter(None, [requests])))


def test_our_own_figures(make_settings: MakeSettings) -> None:
    settings = make_settings(state=READY, started_at=1000.0, ends_at=1000.0 + 3600, su_per_hour=100.0)
    found = metrics_of(settings)

    assert found["llm_hoster_model_info"] == {("tiny",): 1}
    assert found["llm_hoster_engine_state"][("ready",)] == 1
    assert sum(found["llm_hoster_engine_state"].values()) == 1
    assert len(found["llm_hoster_engine_state"]) == 8
    assert found["llm_hoster_restarts_total"] == {(): 3}
    assert found["llm_hoster_ready_after_seconds"] == {(): 42.5}
    assert found["llm_hoster_time_left_seconds"] == {(): 1800}
    assert found["llm_hoster_su_used"] == {(): 50}


def test_the_gpus_figures(make_settings: MakeSettings) -> None:
    """What a slice does not tell has no sample, which is not 0."""
    found = metrics_of(make_settings(state=READY))
    name = 'T0 "with \\ care"'

    assert found["llm_hoster_gpu_use_ratio"] == {("0", name): 0.97}
    assert found["llm_hoster_gpu_memory_used_bytes"] == {("0", name): 2**30, ("1", "T1 MIG"): 2**30}
    assert found["llm_hoster_gpu_memory_total_bytes"] == {("0", name): 80 * 2**30, ("1", "T1 MIG"): 5 * 2**30}
    assert found["llm_hoster_gpu_temperature_celsius"] == {("0", name): 61, ("1", "T1 MIG"): 61}
    assert found["llm_hoster_gpu_power_watts"] == {("0", name): 312.5}


def test_the_jobs_own_limit_counts_where_slurm_tells_it(make_settings: MakeSettings) -> None:
    settings = make_settings(state=READY, started_at=1000.0, ends_at=1000.0 + 3600)
    state = ready_state(model=MODEL, job_ends_at=1000.0 + 7200)
    assert metrics_of(settings, state)["llm_hoster_time_left_seconds"] == {(): 5400}


def test_what_is_not_known_yet_has_no_figure(make_settings: MakeSettings) -> None:
    assert "llm_hoster_ready_after_seconds" not in metrics_of(make_settings(state=READY), ready_state(model=MODEL))


def test_the_documentation_explains_each_of_our_figures(make_settings: MakeSettings, recorder: Recorder) -> None:
    page = (REPOSITORY / "docs" / "monitoring.md").read_text()
    explained = re.findall(r"^\| `(llm_hoster_\w+)` \|", page, re.MULTILINE)
    figures = RequestFigures(recorder)
    ask_and_be_refused(recorder)
    found = set(metrics_of(make_settings(state=READY), requests=figures))
    assert set(explained) == {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def ask_and_be_refused(recorder: Recorder) -> None:
    opened = recorder.begin(made(key_name="Ada", is_stream=True))
    opened.settle(200, tokens=Tokens(5, 4, 3), first_byte_at=time.monotonic())
    recorder.begin(made(key_name="Ada"))
    recorder.refuse(made(status=429, error_code="rate_limit_exceeded"))


def test_the_figures_of_requests(make_settings: MakeSettings, recorder: Recorder) -> None:
    figures = RequestFigures(recorder)
    ask_and_be_refused(recorder)
    found = metrics_of(make_settings(state=READY), requests=figures)

    assert found["llm_hoster_requests_total"] == {("Ada", "tiny", "/v1/completions", "200"): 1}
    assert found["llm_hoster_tokens_total"] == {
        ("Ada", "prompt", "tiny"): 5, ("Ada", "cached", "tiny"): 4, ("Ada", "completion", "tiny"): 3,
    }  # fmt: skip
    assert found["llm_hoster_requests_running"] == {("Ada",): 1}
    assert found["llm_hoster_refused_total"] == {("rate_limit_exceeded",): 1}
    assert found["llm_hoster_request_seconds_count"] == {(): 1}
    assert found["llm_hoster_first_byte_seconds_bucket"][("+Inf",)] == 1
    assert not [name for name in found if name.endswith("_created")]


def test_there_are_only_so_many_series(make_settings: MakeSettings, recorder: Recorder) -> None:
    """Names of models come from whoever asks, and names of keys from the owner, who may have hundreds."""
    figures = RequestFigures(recorder)
    for number in range(200):
        recorder.begin(made(key_name=f"key {number}", model=f"model {number}")).settle(404)
        recorder.begin(made(key_name=f"key {number}", model=f"model {number}")).settle(200)
        recorder.begin(made(key_name=f"key {number}"))
    found = metrics_of(make_settings(state=READY), requests=figures)

    assert {labels[0] for labels in found["llm_hoster_requests_total"]} == {f"key {each}" for each in range(50)} | {
        "other"
    }
    assert {labels[1] for labels in found["llm_hoster_requests_total"] if labels[3] == "404"} == {"other"}
    assert len({labels[1] for labels in found["llm_hoster_requests_total"]}) == 21
    assert sum(found["llm_hoster_requests_total"].values()) == 400
    assert found["llm_hoster_requests_running"][("other",)] == 150


def test_prometheus_own_program_finds_nothing_wrong_with_ours(make_settings: MakeSettings, recorder: Recorder) -> None:
    figures = RequestFigures(recorder)
    ask_and_be_refused(recorder)
    settings = make_settings(state=READY)
    report = make_report(settings, READY, Gauges(None, GPUS), settings.started_at + 1800)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=session_metrics(report, figures), text=True, capture_output=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.fixture
def small_engine(short_dir: Path) -> Iterator[Path]:
    body = b'# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0"} 2.0'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    upstream = SmallUpstream(short_dir / "small.sock", head + body)
    yield short_dir / "small.sock"
    upstream.close()


def test_vllms_figures_come_as_they_are_and_ours_after_them(make_client: MakeClient, small_engine: Path) -> None:
    answer = make_client(state=READY, engine=small_engine).get("/metrics")

    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.startswith('# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0"} 2.0\n')
    assert parsed(answer.text)["llm_hoster_restarts_total"] == {(): 3}


def test_ours_are_there_while_vllm_is_not(make_client: MakeClient) -> None:
    text = make_client(state=ready_state(model=MODEL, state="starting")).get("/metrics").text
    assert parsed(text)["llm_hoster_engine_state"][("starting",)] == 1


def test_the_status_for_programs(make_client: MakeClient, small_engine: Path) -> None:
    document = make_client(state=READY, engine=small_engine).get("/status.json").get_json()

    assert document["session_id"] == "session-1"
    assert document["base_url"].endswith(":8080/v1")
    assert document["engine"]["state"] == "ready"
    model = document["engine"]["model"]
    assert (model["name"], model["title"], model["task"]) == ("tiny", "Tiny model", "chat")
    assert document["gauges"]["engine"]["requests_running"] == 2
    assert document["su_used"] == pytest.approx(108.6, abs=0.1)
    assert document["su_left"] is None
    assert 10800 < document["time_left_s"] <= 10830


@pytest.mark.parametrize("path", PATHS)
def test_strangers_learn_nothing(make_client: MakeClient, path: str) -> None:
    client = make_client(is_logged_in=False, state=READY)
    for headers in ({}, {"Authorization": "Bearer sk-llmh-wrong"}, {"X-Api-Key": ""}):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert "tiny" not in answer.text.lower()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [BEARER, {"X-Api-Key": API_KEY}], ids=["bearer", "x-api-key"])
def test_the_owners_key_opens_them_and_no_page(make_client: MakeClient, path: str, headers: dict[str, str]) -> None:
    client = make_client(is_logged_in=False, state=READY)
    assert client.get(path, headers=headers).status_code == 200
    assert client.get("/", headers=headers).status_code == 401


@pytest.mark.engine
def test_prometheus_understands_a_real_vllm_and_us(make_server: Any, live_engine: LiveEngine) -> None:
    server = make_server(state=READY, engine=live_engine.socket_path)
    answer = requests.get(f"{server.url}/metrics", headers=BEARER, timeout=10)

    found = parsed(answer.text)
    assert found["vllm:num_requests_running"] == {("0", "tiny"): 0}
    assert "vllm:kv_cache_usage_perc" in found
    assert found["llm_hoster_engine_state"][("ready",)] == 1
