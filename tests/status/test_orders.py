"""What the owner may ask of the supervisor through a page, and what a page answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import Remedy
from tests.conftest import MakeCatalogue
from tests.status.small_supervisor import SmallSupervisor
from tests.web_session import MakeClient, ready_state, starting_state

Supervise = Callable[..., SmallSupervisor]
HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}
REMEDY = Remedy("Restart with a context of 18,432 tokens", Adjustment(max_model_len=18432))
CHAT = "a1" * 16


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Put a supervisor behind a client's settings; it starts the engine again whatever it is asked."""
    made: list[SmallSupervisor] = []

    def make(client: FlaskClient, *, refusal: str | None = None) -> SmallSupervisor:
        settings = client.application.extensions["llm_hoster"]["settings"]
        after = ready_state(state="restarting", since=2.0, steps=starting_state().steps)
        made.append(SmallSupervisor(settings, refusal=refusal, after=None if refusal else after))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_button_under_a_failure_starts_again_with_what_it_says(
    make_client: MakeClient, supervise: Supervise
) -> None:
    client = make_client(state=ready_state(state="failed", remedy=REMEDY))
    supervisor = supervise(client)

    response = client.post("/engine/restart", data={"remedy": "1"}, follow_redirects=True)

    assert [(each.kind, Adjustment.parse(each.values)) for each in supervisor.orders] == [
        ("restart", Adjustment(max_model_len=18432))
    ]
    assert "The engine is being started again" in response.get_data(as_text=True)


def test_another_try_changes_nothing(make_client: MakeClient, supervise: Supervise) -> None:
    client = make_client(state=ready_state(state="failed", remedy=REMEDY))
    supervisor = supervise(client)

    assert client.post("/engine/restart").status_code == 303
    assert [(each.kind, each.values) for each in supervisor.orders] == [("restart", {})]


def test_a_remedy_that_is_gone_is_not_guessed(make_client: MakeClient, supervise: Supervise) -> None:
    client = make_client()
    supervisor = supervise(client)

    response = client.post("/engine/restart", data={"remedy": "1", "max_model_len": "1"}, headers=HTMX)

    assert response.status_code == 409
    assert "not offered any more" in response.get_data(as_text=True)
    assert supervisor.orders == []


def test_the_page_that_a_form_came_from_is_shown_again_and_no_other(
    make_client: MakeClient, supervise: Supervise
) -> None:
    client = make_client(state=ready_state(state="failed"))
    supervise(client)

    def goal(referrer: str) -> str:
        return client.post("/engine/restart", headers={"Referer": referrer}).headers["Location"]

    assert goal(f"https://portal.example.org/rnode/h/1/chat/{CHAT}") == f"/chat/{CHAT}"
    assert goal("https://evil.example/") == "/"
    assert goal("https://evil.example/chat/../../x") == "/"


def test_a_page_with_script_is_told_to_look_and_a_program_gets_json(
    make_client: MakeClient, supervise: Supervise
) -> None:
    client = make_client(state=ready_state(idle_ends_at=1e12))
    supervisor = supervise(client)

    page = client.post("/engine/stay", headers=HTMX)
    program = client.post("/engine/stay", headers=JSON)

    assert (page.status_code, page.headers["HX-Trigger"]) == (204, "engine-changed")
    assert json.loads(program.data) == {"ok": True}
    assert [each.kind for each in supervisor.orders] == ["stay", "stay"]


def test_the_end_is_the_last_page(make_client: MakeClient, supervise: Supervise) -> None:
    client = make_client()
    supervisor = supervise(client)

    html = client.post("/engine/stop").get_data(as_text=True)

    assert [each.kind for each in supervisor.orders] == ["stop"]
    assert "The session is ending" in html
    assert "Only the time used is charged" in html


@pytest.mark.parametrize("headers", [HTMX, JSON, {}])
def test_a_refusal_is_told_in_the_supervisors_words(
    make_client: MakeClient, supervise: Supervise, headers: dict[str, str]
) -> None:
    client = make_client()
    supervise(client, refusal="The session is ending.")

    response = client.post("/engine/restart", headers=headers)

    assert response.status_code == 409
    assert "The session is ending." in response.get_data(as_text=True)
    if headers == JSON:
        assert json.loads(response.data)["error"]["message"] == "The session is ending."


def test_a_supervisor_that_is_gone_is_an_error_with_a_sentence(make_client: MakeClient) -> None:
    response = make_client().post("/engine/stop")

    assert response.status_code == 409
    assert "supervisor does not answer" in response.get_data(as_text=True)


