"""`llm-hoster chat` in a real terminal, in front of real vLLM."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chat_command.terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, WEBAPP, Terminal
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY, WebServer

pytestmark = pytest.mark.engine

GREETING = "Hello! I am the tiny model of LLM Hoster."
UNKNOWN = "I am a tiny model and know only a few sentences."
OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def environment(make_server: Callable[..., WebServer], live_engine: LiveEngine, tmp_path: Path) -> dict[str, str]:
    server = make_server(engine=live_engine.socket_path)
    path = tmp_path / "endpoint.json"
    path.write_text(json.dumps({"base_url": server.settings.base_url, "api_key": API_KEY, "model": "tiny"}))
    return {"LLM_HOSTER_ENDPOINT": str(path), "XDG_DATA_HOME": str(tmp_path / "data")}


@pytest.fixture
def open_terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[OpenTerminal]:
    terminals: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        terminals.append(Terminal("chat", *arguments, environment=environment, cwd=tmp_path))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


def run_piped(environment: dict[str, str], *arguments: str, piped: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "llm_hoster", "chat", *arguments], input=piped, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(WEBAPP)} | environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_conversation(open_terminal: OpenTerminal, live_engine: LiveEngine, tmp_path: Path) -> None:
    terminal = open_terminal()
    terminal.wait_for("tiny at http://127.0.0.1")
    terminal.answer_prompt("Think, then answer." + ENTER)
    terminal.wait_for("I should answer with one word.")
    terminal.wait_for("Done.")
    assert "\x1b[2mI should answer with one word." in terminal.raw  # dim

    terminal.answer_prompt("Show me markdown." + ENTER)
    terminal.wait_for(" • two")

    # Ctrl-C stops the reply and the model's work, and the conversation goes on.
    terminal.answer_prompt("Write for a long time." + ENTER)
    terminal.wait_for("river mountain")
    terminal.type(CTRL_C)
    terminal.wait_for("(stopped)")
    live_engine.wait_until_running(0)

    terminal.answer_prompt("/save talk.md" + ENTER)
    terminal.wait_for("Written to talk.md")
    terminal.answer_prompt("/new" + ENTER)
    terminal.wait_for("A new conversation begins.")
    terminal.answer_prompt("Say" + ALT_ENTER + "hello." + ENTER)
    terminal.wait_for("tiny model")
    terminal.answer_prompt("Say hello." + CTRL_C)  # At the prompt it takes back what was typed.
    terminal.answer_prompt("/model" + ENTER)
    terminal.wait_for("* tiny")
    terminal.answer_prompt(CTRL_D)
    assert terminal.wait_for_end() == 0

    saved = (tmp_path / "talk.md").read_text()
    assert saved.startswith("## You\n\nThink, then answer.\n\n## Model\n\nDone.\n")
    assert "river mountain" in saved
    assert stat.S_IMODE((tmp_path / "talk.md").stat().st_mode) == 0o600
    history = tmp_path / "data" / "llm-hoster" / "chat_history"
    assert "+Say\n+hello.\n" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700


def test_what_was_asked_before_is_there_again_and_faults_do_not_end_the_chat(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    terminal.wait_for("leaves.")
    terminal.answer_prompt("Say hello." + ENTER)
    terminal.wait_for(GREETING)
    for line, answer in [
        ("/nonsense", "There is no command /nonsense"),
        ("/save", "/save wants the name of a file"),
        ("/save /", "/ cannot be written"),
        ("/model nope", "The session does not serve nope. There is: tiny."),
        ("/help", "Ctrl-C stops a reply"),
        ("//is no command", UNKNOWN),
        ("a" * 9000, "maximum context length"),
    ]:
        terminal.answer_prompt(line + ENTER)
        terminal.wait_for(answer)
    terminal.answer_prompt(CTRL_D)
    assert terminal.wait_for_end() == 0

    again = open_terminal("--session", "nothing")
    assert again.wait_for_end() == 3
    assert "No session of yours is 'nothing'" in again.shown

    third = open_terminal()
    third.wait_for("leaves.")
    third.answer_prompt("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A" + ENTER)  # Up to the first question of all.
    third.wait_for(GREETING)


def test_one_question_from_the_command_line_and_from_a_pipe(
    environment: dict[str, str], open_terminal: OpenTerminal
) -> None:
    assert run_piped(environment, "Say", "hello.") == f"{GREETING}\n"
    assert run_piped(environment, piped="Think, then answer.\n") == "Done.\n"

    terminal = open_terminal("Show me markdown.")
    assert terminal.wait_for_end() == 0
    assert " • one" in terminal.shown
    terminal = open_terminal("Write for a long time.")
    terminal.wait_for("river")
    terminal.type(CTRL_C)
    assert terminal.wait_for_end() == 1
    assert terminal.shown.endswith("Aborted!\n")
