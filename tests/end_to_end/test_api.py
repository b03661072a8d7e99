"""The endpoint as a script inside the cluster uses it."""

from __future__ import annotations

import json
import shlex

import pytest

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.settings import WebSettings
from llm_hoster.status.snippet import snippet
from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.http_client import HttpClient
from tests.end_to_end.launched_session import LaunchedSession
from tests.end_to_end.tiny_reply import GREETING, HELLO


def test_the_key_of_the_endpoint_file_opens_the_api_from_another_node(main: LaunchedSession, alice: HttpClient) -> None:
    assert main.endpoint["base_url"] == f"http://{main.host}:{main.port}/v1"
    answer = alice.post_json(
        main.host, main.port, "/v1/chat/completions", HELLO, Authorization=f"Bearer {main.endpoint['api_key']}"
    )
    assert answer.status == 200, answer.text
    assert answer.json["choices"][0]["message"]["content"] == GREETING


def test_a_stream_from_another_node_ends_as_openai_says(main: LaunchedSession, alice: HttpClient) -> None:
    answer = alice.post_json(
        main.host, main.port, "/v1/chat/completions", HELLO | {"stream": True}, X_Api_Key=main.endpoint["api_key"]
    )
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]]
    assert "".join(deltas) == GREETING


def test_the_curl_lines_of_the_page_work_as_they_are_copied(
    main: LaunchedSession, cluster: SlurmCluster, alice: HttpClient
) -> None:
    """The page's own text, run by a real shell of alice: her home and so the key's path have spaces and a quote."""
    settings = WebSettings.from_file(main.outside(main.runtime_dir / "settings.json"))
    said = cluster.check(
        ["bash", "-c", snippet("curl", settings, ServedModel("tiny", "Tiny model"))], user="alice", node="n2"
    )
    assert json.loads(said)["choices"][0]["message"]["content"] == GREETING


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X_Api_Key": "wrong"}])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/no-such-route"])
def test_without_the_key_the_api_answers_401(
    main: LaunchedSession, alice: HttpClient, path: str, headers: dict[str, str]
) -> None:
    answer = alice.get(main.host, main.port, path, **headers)
    assert answer.status == 401
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "path", ["/health", "/invocations", "/docs", "/openapi.json", "/ping", "/version", "/tokenize", "/v1/systemone"]
)
def test_no_other_route_of_vllm_is_reachable_even_with_the_key(
    main: LaunchedSession, alice: HttpClient, path: str
) -> None:
    key = main.endpoint["api_key"]
    for method in ("GET", "POST"):
        answer = alice.request(
            method, main.host, main.port, path, headers={"Authorization": f"Bearer {key}"}, body="{}"
        )
        assert answer.status in {401, 403, 404, 405}
        assert "vllm" not in answer.text.lower()


def test_the_key_is_in_a_file_of_the_owner_alone(main: LaunchedSession, cluster: SlurmCluster) -> None:
    path = shlex.quote(main.card["endpoint_file"])
    assert cluster.check(["sh", "-c", f"stat -c '%a %U' {path}"], user="alice").split() == ["600", "alice"]
