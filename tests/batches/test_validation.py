"""The input of a batch, line by line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from llm_hoster.batches.limits import LINE_BYTES_MAX, LINES_MAX
from llm_hoster.batches.validation import FAULTS_MAX, Validation, validate

CHAT = "/v1/chat/completions"


def line(custom_id: object = "one", **changes: object) -> bytes:
    document: dict[str, Any] = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "tiny"}}
    return json.dumps(document | changes).encode() + b"\n"


def look_over(content: bytes) -> Validation:
    return validate(io.BytesIO(content), CHAT, ("tiny", "adapter"))


def test_a_good_input_has_no_faults() -> None:
    content = b"\xef\xbb\xbf" + line("one") + b"\r\n  \n" + line("two").strip()

    assert look_over(content) == Validation(2, "tiny", ())


@pytest.mark.parametrize(("text", "code"), [
    (b"{", "invalid_json_line"),
    (b"[1]", "invalid_json_line"),
    (b"\xff\xfe", "invalid_json_line"),
    (b'{"a":' * 100_000, "invalid_json_line"),
    (b"9" * 5000, "invalid_json_line"),
    (line(None), "invalid_custom_id"),
    (line(""), "invalid_custom_id"),
    (line("x" * 513), "invalid_custom_id"),
    (line(method="GET"), "invalid_method"),
    (line(url="/v1/embeddings"), "invalid_url"),
    (line(url=None), "invalid_url"),
    (line(body=[]), "invalid_body"),
    (line(body={}), "missing_required_parameter"),
    (line(body={"model": 5}), "missing_required_parameter"),
    (line(body={"model": "nope"}), "model_not_found"),
    (line("first"), "duplicate_custom_id"),
    (line(body={"model": "adapter"}), "mismatched_model"),
    (b"1" * (LINE_BYTES_MAX + 1), "line_too_long"),
])  # fmt: skip
def test_a_fault_is_told_with_its_line(text: bytes, code: str) -> None:
    found = look_over(line("first") + b"\n" + text)

    assert [(fault.code, fault.line) for fault in found.faults] == [(code, 3)]


def test_an_input_without_a_question_is_none() -> None:
    assert [fault.code for fault in look_over(b"\n \n").faults] == ["empty_file"]


def test_only_so_many_lines_and_so_many_faults_are_told() -> None:
    long = b"\n" * LINES_MAX + line()

    assert [(fault.code, fault.line) for fault in look_over(long).faults] == [("too_many_lines", LINES_MAX + 1)]
    assert len(look_over(b"{\n" * 1000).faults) == FAULTS_MAX