@pytest.mark.parametrize("path", ["/engine/restart", "/engine/switch", "/engine/stay", "/engine/stop"])
def test_orders_come_from_the_owner_and_from_this_sessions_pages(
    make_client: MakeClient, supervise: Supervise, path: str
) -> None:
    client = make_client()
    supervisor = supervise(client)

    assert client.post(path, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get(path).status_code == 405
    client.delete_cookie("llm_hoster_8080")
    assert client.post(path).status_code == 401
    assert supervisor.orders == []


def test_another_model_is_ordered_with_the_variant_in_which_it_fits(
    make_client: MakeClient, make_catalogue: MakeCatalogue, supervise: Supervise, tmp_path: Path
) -> None:
    write_session(tmp_path, make_catalogue(), context_length="4096")
    client = make_client()
    supervisor = supervise(client)

    assert client.post("/engine/switch", data={"model": "large"}).status_code == 303

    assert [(each.kind, each.values) for each in supervisor.orders] == [
        (
            "switch",
            {
                "model": "large",
                "quantization": "fp8_per_tensor",
                "preset": "interactive",
                "context_length": "auto",
            },
        )
    ]


def test_what_a_person_says_of_the_variant_counts(
    make_client: MakeClient, make_catalogue: MakeCatalogue, supervise: Supervise, tmp_path: Path
) -> None:
    write_session(tmp_path, make_catalogue())
    client = make_client()
    supervisor = supervise(client)

    client.post("/engine/switch", data={"model": "tiny", "preset": "throughput", "lora_folder": "/x"})

    assert supervisor.orders[0].values["preset"] == "throughput"
    assert "lora_folder" not in supervisor.orders[0].values


def test_a_model_that_does_not_fit_is_refused_with_those_that_do(
    make_client: MakeClient, make_catalogue: MakeCatalogue, supervise: Supervise, tmp_path: Path
) -> None:
    write_session(tmp_path, make_catalogue())
    client = make_client()
    supervisor = supervise(client)

    response = client.post("/engine/switch", data={"model": "huge"}, headers=JSON)

    message = json.loads(response.data)["error"]["message"]
    assert response.status_code == 400
    assert message == "'huge' cannot be served here. Models that fit the GPUs of this session: tiny, large."
    assert supervisor.orders == []


def test_the_panel_shows_what_fits_and_marks_what_runs(
    make_client: MakeClient, make_catalogue: MakeCatalogue, tmp_path: Path
) -> None:
    write_session(tmp_path, make_catalogue())

    html = make_client().get("/models-here", headers=HTMX).get_data(as_text=True)

    assert "<html" not in html
    assert "Huge model" not in html
    for text in ("Large model", "much", "61.0 GiB of weights", "up to 3,000 tokens here", "FP8 while loading"):
        assert text in html
    assert html.count("runs now") == 1
    assert 'value="tiny" required disabled' in html
    assert "Answers that are being written may come to their end first." in html


def test_the_panel_says_which_model_is_back_in_seconds(
    make_client: MakeClient, make_catalogue: MakeCatalogue, tmp_path: Path
) -> None:
    write_session(tmp_path, make_catalogue())

    html = make_client(state=ready_state(asleep="large")).get("/models-here", headers=HTMX).get_data(as_text=True)

    assert 'Large model <strong class="badge">sleeps: back in seconds</strong>' in html
    assert html.count("sleeps") == 1


def write_session(folder: Path, catalogue: dict[str, object], **context: str) -> None:
    """Add a model that fits as FP8 only and one that fits not at all, and launch the tiny one."""
    models, fits = catalogue["models"], catalogue["fits"]
    assert isinstance(models, list) and isinstance(fits, dict)
    refused = {"refusal": {"kind": "memory", "values": {"needed": "90", "usable": "70"}}}
    for name, title in (("large", "Large model"), ("huge", "Huge model")):
        models.append(models[0] | {"name": name, "title": title, "good_for": "much", "weights_gib": 61.0})
        fits[name] = {"cpu": {"1": {variant: refused for variant in fits["tiny"]["cpu"]["1"]}}}
    fits["large"]["cpu"]["1"] = {
        variant: {"max_model_len": 3000} if variant.startswith("fp8") else refused
        for variant in fits["tiny"]["cpu"]["1"]
    }
    for verdict in fits["tiny"]["cpu"]["1"].values():
        verdict["max_model_len"] = 8192
    values = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"} | context
    (folder / "session.json").write_text(json.dumps({"context": values, "catalogue": catalogue}))
