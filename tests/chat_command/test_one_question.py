"""`llm-hoster chat` with one question, in front of a session that answers what a hostile model would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.chat_command.terminal import WEBAPP
from tests.client.small_session import SmallSession, make_session

__all__ = ["make_session"]


def events(*texts: str, end: object = "[DONE]") -> bytes:
    choices = [[{"index": 0, "delta": {"content": text}, "finish_reason": None}] for text in texts]
    chunks = [{"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"} | {"choices": each}
              for each in choices]  # fmt: skip
    lines = [*map(json.dumps, chunks), end if isinstance(end, str) else json.dumps(end)]
    return b"".join(f"data: {line}\n\n".encode() for line in lines)


def ask(path: Path, *arguments: str, piped: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llm_hoster", "chat", "--session", path, *arguments],
        input=piped, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(WEBAPP)},
    )  # fmt: skip


def test_the_question_is_what_is_written_and_then_what_is_piped(
    make_session: Callable[..., SmallSession], tmp_path: Path
) -> None:
    session = make_session(events=events("a\x1b]0;tit", "le\x07b\n", "**c**"))
    done = ask(
        session.write(tmp_path / "endpoint.json"), "Sum", "up:", "--system", "Be brief.", "--model", "mine",
        piped="one\n\ntwo\n",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "ab\n**c**\n", "")
    [question] = session.questions
    assert question["model"] == "mine"
    assert question["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sum up:\n\none\n\ntwo"},
    ]


def test_what_goes_wrong_is_a_sentence(make_session: Callable[..., SmallSession], tmp_path: Path) -> None:
    fault = {"error": {"message": "The engine \x1b[31mended.", "type": "server_error", "param": None, "code": "x"}}
    session = make_session(events=events("Half an", end=fault))
    path = session.write(tmp_path / "endpoint.json")
    done = ask(path, "Say hello.")
    assert (done.returncode, done.stdout, done.stderr) == (1, "Half an\n", "llm-hoster: The engine ended.\n")

    done = ask(path)
    assert (done.returncode, done.stderr) == (1, "llm-hoster: There is no question. Write one behind the command, "
                                                 "or pipe it in.\n")  # fmt: skip
    path.write_text(path.read_text().replace(session.key, "sk-wrong"))
    done = ask(path, "Say hello.")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    done = ask(tmp_path / "nothing" / "endpoint.json", "Say hello.")
    assert done.returncode == 3
    assert done.stderr.startswith(f"llm-hoster: {tmp_path}/nothing/endpoint.json is not there")
