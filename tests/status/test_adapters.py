"""LoRA adapters on the engine's panel and on the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from llm_hoster.adapters_command import adapters
from llm_hoster.engine.record.state import AdapterLook, State, read_state, write_state
from llm_hoster.engine.record.successor import Successor
from llm_hoster.settings import WebSettings
from llm_hoster.status_command.command import status
from tests.status.small_supervisor import SmallSupervisor
from tests.web_session import PASSWORD, MakeClient, WebServer, ready_state

Supervise = Callable[..., SmallSupervisor]
HTMX = {"HX-Request": "true"}
BUTTON = "Look for adapters again"
LOOKING = AdapterLook(2.0)
LOADED = AdapterLook(2.0, 1_700_000_000.0, "Loaded: <law>.")
FAULTY = AdapterLook(2.0, 3.0, "law has the\x1b[2J rank 64.", is_whole=False)


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    made: list[SmallSupervisor] = []

    def make(settings: WebSettings, *, refusal: str | None = None, after: State | None = None) -> SmallSupervisor:
        made.append(SmallSupervisor(settings, refusal=refusal, after=after))
        return made[-1]

    yield make
    for each in made:
        each.close()


def settings_of(client: FlaskClient) -> WebSettings:
    settings: WebSettings = client.application.extensions["llm_hoster"]["settings"]
    return settings


def panel(client: FlaskClient) -> str:
    return client.get("/engine", headers=HTMX).get_data(as_text=True)


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    for state in (ready_state(), ready_state(adapters=("law",), adapter_look=LOADED)):
        write_state(tmp_path / "state.json", state)
        assert read_state(tmp_path / "state.json") == state


def test_the_panel_names_them_and_what_came_of_the_last_look(make_client: MakeClient) -> None:
    html = panel(make_client(state=ready_state(adapters=("law", "physics"), adapter_look=LOADED)))

    assert "<code>law</code>, <code>physics</code>." in html
    assert "Loaded: &lt;law&gt;." in html
    assert BUTTON in html
    assert 'hx-trigger="every 1s"' not in html


def test_a_folder_of_which_none_is_served_has_the_button_too(make_client: MakeClient) -> None:
    html = panel(make_client(state=ready_state(adapters=())))

    assert "None is served." in html
    assert BUTTON in html


@pytest.mark.parametrize("changes", [
    {"adapters": None},
    {"adapters": ("law",), "state": "restarting"},
    {"adapters": ("law",), "adapter_look": LOOKING},
    {"adapters": ("law",), "successor": Successor("node", 1, "rnode", "tiny", "Tiny", "2", "/staged")},
])  # fmt: skip
def test_the_button_is_there_only_when_it_can_do_something(make_client: MakeClient, changes: dict[str, object]) -> None:
    html = panel(make_client(state=ready_state(**changes)))

    assert BUTTON not in html
    assert ("LoRA adapters" in html) == (changes["adapters"] is not None)


def test_the_button_gives_the_order_and_the_page_looks_until_it_is_done(
    make_client: MakeClient, supervise: Supervise
) -> None:
    client = make_client(state=ready_state(adapters=("law",)))
    supervisor = supervise(settings_of(client), after=ready_state(adapters=("law",), adapter_look=LOOKING))

    html = client.post("/engine/adapters", data={"lora_folder": "/etc"}, headers=HTMX).get_data(as_text=True)

    assert [(each.kind, each.values) for each in supervisor.orders] == [("adapters", {})]
    assert 'hx-get="/engine/adapters" hx-trigger="every 1s"' in html
    write_state(settings_of(client).state_path, ready_state(adapters=("law",), adapter_look=LOADED))
    assert "Loaded: &lt;law&gt;." in client.get("/engine/adapters").get_data(as_text=True)


def test_without_script_the_panels_own_page_comes_next(make_client: MakeClient, supervise: Supervise) -> None:
    client = make_client(state=ready_state(adapters=("law",)))
    supervise(settings_of(client))

    answer = client.post("/engine/adapters")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/engine")


def test_it_is_for_the_owner_and_from_this_sessions_pages(make_client: MakeClient, supervise: Supervise) -> None:
    client = make_client(state=ready_state(adapters=("law",)))
    supervisor = supervise(settings_of(client))

    assert client.post("/engine/adapters", headers={"Origin": "https://evil.example"}).status_code == 403
    client.delete_cookie("llm_hoster_8080")
    assert client.post("/engine/adapters").status_code == 401
    assert client.get("/engine/adapters").status_code == 401
    assert supervisor.orders == []


@pytest.fixture
def server(make_server: Callable[..., WebServer], tmp_path: Path) -> WebServer:
    """A session whose folder is complete: the command finds everything there."""
    (tmp_path / "session.json").write_text('{"context":{}}')
    (tmp_path / "secret").write_text(PASSWORD)
    made = make_server(session_id=tmp_path.name, state=ready_state(adapters=("law",)))
    endpoint = {"base_url": made.settings.base_url, "api_key": made.settings.api_key, "model": "tiny"}
    (tmp_path / "endpoint.json").write_text(json.dumps(endpoint))
    (tmp_path / "outcome.json").write_text("{}")
    return made


def run(server: WebServer, *options: str) -> Result:
    return CliRunner().invoke(adapters, [str(server.settings.staged_root), *options])


def finish_later(server: WebServer, look: AdapterLook) -> None:
    state = ready_state(adapters=("law", "physics"), adapter_look=look)
    threading.Timer(1.0, write_state, [server.settings.state_path, state]).start()


def test_the_command_waits_and_tells(server: WebServer, supervise: Supervise) -> None:
    supervisor = supervise(server.settings, after=ready_state(adapters=("law",), adapter_look=LOOKING))
    finish_later(server, LOADED)

    result = run(server)

    assert (result.exit_code, result.stdout) == (0, "Loaded: <law>.\nAdapters: law, physics\n")
    assert [(each.kind, each.values) for each in supervisor.orders] == [("adapters", {})]


def test_the_command_fails_where_one_is_not_served(server: WebServer, supervise: Supervise) -> None:
    supervise(server.settings, after=ready_state(adapters=("law",), adapter_look=LOOKING))
    finish_later(server, FAULTY)

    result = run(server)

    assert (result.exit_code, result.stdout) == (1, "Adapters: law, physics\n")
    assert result.stderr == "law has the [2J rank 64.\n"  # Nothing in it steers the terminal.


def test_the_command_has_json(server: WebServer, supervise: Supervise) -> None:
    supervise(server.settings, after=ready_state(adapters=("law",), adapter_look=FAULTY))

    result = run(server, "--json")

    assert json.loads(result.stdout) == {
        "session_id": server.settings.session_id, "adapters": ["law"], "sentence": FAULTY.sentence, "is_whole": False
    }  # fmt: skip
    assert result.exit_code == 1


def test_a_refusal_is_an_error(server: WebServer, supervise: Supervise) -> None:
    supervise(server.settings, refusal="This session has no folder of LoRA adapters.")

    result = run(server)

    assert result.exit_code == 1
    assert str(result.exception) == "This session has no folder of LoRA adapters."


def test_status_tells_them(server: WebServer) -> None:
    write_state(server.settings.state_path, ready_state(adapters=("law", "physics"), adapter_look=LOADED))
    folder = str(server.settings.staged_root)

    text = CliRunner().invoke(status, [folder]).output
    [standing] = json.loads(CliRunner().invoke(status, ["--json", folder]).output)

    assert "  Adapters   law, physics\n             Loaded: <law>.\n" in text
    assert standing["report"]["engine"]["adapters"] == ["law", "physics"]
