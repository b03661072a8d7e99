"""LoRA adapters that come, change and go while a real vLLM serves."""

from __future__ import annotations

import shutil

import pytest

from tests.engine.asked_in_chat import ask_in_chat, log_in
from tests.engine.conftest import wait_until
from tests.engine.small_adapter import write_adapter
from tests.engine.test_adapters_at_run_time import AdapterSession

pytestmark = pytest.mark.engine
START_TIMEOUT_S = 240
# Longer than the blocks of which vLLM caches conversations.
PROMPT = "Say hello. " * 60


def test_adapters_come_change_and_go_while_vllm_serves(start_session, prefix, tiny_model, tmp_path):
    loras = tmp_path / "loras"
    write_adapter(loras / "law")
    running = start_session(context={"lora_folder": str(loras), "context_length": "1024"})
    running.wait_for_port()
    running.wait_for_state("ready", START_TIMEOUT_S)
    session = AdapterSession(running, loras)
    plain = answer(session, "tiny")
    assert answer(session, "law") == plain

    write_adapter(loras / "physics", 16, module="o_proj", value=9.0)
    assert session.look().sentence == "Loaded: physics."
    assert session.names() == ["law", "physics"]
    bent = answer(session, "physics")
    assert bent != plain
    expect_each_to_answer_in_the_chat(session)

    write_adapter(loras / "physics", 16, module="o_proj")
    assert session.look().sentence == "Loaded anew: physics."
    assert answer(session, "physics") == plain  # And not what the old weights have read of this text.

    write_adapter(loras / "odd", module="no_such_module")
    look = session.look()
    assert look.sentence.startswith("odd: vLLM refuses it: ") and "no_such_module" in look.sentence
    assert (look.is_whole, session.names()) == (False, ["law", "physics"])
    shutil.rmtree(loras / "odd")

    shutil.rmtree(loras / "law")
    assert session.look().sentence == "Taken away: law."
    assert session.names() == ["physics"]
    assert ask(session, "law")[0] == 404
    assert answer(session, "tiny") == plain

    assert running.stop() == 0
    wait_until(lambda: not running.processes(), timeout_s=5)
    assert list(running.node_dir.iterdir()) == []


def expect_each_to_answer_in_the_chat(session):
    """Two of the session's models are asked there in one batch, and neither answers for the other."""
    url = f"http://127.0.0.1:{session.session.wait_for_port()}"
    browser = log_in(url)
    (alone,) = chat_replies(browser, url, "a" * 32)
    for letter in "bcd":
        of_tiny, of_physics = chat_replies(browser, url, letter * 32, rival="physics")
        assert of_tiny == alone
        assert of_physics != alone and of_physics[0] == "physics"


def chat_replies(browser, url, chat, **form):
    """Give who answered, with the thoughts and the words."""
    replies = ask_in_chat(browser, url, chat, PROMPT, max_tokens=8, **form)
    return [(each["model"], each["reasoning"], each["content"]) for each in replies]


def ask(session, model):
    return session.call("/v1/completions", {"model": model, "prompt": PROMPT, "temperature": 0, "max_tokens": 8})


def answer(session, model):
    status, document = ask(session, model)
    assert status == 200, document
    return document["choices"][0]["text"]
