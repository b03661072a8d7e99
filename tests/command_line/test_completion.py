"""What a shell completes: commands, options, one's own sessions, and what the site's catalogue offers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from llm_hoster.cli import COMMANDS, PROGRAM, group
from tests.staged_sessions import ENDED, NOTHING_YET, Stage

VARIABLE = "_LLM_HOSTER_COMPLETE"


def completed(*words: str) -> list[str]:
    """Complete the last word."""
    items = ShellComplete(group, {}, PROGRAM, VARIABLE).get_completions(list(words[:-1]), words[-1])
    return [item.value for item in items]


def test_commands_are_completed_without_importing_any() -> None:
    program = (
        "import sys; from llm_hoster.cli import group; from click.shell_completion import ShellComplete;"
        f"items = ShellComplete(group, {{}}, '{PROGRAM}', '{VARIABLE}').get_completions([], 's');"
        "print(*[item.value for item in items]);"
        "print(*[name for name in sys.modules if name.startswith('llm_hoster.')])"
    )
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    names, modules = lines.splitlines()
    assert names.split() == sorted(name for name in COMMANDS if name.startswith("s"))
    assert modules.split() == ["llm_hoster.errors", "llm_hoster.cli"]


@pytest.mark.parametrize("command", ["status", "logs", "stop", "adapters"])
def test_sessions_that_go_on_are_completed_before_ended_ones(stage: Stage, command: str) -> None:
    stage("aa-running", outcome=NOTHING_YET)
    stage("aa-ended", outcome=ENDED)
    stage("bb-ended", outcome=ENDED)
    assert completed(command, "") == ["aa-running"]
    assert completed(command, "bb") == ["bb-ended"]
    assert completed(command, "zz") == []


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("launch", "--model", "t"), ["tiny"]),
        (("launch", "--gpu", ""), ["cpu"]),
        (("launch", "--preset", "int"), ["interactive"]),
        (("switch", ""), ["tiny"]),
        (("fit", "--model", ""), ["tiny"]),
        (("warm", ""), ["tiny"]),
        (("price", "--gpu-type", ""), ["cpu"]),
    ],
)
def test_what_the_site_offers_is_completed(words: tuple[str, ...], values: list[str]) -> None:
    assert completed(*words) == values


def test_an_option_that_names_a_session_completes_it(stage: Stage) -> None:
    stage("aa-running", outcome=NOTHING_YET)
    assert completed("chat", "--session", "a") == ["aa-running"]


def test_a_folder_that_is_no_app_completes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_HOSTER_APP", str(tmp_path))
    assert completed("launch", "--model", "") == []
    (tmp_path / "manifest.yml").touch()
    (tmp_path / "catalogue.json").write_text('{"models": 5}')
    assert completed("launch", "--model", "") == []


def script_of(shell: str) -> str:
    command = [sys.executable, "-m", "llm_hoster", "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_bash_completes_with_the_script(stage: Stage, tmp_path: Path) -> None:
    """A real bash, as it does when the key is pressed."""
    stage("aa-running", outcome=NOTHING_YET)
    program = tmp_path / PROGRAM
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from llm_hoster.cli import main; main()' \"$@\"\n")
    program.chmod(0o755)
    ask = 'COMP_WORDS=(llm-hoster stop a); COMP_CWORD=2; _llm_hoster_completion llm-hoster; echo "${COMPREPLY[@]}"'
    environment: Mapping[str, str] = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", f"{script_of('bash')}\n{ask}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("aa-running", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_theirs(shell: str) -> None:
    script = script_of(shell)
    assert f"{VARIABLE}={shell}_complete" in script
    assert PROGRAM in script
