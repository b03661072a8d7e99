"""Usage as each API spells it, and as an engine that has lost its mind might."""

from __future__ import annotations

import pytest

from llm_hoster.usage.tokens import Tokens, estimated_prompt, tokens_in


@pytest.mark.parametrize(("usage", "expected"), [
    (b'{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3,"prompt_tokens_details":null}', Tokens(5, 0, 3)),
    (b'{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}', Tokens(5, 4, 3)),
    (b'{"prompt_tokens":5,"total_tokens":5,"completion_tokens":0}', Tokens(5, 0, 0)),
    (b'{"input_tokens":5,"input_tokens_details":{"cached_tokens":4},"output_tokens":3}', Tokens(5, 4, 3)),
    (b'{"input_tokens":1,"cache_read_input_tokens":3,"cache_creation_input_tokens":1,"output_tokens":3}',
     Tokens(5, 3, 3)),
    (b'{"type":"duration","seconds":3}', Tokens()),
    (b'{"prompt_tokens":-5,"completion_tokens":"3","prompt_tokens_details":[1]}', Tokens()),
    (b'{"prompt_tokens":1e400,"completion_tokens":%s}' % (b"9" * 40), Tokens()),
    (b'{"prompt_tokens":', None),
    (b"{" * 5000, None),
    (b'{"a":' * 3000, None),
])  # fmt: skip
def test_the_usage_of_an_answer(usage: bytes, expected: Tokens | None) -> None:
    assert tokens_in(b'data: {"choices":[],"usage":' + usage + b"}\n\n") == expected


def test_what_a_model_writes_of_usage_is_text() -> None:
    assert tokens_in(rb'{"choices":[{"text":"\"usage\":{\"prompt_tokens\":9}"}],"usage":null}') is None


def test_the_last_usage_counts() -> None:
    assert tokens_in(b'{"usage":{"prompt_tokens":1}}{"usage":{"prompt_tokens":2}}') == Tokens(2)


@pytest.mark.parametrize(("question", "expected"), [(None, 0), (b"x" * 400, 100), (b"x" * 20_000_000, 32768)])
def test_a_prompt_is_guessed_from_its_length(question: bytes | None, expected: int) -> None:
    assert estimated_prompt(question) == expected
