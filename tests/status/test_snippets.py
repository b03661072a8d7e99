"""The lines of the Connect panel, run as they stand by the programs they are for, against real vLLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anthropic
import pytest

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.settings import WebSettings
from llm_hoster.status.location import CLUSTER, COMPUTER, LOCATIONS, Location
from llm_hoster.status.snippet import snippet
from tests.conftest import ENGINE_NAME, REPOSITORY, MakeCatalogue, prefix_path
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY, WebServer

pytestmark = pytest.mark.engine

GREETING = "Hello! I am the tiny model of LLM Hoster."
TITLE = 'It\'s the "tiny" model'
TINY = ServedModel("tiny", TITLE)
PYTHON = [sys.executable, "-W", "ignore", "-c"]
CLIENTS = prefix_path() / "clients"
NODE = ["node", "--input-type=module", "--eval"]
# What runs the lines of each program, as the last argument.
RUNNERS = {
    "curl": ["sh", "-c"],
    "python": PYTHON,
    "client": PYTHON,
    "langchain": PYTHON,
    "fetch": NODE,
    "httr2": ["Rscript", "-e"],
    "javascript": NODE,
    "litellm": [str(CLIENTS / "python" / "bin" / "python"), "-W", "ignore", "-c"],
}
# What stands for programs that are not here: they get the lines' environment, and print it.
STAND_IN = """\
#!/bin/sh
exec env -0
"""


@pytest.fixture
def settings(
    make_server: Callable[..., WebServer], live_engine: LiveEngine, make_catalogue: MakeCatalogue, tmp_path: Path
) -> WebSettings:
    """A session whose endpoint file lies at a path that no shell forgives."""
    context = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
    (tmp_path / "session.json").write_text(json.dumps({"context": context, "catalogue": make_catalogue()}))
    endpoint_file = tmp_path / 'it\'s an "endpoint" & more.json'
    settings = make_server(engine=live_engine.socket_path, endpoint_file=endpoint_file).settings
    endpoint_file.write_text(json.dumps({"base_url": settings.base_url, "api_key": API_KEY, "model": "tiny"}))
    return settings


def environment(location: Location, **more: str) -> dict[str, str]:
    """Step 2 of the panel has set the key outside the cluster; nothing has set it there."""
    key = {"LLM_HOSTER_API_KEY": API_KEY} if location is COMPUTER else {}
    package = {"PYTHONPATH": str(REPOSITORY / "webapp")}
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NO_PROXY": "*"} | package | key | more


def run(command: list[str], location: Location, **more: str) -> str:
    # Node looks for packages from the folder on, in which it is.
    folder = CLIENTS / "node"
    if not folder.is_dir():
        pytest.fail(f"{CLIENTS} holds no clients. Run: bin/install-clients .venv")
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment(location, **more)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
@pytest.mark.parametrize("program", RUNNERS)
def test_the_lines_run_as_they_stand(settings: WebSettings, program: str, location: Location) -> None:
    assert GREETING in run([*RUNNERS[program], snippet(program, settings, TINY, location)], location)


def test_vllms_own_benchmark_runs_as_it_stands(settings: WebSettings, prefix: Path) -> None:
    path = f"{prefix / 'engine' / ENGINE_NAME / 'bin'}:{os.environ['PATH']}"
    lines = snippet("vllm-bench", settings, TINY)

    said = run(["sh", "-c", lines], CLUSTER, PATH=path, VLLM_NO_USAGE_STATS="1")

    assert "Successful requests:                     20" in said
    assert "Failed requests:                         0" in said


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
def test_claude_code_gets_an_environment_in_which_anthropics_client_asks_this_model(
    settings: WebSettings, tmp_path: Path, location: Location
) -> None:
    given = environment_of_stand_in("claude", snippet("claude-code", settings, TINY, location), location, tmp_path)

    assert "ANTHROPIC_API_KEY" not in given
    assert {given[f"ANTHROPIC_DEFAULT_{kind}_MODEL"] for kind in ("OPUS", "SONNET", "HAIKU")} == {"tiny"}
    with anthropic.Anthropic(
        base_url=given["ANTHROPIC_BASE_URL"], auth_token=given["ANTHROPIC_AUTH_TOKEN"], api_key=None, max_retries=0
    ) as client:
        message = client.messages.create(
            model=given["ANTHROPIC_MODEL"], max_tokens=50, messages=[{"role": "user", "content": "Say hello."}]
        )
    assert message.content[0].text == GREETING


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
def test_opencode_gets_a_configuration_that_names_this_model_and_no_key(
    settings: WebSettings, tmp_path: Path, location: Location
) -> None:
    given = environment_of_stand_in("opencode", snippet("opencode", settings, TINY, location), location, tmp_path)

    configuration = json.loads(given["OPENCODE_CONFIG_CONTENT"])
    provider = configuration["provider"]["llm-hoster"]
    assert provider["npm"] == "@ai-sdk/openai-compatible"
    assert provider["options"] == {"baseURL": "{env:LLM_HOSTER_BASE_URL}", "apiKey": "{env:LLM_HOSTER_API_KEY}"}
    assert provider["models"]["tiny"]["name"] == TITLE
    assert configuration["model"] == configuration["small_model"] == "llm-hoster/tiny"
    assert (given["LLM_HOSTER_BASE_URL"], given["LLM_HOSTER_API_KEY"]) == (settings.base_url, API_KEY)


def environment_of_stand_in(program: str, lines: str, location: Location, folder: Path) -> dict[str, str]:
    """Run the lines in a shell in which the program only prints its environment."""
    stand_in = folder / "bin" / program
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    said = run(["sh", "-c", lines], location, PATH=f"{stand_in.parent}:/usr/bin:/bin", ANTHROPIC_API_KEY="another")
    return dict(each.split("=", 1) for each in said.rstrip("\0").split("\0"))


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
def test_the_line_of_continue_puts_the_key_where_it_looks_for_it(
    settings: WebSettings, tmp_path: Path, location: Location
) -> None:
    line = next(line for line in snippet("continue", settings, TINY, location).splitlines() if "umask" in line)
    (tmp_path / ".continue").mkdir()

    run(["sh", "-c", line.removeprefix("#")], location, HOME=str(tmp_path))

    secrets = tmp_path / ".continue" / ".env"
    assert secrets.read_text() == f"LLM_HOSTER_API_KEY={API_KEY}\n"
    assert secrets.stat().st_mode & 0o777 == 0o600


def test_outside_the_cluster_a_key_that_was_not_given_is_asked_for(settings: WebSettings) -> None:
    lines = snippet("curl", settings, TINY, COMPUTER)

    done = subprocess.run(["sh", "-c", lines], capture_output=True, text=True, timeout=60, env=environment(CLUSTER))

    assert done.returncode != 0
    assert "LLM_HOSTER_API_KEY: is not set: see the Connect panel" in done.stderr


def test_the_key_is_no_argument_of_curl(settings: WebSettings, tmp_path: Path) -> None:
    stand_in = tmp_path / "bin" / "curl"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)

    said = run(["sh", "-c", snippet("curl", settings, TINY)], CLUSTER, PATH=f"{stand_in.parent}:/usr/bin:/bin")

    assert settings.base_url in said
    assert API_KEY not in said
