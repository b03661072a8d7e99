"""The Connect panel: address, key and model, the tunnel, and lines for each program that say where they work."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.status.location import CLUSTER, COMPUTER, LOCATIONS, Location
from llm_hoster.status.snippet import PROGRAMS, snippet, snippets
from llm_hoster.status.tunnel import owner_name, tunnel_of
from tests.conftest import MakeCatalogue
from tests.web_session import API_KEY, HOST, MakeClient, MakeSettings, ready_state

TINY = ServedModel("tiny", "Tiny model")
EMBEDS = ServedModel("tiny", "Tiny model", task="embed")
HOSTILE = ServedModel("tiny", """</pre><script>alert("1")</script> $(id) `id` 'x' ${{ secrets.x }} {{ 7 * 7 }}""")


@pytest.fixture
def stage(make_catalogue: MakeCatalogue, tmp_path: Path) -> Callable[..., None]:
    """Write the session.json of a launch."""

    def write(**catalogue: Any) -> None:
        context = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
        document = {"context": context, "catalogue": make_catalogue(**catalogue)}
        (tmp_path / "session.json").write_text(json.dumps(document))

    return write


def page_text(client: Any, path: str) -> str:
    return html.unescape(client.get(path).get_data(as_text=True))


def test_the_panel_shows_address_key_and_model(make_client: MakeClient) -> None:
    html = make_client().get("/connect", headers={"HX-Request": "true"}).get_data(as_text=True)

    assert f'value="http://{HOST}:8080/v1"' in html
    assert f'value="{API_KEY}"' in html
    assert 'type="password"' in html
    assert "on the cluster" in html
    assert "<html" not in html


def test_the_panel_names_the_model_that_is_served_now(make_client: MakeClient) -> None:
    client = make_client(state=ready_state(model=ServedModel("qwen3-32b", "Qwen3 32B")))

    text = page_text(client, "/connect")

    assert 'value="qwen3-32b"' in text
    assert '"model": "qwen3-32b"' in text
    assert "tiny" not in text


def test_for_ones_own_computer_the_panel_shows_the_tunnel_and_the_address_behind_it(
    make_client: MakeClient, stage: Callable[..., None]
) -> None:
    stage(site={"login_host": "login.example.org"})

    text = page_text(make_client(), "/connect?at=computer")

    line = next(line for line in text.splitlines() if "ssh -N" in line)
    assert f"-o ExitOnForwardFailure=yes -o ServerAliveInterval=15 -L 127.0.0.1:8080:{HOST}:8080 " in line
    assert re.search(r"\w@login\.example\.org<", line)
    assert 'value="http://127.0.0.1:8080/v1"' in text
    assert "@login.example.org --port 8080 session-1</code>" in text
    assert "LOGIN-NODE" not in text
    assert "read -rs LLM_HOSTER_API_KEY && export LLM_HOSTER_API_KEY" in text


def test_a_site_that_names_no_login_node_leaves_its_place_open_and_says_so(
    make_client: MakeClient, stage: Callable[..., None]
) -> None:
    stage()

    text = page_text(make_client(), "/connect?at=computer")

    assert "@LOGIN-NODE<" in text
    assert "LOGIN-NODE stands for the machine that you log in to with" in text


@pytest.mark.parametrize("at", ["", "nowhere", "computer%00", "<script>"])
def test_an_unknown_location_is_the_cluster(make_client: MakeClient, at: str) -> None:
    assert f'value="http://{HOST}:8080/v1"' in page_text(make_client(), f"/connect?at={at}")


def test_the_tunnel_ends_where_programs_look_for_it(make_settings: MakeSettings) -> None:
    settings = make_settings()
    words = shlex.split(tunnel_of(settings, "ada").ssh_line)

    address, port, host, there = words[words.index("-L") + 1].split(":")

    assert COMPUTER.base_url(settings) == f"http://{address}:{port}/v1"
    assert f"http://{host}:{there}/v1" == settings.base_url


@pytest.mark.parametrize("model", [TINY, EMBEDS], ids=["chat", "embed"])
@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
def test_the_key_is_in_no_lines_and_each_say_where_they_work(
    make_settings: MakeSettings, location: Location, model: ServedModel
) -> None:
    settings = make_settings()

    for each in snippets(settings, model, location):
        assert API_KEY not in each.text
        assert f" {each.works}\n" in each.text or f" {each.works} " in each.text, each.program.name
        assert ("the tunnel is open" in each.works) is (location is COMPUTER)
        assert (HOST in each.text or str(settings.endpoint_file) in each.text) is (location is CLUSTER)


def test_the_key_is_on_no_other_page(make_client: MakeClient) -> None:
    client = make_client()

    assert API_KEY not in client.get("/").get_data(as_text=True)
    assert API_KEY not in client.get("/engine").get_data(as_text=True)


def test_programs_that_only_chat_are_not_offered_for_embeddings(make_settings: MakeSettings) -> None:
    settings = make_settings()
    chat = {each.program.name for each in snippets(settings, TINY)}
    embed = {each.program.name for each in snippets(settings, EMBEDS)}

    assert chat == {program.name for program in PROGRAMS}
    assert chat - embed == {"ellmer", "opencode", "claude-code"}
    assert "/v1/embeddings" in snippet("vllm-bench", settings, EMBEDS)


def test_a_benchmark_through_a_tunnel_is_not_offered(make_settings: MakeSettings) -> None:
    settings = make_settings()
    everywhere = {each.program.name for each in snippets(settings, TINY)}

    assert everywhere - {each.program.name for each in snippets(settings, TINY, COMPUTER)} == {"vllm-bench"}


@pytest.mark.parametrize("path", ["/connect", "/connect?at=computer"])
def test_a_hostile_title_stays_text(make_client: MakeClient, path: str) -> None:
    client = make_client(state=ready_state(model=HOSTILE))

    html = client.get(path).get_data(as_text=True)

    assert "<script>alert" not in html
    assert "49" not in re.findall(r"name: (.*)", html)[0]


def test_continue_gets_valid_yaml_whatever_the_model_is_called(make_settings: MakeSettings) -> None:
    settings = make_settings()

    document = yaml.safe_load(snippet("continue", settings, HOSTILE))

    assert (document["schema"], document["name"], document["version"]) == ("v1", "LLM Hoster", "1.0.0")
    assert document["models"] == [
        {
            "name": HOSTILE.title,
            "provider": "openai",
            "model": "tiny",
            "apiBase": settings.base_url,
            "apiKey": "${{ secrets.LLM_HOSTER_API_KEY }}",
            "roles": ["chat", "edit", "apply"],
        }
    ]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("/models/it's one", "--model '/models/it'\"'\"'s one' --served-model-name tiny"),
        ("$HOME/one", f"--model {Path.home()}/one --served-model-name tiny"),
        ("Qwen/Qwen3-4B", "export HF_HOME=/cache/huggingface\n"),
    ],
)
def test_the_benchmark_finds_the_models_own_tokenizer(
    make_settings: MakeSettings, stage: Callable[..., None], source: str, lines: str
) -> None:
    stage(model={"source": source}, site={"cache_dir": "/cache"})

    assert lines in snippet("vllm-bench", make_settings(), TINY)


@pytest.mark.parametrize("path", ["/connect", "/connect?at=computer", "/"])
def test_a_guest_learns_address_and_lines_and_nothing_of_the_owners(
    make_client: MakeClient, stage: Callable[..., None], tmp_path: Path, path: str
) -> None:
    stage()
    client = make_client(is_logged_in=False, state=ready_state(model=EMBEDS))
    key = KeyFolder(tmp_path / "data").create(ApiKey("key-ada", "ada", "", created_at=1.0))
    assert client.post("/login", data={"password": key}).status_code == 303

    text = page_text(client, path)

    assert "client.embeddings.create(" in text
    assert "/v1" in text
    assert "LLM_HOSTER_API_KEY" in text
    for hidden in (
        API_KEY,
        str(tmp_path),
        "endpoint.json",
        "vllm bench serve",
        f"{owner_name()}@",
        "llm-hoster tunnel",
    ):
        assert hidden not in text
