"""`llm-hoster switch`, against the pages of a session and something that takes orders as its supervisor does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm_hoster.engine.record.state import ServedModel, State, Step, Transition, write_state
from llm_hoster.errors import SessionError
from llm_hoster.own_sessions import OwnSession
from llm_hoster.switch_command import give_order, switch, wait_until_ready
from tests.conftest import MakeCatalogue
from tests.status.small_supervisor import SmallSupervisor
from tests.web_session import PASSWORD, WebServer, ready_state

MakeServer = Callable[..., WebServer]
Supervise = Callable[..., SmallSupervisor]
SECOND = ServedModel("second", "Second model")
STEPS = (Step("weights", "Load the weights", 41.0, "done"), Step("ready", "Open for questions", 1.0, "running"))
SWITCHING = {"state": "switching", "model": SECOND, "steps": STEPS, "since": 2.0}


@pytest.fixture
def server(make_server: MakeServer, make_catalogue: MakeCatalogue, tmp_path: Path) -> WebServer:
    """A session whose folder is complete: the command finds everything there."""
    catalogue = make_catalogue()
    catalogue["models"].append(catalogue["models"][0] | {"name": "second", "title": "Second model"})
    catalogue["fits"]["second"] = catalogue["fits"]["tiny"]
    values = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
    (tmp_path / "session.json").write_text(json.dumps({"context": values, "catalogue": catalogue}))
    (tmp_path / "secret").write_text(PASSWORD)
    made = make_server(session_id=tmp_path.name)
    endpoint = {"base_url": made.settings.base_url, "api_key": made.settings.api_key, "model": "tiny"}
    (tmp_path / "endpoint.json").write_text(json.dumps(endpoint))
    (tmp_path / "outcome.json").write_text("{}")
    return made


@pytest.fixture
def supervise(server: WebServer) -> Iterator[Supervise]:
    made: list[SmallSupervisor] = []

    def make(*, refusal: str | None = None, after: State | None = None) -> SmallSupervisor:
        made.append(SmallSupervisor(server.settings, refusal=refusal, after=after))
        return made[-1]

    yield make
    for each in made:
        each.close()


def switch_to(server: WebServer, name: str) -> str:
    session = OwnSession(server.settings.staged_root)
    give_order(session, "/engine/switch", {"model": name})
    return wait_until_ready(session, name, poll_s=0.05)


def test_it_waits_and_tells_the_steps(server: WebServer, supervise: Supervise) -> None:
    supervisor = supervise(after=ready_state(**SWITCHING))
    ready = ready_state(model=SECOND, since=3.0)
    threading.Timer(1.0, write_state, [server.settings.state_path, ready]).start()

    arguments = ["second", str(server.settings.staged_root), "--preset", "throughput"]
    result = CliRunner().invoke(switch, arguments)

    assert result.exit_code == 0, result.output
    assert supervisor.orders[0].values == {
        "model": "second",
        "quantization": "none",
        "preset": "throughput",
        "context_length": "auto",
    }
    assert result.stderr.splitlines() == ["Load the weights: 41 s", "Open for questions …"]
    assert result.stdout.startswith("Second model is ready after ")


def test_as_json_it_says_what_is_served_now(server: WebServer, supervise: Supervise) -> None:
    supervise(after=ready_state(model=SECOND, since=3.0))
    result = CliRunner().invoke(switch, ["second", str(server.settings.staged_root), "--json"])
    document = json.loads(result.stdout)
    assert (document["session_id"], document["model"], document["title"]) == (
        server.settings.staged_root.name,
        "second",
        "Second model",
    )


def test_a_model_that_does_not_come_up_is_an_error_with_its_cause(server: WebServer, supervise: Supervise) -> None:
    cause = "Second model could not be started. It does not fit. Tiny model comes back."
    transitions = (
        Transition(1.0, "ready", "switching", "Second model is asked for."),
        Transition(2.0, "switching", "switching", cause),
        Transition(3.0, "switching", "switching", "Tiny model has woken up after 0.3 s.", is_note=True),
    )
    supervise(after=ready_state(since=4.0, transitions=transitions))

    with pytest.raises(SessionError) as caught:
        switch_to(server, "second")

    assert str(caught.value) == cause


def test_an_engine_that_fails_is_an_error_with_its_cause(server: WebServer, supervise: Supervise) -> None:
    supervise(after=ready_state(state="failed", since=4.0, cause="The disk\x1b[2J is full."))

    with pytest.raises(SessionError, match=r"The disk \[2J is full\."):
        switch_to(server, "second")


def test_a_model_that_is_not_offered_is_refused_by_the_session(server: WebServer, supervise: Supervise) -> None:
    supervisor = supervise()

    with pytest.raises(SessionError, match="Models that fit the GPUs of this session: tiny, second"):
        switch_to(server, "huge")

    assert supervisor.orders == []


def test_a_refusal_of_the_supervisor_is_told(server: WebServer, supervise: Supervise) -> None:
    supervise(refusal="The session is ending.")

    with pytest.raises(SessionError, match=r"^The session is ending\.$"):
        switch_to(server, "second")
