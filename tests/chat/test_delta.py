"""Reading vLLM's stream."""

from __future__ import annotations

from typing import Any

import pytest

from llm_hoster.chat.delta import merge_tool_calls, parse_stream
from llm_hoster.chat.failure import sentence_of

STREAM = (
    'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n\n'
    ": keep-alive\n\n"
    'data: {"choices":[{"delta":{"reasoning_content":" so"}}]}\r\n\r\n'
    'data: {"choices":[{"delta":{"content":"ä\\n"},"finish_reason":"stop"}]}\n\n'
    'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n'
    "data: [DONE]\n\n"
).encode()


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_a_stream_reads_the_same_wherever_its_chunks_are_cut(size: int) -> None:
    deltas = list(parse_stream(STREAM[start : start + size] for start in range(0, len(STREAM), size)))

    assert "".join(delta.reasoning for delta in deltas) == "hm so"
    assert "".join(delta.content for delta in deltas) == "ä\n"
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert [delta.usage for delta in deltas if delta.usage] == [{"completion_tokens": 3}]
    assert deltas[-1].is_end


def test_tool_calls_are_put_together_from_their_pieces() -> None:
    calls: list[dict[str, Any]] = []

    merge_tool_calls(calls, [{"index": 0, "function": {"name": "get_time"}}])
    merge_tool_calls(calls, [{"index": 0, "function": {"arguments": '{"a"'}}, {"index": 1, "function": {"name": "x"}}])
    merge_tool_calls(calls, [{"index": 0, "function": {"arguments": ":1}"}}])

    assert calls == [{"name": "get_time", "arguments": '{"a":1}'}, {"name": "x", "arguments": ""}]


@pytest.mark.parametrize(("body", "sentence"), [
    (b'{"error":{"message":"This model\'s maximum context length is 2048 tokens. However, ..."}}',
     "This conversation is longer than the 2,048 tokens that the model can read. "
     "Choose below what it shall leave out, or send a shorter message."),
    (b'{"error":{"message":"Odd."}}', "The engine refused this: Odd."),
    (b'{"error":"Odd."}', "The engine refused this: Odd."),
    (b"<html>", "The engine answered with the error 500."),
])  # fmt: skip
def test_an_error_of_vllm_becomes_a_sentence(body: bytes, sentence: str) -> None:
    assert sentence_of(500, body) == sentence


def test_a_typed_model_that_turns_out_to_embed_is_told_in_a_sentence() -> None:
    assert sentence_of(404, b'{"detail":"Not Found"}').startswith(
        "This model does not write: it is made for embeddings"
    )
    assert sentence_of(404, b'{"detail":"Gone"}') == "The engine answered with the error 404."
