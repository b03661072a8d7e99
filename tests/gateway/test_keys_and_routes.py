"""Who may call the endpoint, which routes there are, and that every error has OpenAI's envelope."""

from __future__ import annotations

import io
import json
import re
import time
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.web_session import API_KEY, MakeClient, ready_state, starting_state

BEARER = {"Authorization": f"Bearer {API_KEY}"}
ROUTE = "/v1/chat/completions"


def error_of(response: TestResponse) -> dict[str, Any]:
    assert response.content_type == "application/json"
    document = json.loads(response.data)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = document["error"]
    return error


@pytest.mark.parametrize("headers", [
    pytest.param({}, id="none"),
    pytest.param({"Authorization": "Bearer wrong"}, id="wrong"),
    pytest.param({"Authorization": API_KEY}, id="without Bearer"),
    pytest.param({"Authorization": "Basic " + API_KEY}, id="Basic"),
    pytest.param({"X-Api-Key": API_KEY[:-1]}, id="cut short"),
    pytest.param({"X-Api-Key": ""}, id="empty"),
])  # fmt: skip
def test_a_call_without_the_key_is_refused(make_client: MakeClient, headers: dict[str, str]) -> None:
    response = make_client(is_logged_in=False).get("/v1/models", headers=headers)

    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"


def test_the_chats_cookie_does_not_open_the_endpoint(make_client: MakeClient) -> None:
    assert make_client().get("/v1/models").status_code == 401


@pytest.mark.parametrize("headers", [BEARER, {"Authorization": f"bearer {API_KEY}"}, {"X-Api-Key": API_KEY}])
def test_the_key_is_taken_in_either_header(make_client: MakeClient, headers: dict[str, str]) -> None:
    response = make_client(is_logged_in=False).get("/v1/models", headers=headers)

    assert error_of(response)["code"] == "engine_unreachable"  # No engine here; the key was not the trouble.


@pytest.mark.parametrize("path", [
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/v1/score",
    "/v1/tokenize", "/v1/detokenize",
])  # fmt: skip
def test_these_questions_reach_the_engine(make_client: MakeClient, path: str) -> None:
    response = make_client(is_logged_in=False).post(path, json={"model": "tiny"}, headers=BEARER)

    assert error_of(response)["code"] == "engine_unreachable"  # No engine here; the route was not the trouble.


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_sound_comes_as_a_file_of_a_form(make_client: MakeClient, path: str) -> None:
    client = make_client(is_logged_in=False)
    file = {"file": (io.BytesIO(b"RIFF"), "speech.wav")}

    assert error_of(client.post(path, data=file, headers=BEARER))["code"] == "engine_unreachable"
    assert client.post(path, json={}, headers=BEARER).status_code == 415


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_errors_of_anthropics_routes_have_its_shape(make_client: MakeClient, path: str) -> None:
    client = make_client(is_logged_in=False)

    unreachable = client.post(path, json={"model": "tiny"}, headers={"X-Api-Key": API_KEY})
    stranger = client.post(path, json={"model": "tiny"})

    assert [unreachable.status_code, stranger.status_code] == [502, 401]
    assert json.loads(unreachable.data)["error"]["type"] == "api_error"
    assert json.loads(stranger.data)["type"] == "error"
    assert json.loads(stranger.data)["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("offered", ["7", "req_1:a.b-C", "x" * 128])
def test_a_request_keeps_its_id(make_client: MakeClient, offered: str) -> None:
    response = make_client().get("/v1/models", headers=BEARER | {"X-Request-Id": offered})

    assert response.headers["X-Request-Id"] == offered


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "ü", '"', "../x"])
def test_a_request_without_a_fair_id_gets_one(make_client: MakeClient, offered: str) -> None:
    client = make_client()
    ids = [
        client.get("/v1/models", headers=BEARER | {"X-Request-Id": offered}).headers["X-Request-Id"] for _ in range(2)
    ]

    assert all(re.fullmatch(r"req-[0-9a-f]{32}", each) for each in ids)
    assert ids[0] != ids[1]


@pytest.mark.parametrize("path", [
    "/v1", "/v1/", "/v1/embeddings/", "/v1/responses/resp_1", "/v1/messages/batches", "/v1/models/", "/v1/models/tiny",
    "/v1//models",
    "/v1/chat/completions/batch", "/v1/systemone", "/v1/audio", "/v1/realtime", "/v1/responses/resp_1/cancel",
    "/v1/load_lora_adapter", "/v1/completions/render", "/v1/../invocations", "/v1/models/../../metrics",
    "/v1%2Fmodels/", "/v1/chat%2Fcompletions", "/v1/%2e%2e/metrics", "/v1/models%00",
])  # fmt: skip
def test_nothing_else_is_reachable_under_v1(make_client: MakeClient, path: str) -> None:
    response = make_client(is_logged_in=False).get(path, headers=BEARER)

    assert response.status_code == 404
    assert error_of(response)["type"] == "not_found_error"


