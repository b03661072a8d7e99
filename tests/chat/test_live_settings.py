"""Settings before real vLLM: it takes each of them, and what it refuses comes as a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import unescape

import pytest

from llm_hoster.chat.conversation_settings import ConversationSettings
from tests.chat.test_live_chat import ChatPage
from tests.live_engine import LiveEngine
from tests.web_session import WebServer

pytestmark = pytest.mark.engine

MakeServer = Callable[..., WebServer]
TOOL = {"name": "get_time", "description": "Tell the time.", "parameters": {"type": "object"}}
ALL = {
    "system_prompt": "Be brief.", "temperature": "0", "max_tokens": "30", "thinking": "off",
    "reasoning_effort": "low", "top_p": "0.9", "top_k": "5", "min_p": "0.1", "repetition_penalty": "1",
    "presence_penalty": "0", "frequency_penalty": "0", "seed": "1", "stop": "zzz\n\\n\\n\\n", "json_schema": "",
    "tools": "",
}  # fmt: skip


@pytest.fixture
def page(live_engine: LiveEngine, make_server: MakeServer) -> ChatPage:
    return ChatPage(make_server(engine=live_engine.socket_path))


def reply(page: ChatPage, number: int, text: str = "Hello", **settings: str) -> tuple[str, str]:
    """Ask in a new chat with these settings; give the text, and the reply as the page shows it in the end."""
    chat = f"{number:032d}"
    answer = page.browser.post(f"{page.url}/chat/{chat}/settings", data=settings, timeout=30)
    assert answer.status_code == 200, answer.text
    told, html = page.whole_reply(page.ask(text, chat))
    return told, unescape(html)


def test_vllm_takes_each_setting_and_does_by_it(page: ChatPage) -> None:
    told, html = reply(page, 1, **ALL)
    assert "refused" not in html and told
    told, html = reply(page, 2, max_tokens="3")
    assert "Cut off at the token limit" in html and "3 tokens" in html
    whole, _ = reply(page, 3, temperature="0")
    word = whole.split()[3]
    told, _ = reply(page, 4, temperature="0", stop=word)
    assert whole.startswith(told) and word not in told and told
    told, _ = reply(page, 5, json_schema=json.dumps({"enum": ["yes", "no"]}))
    assert json.loads(told) in {"yes", "no"}
    _, html = reply(page, 6, "What time is it?", tools=json.dumps([TOOL]), temperature="0")
    assert "asks for the tool <code>get_time</code> with</span> <code>{}</code>" in html


@pytest.mark.parametrize("changed", [{}, {"tools": [TOOL]}, {"thinking": False}])
def test_what_is_counted_is_what_vllm_reads(live_engine: LiveEngine, changed: dict[str, object]) -> None:
    settings = ConversationSettings.from_json(changed)
    messages = {"messages": [{"role": "user", "content": "What time is it?"}]}
    counted = live_engine.post("/tokenize", json.dumps(messages | settings.template_fields()).encode())
    asked = live_engine.post(
        "/v1/chat/completions", json.dumps(messages | settings.request_fields() | {"max_tokens": 1}).encode()
    )
    assert json.loads(counted)["count"] == json.loads(asked)["usage"]["prompt_tokens"]
    assert ("tools" in changed) is (json.loads(counted)["count"] > 40)


def test_what_vllm_refuses_comes_as_a_sentence(page: ChatPage) -> None:
    deep: dict[str, object] = {"type": "string"}
    for _ in range(40):
        deep = {"type": "object", "properties": {"a": deep}}
    cases = [
        ({"max_tokens": "100000"}, "The longest reply in the settings of this chat, 100,000 tokens, is more"),
        ({"json_schema": json.dumps({"type": "objekt"})}, "The engine can make no use of the JSON Schema"),
        ({"json_schema": json.dumps(deep)}, "nested too deeply: objects and arrays may nest at most 64 levels. Change"),
    ]
    for number, (settings, sentence) in enumerate(cases, start=10):
        _, html = reply(page, number, **settings)
        assert sentence in html, html
