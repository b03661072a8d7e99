"""The panel with the endpoint's address; the live test runs the very lines that it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.settings import WebSettings
from llm_hoster.status.snippet import curl_snippet, python_snippet
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY, HOST, MakeClient, MakeSettings, WebServer, ready_state


def test_the_panel_shows_address_key_and_model(make_client: MakeClient) -> None:
    html = make_client().get("/api-address", headers={"HX-Request": "true"}).get_data(as_text=True)

    assert f'value="http://{HOST}:8080/v1"' in html
    assert f'value="{API_KEY}"' in html
    assert 'type="password"' in html
    assert "on the cluster" in html
    assert "<html" not in html


def test_the_panel_names_the_model_that_is_served_now(make_client: MakeClient) -> None:
    client = make_client(state=ready_state(model=ServedModel("qwen3-32b", "Qwen3 32B")))

    html = client.get("/api-address").get_data(as_text=True)

    assert 'value="qwen3-32b"' in html
    assert "&#34;model&#34;: &#34;qwen3-32b&#34;" in html
    assert "tiny" not in html


def test_the_key_is_in_no_snippet_and_on_no_other_page(make_client: MakeClient, make_settings: MakeSettings) -> None:
    client = make_client()
    settings = client.application.extensions["llm_hoster"]["settings"]

    assert API_KEY not in curl_snippet(settings, "tiny") + python_snippet(settings)
    assert API_KEY not in client.get("/").get_data(as_text=True)


@pytest.mark.parametrize("snippet", [lambda settings: curl_snippet(settings, "tiny"), python_snippet])
def test_a_snippet_says_where_it_works_and_passes_the_proxy_by(
    make_settings: MakeSettings, snippet: Callable[[WebSettings], str]
) -> None:
    text = snippet(make_settings())

    assert text.startswith("# Works on the cluster only")
    assert "--noproxy '*'" in text or f"no_proxy={HOST}" in text


@pytest.mark.engine
@pytest.mark.parametrize("program", ["curl", "python"])
def test_the_snippets_run_as_they_stand(
    make_server: Callable[..., WebServer], live_engine: LiveEngine, tmp_path: Path, program: str
) -> None:
    endpoint_file = tmp_path / 'it\'s an "endpoint".json'
    settings = make_server(engine=live_engine.socket_path, endpoint_file=endpoint_file).settings
    endpoint_file.write_text(json.dumps({"base_url": settings.base_url, "api_key": API_KEY, "model": "tiny"}))
    command = {
        "curl": ["bash", "-c", curl_snippet(settings, "tiny")],
        "python": [sys.executable, "-W", "ignore", "-c", python_snippet(settings)],
    }[program]

    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"NO_PROXY": "*"})

    assert "Hello! I am the tiny model of LLM Hoster." in result.stdout, result.stderr
