"""The gauges of the panel: from vLLM's figures as a real one told them, and from a real vLLM."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.vllm.figures import Figures, parse_figures
from llm_hoster.status.gauges import GaugeReader, Gauges, Throughput
from llm_hoster.status.gpu import Gpu
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import LiveEngine, wait_for
from tests.status.conftest import RECORDED
from tests.web_session import MakeClient, ready_state

READY = ready_state(model=ServedModel("tiny", "Tiny model"))


def test_the_panel_shows_what_vllm_tells(make_client: MakeClient, recorded_engine: Path) -> None:
    html = make_client(state=READY, engine=recorded_engine).get("/gauges").get_data(as_text=True)
    words = " ".join(html.replace("<", " <").replace(">", "> ").split())

    for title, value in [("Running requests", "2"), ("Waiting requests", "1"), ("KV cache in use", "12 %")]:
        assert f"{title} </dt> <dd> {value} </dd>" in words, title
    assert "Found in the prefix cache </dt> <dd> 25 % </dd>" in words
    assert 'value="0.125"' in words
    # A rate needs a second reading.
    assert 'Generated </dt> <dd> <span aria-hidden="true">' in words


def test_the_panel_is_the_same_size_before_vllm_answers(make_client: MakeClient, recorded_engine: Path) -> None:
    known = make_client(state=READY, engine=recorded_engine).get("/gauges").get_data(as_text=True)
    unknown = make_client(state=READY).get("/gauges").get_data(as_text=True)
    assert unknown.count("<dt") == known.count("<dt") == 6
    assert unknown.count("<meter") == known.count("<meter") == 2
    assert "not known" in unknown


def test_the_panel_shows_each_gpu(make_client: MakeClient) -> None:
    """Its name comes from the driver, and is text all the same."""
    client = make_client(state=READY)
    gpus = (Gpu("T0 <b>", 97, 8 * 2**30, 80 * 2**30, 61, 312.5), Gpu("T1 MIG", None, 2**30, 5 * 2**30, None, None))
    with client.application.test_request_context():
        html = client.application.jinja_env.get_template("status/_gauges.html").render(
            session_gauges=lambda: Gauges(None, gpus), url_for=lambda name: "/gauges"
        )

    for text in ("GPU 0: T0 &lt;b&gt;", "97 %", "8.0 of 80 GiB", "61 °C", "312 W", "GPU 1: T1 MIG", "1.0 of 5 GiB"):
        assert text in html
    assert html.count("<dt") == 6 + 4 + 2


def test_the_gauges_are_the_owners(make_client: MakeClient) -> None:
    assert make_client(is_logged_in=False, state=READY).get("/gauges").status_code == 401


def test_many_pages_are_one_question_to_vllm(short_dir: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(RECORDED.encode())
    upstream = SmallUpstream(short_dir / "counted.sock", answer + RECORDED.encode())
    try:
        reader = GaugeReader(short_dir / "counted.sock", {})
        for _ in range(50):
            assert reader.read().engine is not None
        assert len(upstream.requests) == 1
    finally:
        upstream.close()


def test_rates_are_those_of_the_last_seconds() -> None:
    figures = parse_figures(RECORDED)
    assert figures is not None
    throughput = Throughput()
    at = [
        throughput.rates(_more(figures, generated=generated, prompted=prompted), now)
        for now, generated, prompted in [(0, 0, 0), (5, 500, 50), (10, 1500, 50), (20, 1500, 50)]
    ]
    assert at == [(None, None), (100, 10), (150, 5), (0, 0)]


def test_a_vllm_that_was_started_again_counts_from_nothing() -> None:
    figures = parse_figures(RECORDED)
    assert figures is not None
    throughput = Throughput()
    throughput.rates(_more(figures, generated=900, prompted=900), 0)
    assert throughput.rates(_more(figures, generated=10, prompted=10), 5) == (None, None)
    assert throughput.rates(_more(figures, generated=60, prompted=10), 10) == (10, 0)


def _more(figures: Figures, *, generated: int, prompted: int) -> Figures:
    return replace(figures, generation_tokens=generated, prompt_tokens=prompted)


@pytest.mark.engine
def test_a_real_vllm_tells_its_throughput(live_engine: LiveEngine) -> None:
    reader = GaugeReader(live_engine.socket_path, {})
    assert reader.read().engine is not None
    question = {"model": "tiny", "prompt": "Say hello.", "max_tokens": 200, "ignore_eos": True}
    # Looked at meanwhile, as the page does: what is older than a few seconds counts no more.
    asking = threading.Thread(target=live_engine.post, args=("/v1/completions", json.dumps(question).encode()))
    asking.start()
    wait_for(lambda: (reader.read().engine.generation_tokens_per_s or 0) > 1, "tokens were counted")  # type: ignore[union-attr]
    asking.join()
    wait_for(lambda: reader.read().engine.requests_running == 0, "nothing runs any more")  # type: ignore[union-attr]
    gauges = reader.read().engine
    assert gauges is not None
    assert gauges.requests_running == gauges.requests_waiting == 0
    assert 0 <= gauges.kv_cache_usage <= 1
