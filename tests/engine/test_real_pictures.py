"""Pictures in the chat and from scripts, with a real vLLM that serves a model with eyes."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
from pathlib import Path

import pytest
import requests

from tests.attachments.made_files import png
from tests.conftest import ENGINE_NAME
from tests.engine.asked_in_chat import ask_in_chat, log_in
from tests.engine.conftest import wait_until

pytestmark = pytest.mark.engine
START_TIMEOUT_S = 240
# The model sees 64 by 64 pixels as 16 tokens.
PICTURE_TOKENS = 16
QUESTION = "Which colour is it?"


def test_a_model_with_eyes_is_shown_pictures(start_session, prefix, tiny_model, tmp_path):
    running = start_session(
        model={"source": str(make_seeing_model(prefix, tiny_model, tmp_path / "seeing"))},
        context={"context_length": "1024"},
    )
    url = f"http://127.0.0.1:{running.wait_for_port()}"
    running.wait_for_state("ready", START_TIMEOUT_S)
    browser = log_in(url)

    plain = ask(browser, url, "a" * 32)
    black = ask(browser, url, "b" * 32, png(grey=0))
    white = ask(browser, url, "c" * 32, png(300, 200, grey=255))
    assert [each["content"] for each in (plain, black, white)] == ["No.", "Black.", "White."]
    # Of any size a picture is as many tokens, beside those of its name.
    assert black["prompt_tokens"] == white["prompt_tokens"] > plain["prompt_tokens"] + PICTURE_TOKENS
    # And the meter counts what vLLM counted.
    meter = browser.get(f"{url}/chat/{'b' * 32}/context").text
    assert f'data-used="{black["prompt_tokens"] + black["completion_tokens"]}"' in meter

    expect_scripts_to_show_only_what_they_bring(url, endpoint_key(running))
    assert running.stop() == 0
    wait_until(lambda: not running.processes(), timeout_s=5)


def expect_scripts_to_show_only_what_they_bring(url, key):
    """An address would be read by the node, which sees what others do not."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    brought = "data:image/png;base64," + base64.b64encode(png(grey=0)).decode()
    for address in (brought, f"{url}/health", "http://169.254.169.254/", "file:///etc/passwd"):
        content = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": QUESTION}]
        body = {"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 24}
        answer = session.post(f"{url}/v1/chat/completions", json=body)
        if address == brought:
            assert answer.json()["choices"][0]["message"]["content"] == "Black."
        else:
            assert answer.status_code == 400
            assert answer.json()["error"]["message"].startswith(f"'{address}' is not fetched: here pictures,")


def ask(browser, url, chat, *pictures):
    names = [attach(browser, url, picture) for picture in pictures]
    (reply,) = ask_in_chat(browser, url, chat, QUESTION, max_tokens=24, attachment=names)
    assert reply["content"], reply
    return reply


def attach(browser, url, picture):
    answer = browser.post(
        f"{url}/chat/attachments", files={"file": ("picture.png", picture)}, headers={"HX-Request": "true"}
    )
    found = re.search(r'name="attachment" value="([^"]+)"', answer.text)
    assert found, answer.text
    return html.unescape(found[1])


def endpoint_key(running):
    return json.loads((running.staged_root / "endpoint.json").read_text())["api_key"]


def make_seeing_model(prefix: Path, tiny_model: Path, folder: Path) -> Path:
    python = prefix / "engine" / ENGINE_NAME / "bin" / "python"
    program = Path(__file__).with_name("seeing_model.py")
    made = subprocess.run(
        [python, program, tiny_model, folder], capture_output=True, text=True, timeout=120, check=False
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return folder