@pytest.mark.parametrize("path", [
    "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1//load_lora_adapter", "/v1/models/../load_lora_adapter",
    "/v1/load%5Flora_adapter", "/v1/LOAD_LORA_ADAPTER", "/adapters", "/v1/adapters",
])  # fmt: skip
def test_the_key_loads_and_unloads_no_adapter(make_client: MakeClient, path: str) -> None:
    """vLLM has these routes open where a session has LoRA adapters, and reads any folder that they name."""
    body = {"lora_name": "law", "lora_path": "/etc"}

    assert make_client().post(path, json=body, headers=BEARER).status_code == 404


@pytest.mark.parametrize("path", [
    "/invocations", "/tokenize", "/detokenize", "/score", "/rerank", "/v2/rerank", "/pooling", "/classify", "/sleep",
    "/docs", "/openapi.json", "/health", "/version",
    "/x//v1/models", "/V1/models", "/v2/models",
])  # fmt: skip
def test_nothing_of_vllm_is_reachable_beside_v1(make_client: MakeClient, path: str) -> None:
    assert make_client().get(path, headers=BEARER).status_code == 404


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("GET", ROUTE, "POST"), ("PUT", ROUTE, "POST"), ("OPTIONS", ROUTE, "POST"), ("PATCH", "/v1/completions", "POST"),
    ("DELETE", "/v1/models", "GET"), ("POST", "/v1/models", "GET"), ("OPTIONS", "/v1/models", "GET"),
])  # fmt: skip
def test_a_wrong_method_is_refused_and_the_right_one_named(
    make_client: MakeClient, method: str, path: str, allowed: str
) -> None:
    response = make_client(is_logged_in=False).open(path, method=method, headers=BEARER)

    assert (response.status_code, response.headers["Allow"]) == (405, allowed)
    assert error_of(response)["code"] == "method_not_allowed"


def test_a_head_request_is_refused(make_client: MakeClient) -> None:
    assert make_client(is_logged_in=False).head("/v1/models", headers=BEARER).status_code == 405


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "DELETE"])
def test_no_method_finds_what_is_not_there(make_client: MakeClient, method: str) -> None:
    response = make_client(is_logged_in=False).open("/v1/nothing", method=method, headers=BEARER)

    assert response.status_code == 404
    error_of(response)


def test_a_body_that_is_not_json_by_its_type_is_refused(make_client: MakeClient) -> None:
    response = make_client().post(ROUTE, data={"model": "tiny"}, headers=BEARER)

    assert response.status_code == 415
    assert "'application/x-www-form-urlencoded'" in error_of(response)["message"]


def test_a_body_over_the_limit_is_refused(make_client: MakeClient) -> None:
    body = b'"' + b"x" * (20 * 1024 * 1024) + b'"'

    response = make_client().post(ROUTE, data=body, content_type="application/json", headers=BEARER)

    assert response.status_code == 413
    assert "20 MB" in error_of(response)["message"]


def test_while_the_engine_loads_the_answer_names_the_step_and_when_to_try_again(make_client: MakeClient) -> None:
    response = make_client(state=starting_state()).post(ROUTE, json={"model": "tiny"}, headers=BEARER)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "Reading the weights" in error_of(response)["message"]


def test_when_the_engine_has_failed_the_answer_names_the_cause(make_client: MakeClient) -> None:
    state = ready_state(state="failed", cause="The model does not fit.")

    response = make_client(state=state).post(ROUTE, json={"model": "tiny"}, headers=BEARER)

    assert response.status_code == 503
    assert "The model does not fit." in error_of(response)["message"]


@pytest.mark.parametrize(("remaining_s", "seconds"), [(None, "5"), (0.0, "5"), (12.3, "18"), (500.0, "60")])
@pytest.mark.parametrize("name", ["starting", "restarting", "switching"])
def test_when_to_ask_again_is_what_the_start_still_takes_and_never_more_than_a_minute(
    make_client: MakeClient, name: str, remaining_s: float | None, seconds: str
) -> None:
    state = ready_state(state=name, remaining_s=remaining_s)

    response = make_client(state=state).post(ROUTE, json={"model": "tiny"}, headers=BEARER)

    assert (response.status_code, response.headers["Retry-After"]) == (503, seconds)
    assert error_of(response)["code"] == f"engine_{name}"


def test_an_engine_that_is_slow_to_answer_is_asked_all_the_same(make_client: MakeClient) -> None:
    response = make_client(state=ready_state(state="degraded")).post(ROUTE, json={}, headers=BEARER)

    assert error_of(response)["code"] == "engine_unreachable"  # It was asked, and is not there.


@pytest.mark.parametrize(("left_s", "is_said"), [(905, False), (840, True), (-3, True)])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/no/such"])
def test_near_its_end_every_answer_says_how_many_seconds_are_left(
    make_client: MakeClient, path: str, left_s: float, is_said: bool
) -> None:
    client = make_client(state=ready_state(job_ends_at=time.time() + left_s))

    headers = client.get(path, headers=BEARER).headers

    assert ("X-Session-Ends-In" in headers) == is_said
    if is_said:
        assert max(0, left_s - 5) <= int(headers["X-Session-Ends-In"]) <= max(0, left_s)
    assert "X-Session-Ends-In" not in client.get(path).headers
    assert "X-Session-Ends-In" not in client.get("/").headers
