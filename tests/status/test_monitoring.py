"""deploy/monitoring with the real Prometheus: it scrapes a session with a real vLLM, and each panel finds data."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from llm_hoster.api_keys.api_key import ApiKey, Limits
from llm_hoster.api_keys.key_folder import KeyFolder
from tests.live_engine import LiveEngine, wait_for
from tests.web_session import API_KEY, WebServer, ready_state

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MONITORING = REPOSITORY / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# What Grafana puts into queries.
FILLED_IN = {"$instance": ".*", "$__rate_interval": "8s", "$__range": "5m"}
QUESTION = {"model": "tiny", "messages": [{"role": "user", "content": "Count to twenty. " * 20}], "max_tokens": 20}


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_alerts_go_off_when_they_should() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(MONITORING / "alerts.yml"))
    assert "SUCCESS" in promtool("test", "rules", str(Path(__file__).parent / "alerts_test.yml"))


def test_every_alert_is_tested_and_explained() -> None:
    tests = yaml.safe_load((Path(__file__).parent / "alerts_test.yml").read_text())
    tested = set(re.findall(r'alertname="(\w+)"', json.dumps(tests).replace("\\", "")))
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    names = {rule["alert"] for rule in group["rules"]}
    explained = set(
        re.findall(r"^\| `(LLMHoster\w+)` \|", (REPOSITORY / "docs/monitoring.md").read_text(), re.MULTILINE)
    )
    assert names == tested == explained


def test_grafana_can_tell_the_panels_apart() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(ids)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])
    assert all(target["datasource"]["uid"] == "${datasource}" for panel in PANELS for target in panel["targets"])
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}


class Prometheus:
    """A real one, with the example configuration but for target, key and interval."""

    def __init__(self, folder: Path, server: WebServer) -> None:
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(MONITORING / name) for name in config["rule_files"]]
        (job,) = config["scrape_configs"]
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{server.settings.port}"]
        (folder / job["authorization"]["credentials_file"]).write_text(API_KEY)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self.values("up == 1"))
        except requests.RequestException:  # It listens before it knows anything, and says so in words.
            return False

    def values(self, query: str) -> list[dict[str, Any]]:
        """Give the samples of this moment; what divides nothing by nothing is none."""
        answer = requests.get(f"{self.url}/query", params={"query": query}, timeout=10).json()
        assert answer["status"] == "success", answer
        return [each for each in answer["data"]["result"] if each["value"][1] != "NaN"]


@pytest.fixture
def server(
    make_server: Callable[..., WebServer], live_engine: LiveEngine, gpu_driver: Path, monkeypatch: pytest.MonkeyPatch
) -> WebServer:
    """One on a node whose driver is a stand-in, as this machine has no GPU."""
    variables = {"LD_LIBRARY_PATH": str(gpu_driver), "NVML_CARDS": "free", "CUDA_VISIBLE_DEVICES": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    now = time.time()
    state = ready_state(started_at=now - 60, ready_at=now - 20)
    return make_server(engine=live_engine.socket_path, state=state)


@pytest.fixture
def traffic(server: WebServer) -> Iterator[None]:
    """The owner asks, streams and errs; a guest comes too often."""
    key = ApiKey("key-1", "Ada", "", created_at=time.time(), limits=Limits(requests_per_min=2))
    guest = {"Authorization": f"Bearer {KeyFolder(server.settings.data_dir).create(key)}"}
    ending = threading.Event()

    def ask() -> None:
        while not ending.wait(0.2):
            server.api("/v1/chat/completions", json=QUESTION | {"stream": True})
            server.api("/v1/chat/completions", json=QUESTION | {"model": "none"})
            requests.post(f"{server.url}/v1/chat/completions", json=QUESTION, headers=guest, timeout=60)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    ending.set()
    thread.join()


@pytest.fixture
def prometheus(tmp_path: Path, server: WebServer) -> Iterator[Prometheus]:
    prometheus = Prometheus(tmp_path, server)
    try:
        wait_for(prometheus.is_up, "Prometheus scrapes the session", timeout_s=60)
        yield prometheus
    finally:
        prometheus.process.terminate()
        prometheus.process.wait(30)


def filled_in(query: str) -> str:
    for name, value in FILLED_IN.items():
        query = query.replace(name, value)
    assert "$" not in query
    return query


@pytest.mark.engine
@pytest.mark.usefixtures("traffic")
def test_every_panel_finds_data_and_every_alert_its_figures(prometheus: Prometheus) -> None:
    waiting = {
        f"{panel['title']}: {target['expr']}": filled_in(target["expr"])
        for panel in PANELS
        for target in panel["targets"]
    }
    assert len(waiting) > 30

    def all_have_data() -> bool:
        for name, query in list(waiting.items()):
            if prometheus.values(query):
                del waiting[name]
        return not waiting

    try:
        wait_for(all_have_data, "every panel has data", timeout_s=60)
    except AssertionError:
        pytest.fail("no data: " + "\n".join(waiting))
    assert {each["metric"]["key"] for each in prometheus.values("llm_hoster_tokens_total")} == {"owner", "Ada"}
    rules = requests.get(f"{prometheus.url}/rules", timeout=10).json()["data"]["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert len(rules) == 9
