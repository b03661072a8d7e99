"""What of a question is kept where the site wants it kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_hoster.usage.prompt import CUT, LEFT_OUT, PROMPT_MAX, prompt_in

IMAGE = "data:image/png;base64," + "iVBORw0KGgo/+" * 40 + "=="


def kept(document: Any) -> Any:
    text = prompt_in(json.dumps(document).encode())
    return None if text is None else json.loads(text)


@pytest.mark.parametrize("asked", [
    {"prompt": "Grüße"}, {"prompt": [1, 2, 3]}, {"input": ["a", "b"]}, {"query": "a", "documents": ["b"]},
    {"system": "be brief", "messages": [{"role": "user", "content": "data: 5 of 7"}]},
    {"instructions": "x", "input": [{"role": "user", "content": [{"type": "input_text", "text": "ACGT" * 100}]}]},
])  # fmt: skip
def test_what_a_model_reads_is_kept_and_no_setting(asked: dict[str, Any]) -> None:
    assert kept({"model": "tiny", "user": "ada", "temperature": 0.5} | asked) == asked


@pytest.mark.parametrize("part", [
    {"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "input_image", "image_url": IMAGE},
    {"type": "input_audio", "input_audio": {"data": IMAGE.partition(",")[2], "format": "wav"}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE.partition(",")[2]}},
])  # fmt: skip
def test_media_are_left_out(part: dict[str, Any]) -> None:
    text = json.dumps(
        kept({"messages": [{"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}]})
    )

    assert LEFT_OUT in text
    assert "What is it?" in text
    assert "iVBOR" not in text


def test_of_a_long_one_the_middle_is_cut_out() -> None:
    text = prompt_in(
        json.dumps({"messages": [{"content": "first "}, {"content": "ä " * 10**6}, {"content": "last"}]}).encode()
    )

    assert text is not None
    assert len(text) == PROMPT_MAX + len(CUT)
    assert text.startswith('{"messages": [{"content": "first "')
    assert CUT in text
    assert text.endswith('{"content": "last"}]}')


@pytest.mark.parametrize("question", [
    None, b"", b"\xff", b"[]", b'"x"', b"{", b"[" * 100_000, b'{"prompt":' + b"[" * 100_000,
])  # fmt: skip
def test_what_is_no_question_is_none(question: bytes | None) -> None:
    assert prompt_in(question) is None
