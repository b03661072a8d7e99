"""What is read of a stream on its way, and what is left out of it."""

from __future__ import annotations

import pytest

from llm_hoster.gateway.meter import HELD_MAX_BYTES, BodyMeter, EventMeter
from llm_hoster.usage.tokens import Tokens

TEXT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
SILENCE = b": keep-alive\n\n"
STREAM = SILENCE + TEXT * 3 + USAGE + DONE


def passed(meter: EventMeter, chunks: list[bytes]) -> list[bytes]:
    return [piece for piece in (*map(meter.take, chunks), meter.rest()) if piece]


def test_chunks_pass_as_they_are_and_the_usage_is_left_out() -> None:
    meter = EventMeter(hides_usage=True)
    chunks = [SILENCE, TEXT, TEXT * 2, USAGE, DONE]

    assert passed(meter, chunks) == [SILENCE, TEXT, TEXT * 2, DONE]
    assert all(given is taken for given, taken in zip(passed(meter, chunks[:2]), chunks, strict=False))
    assert meter.tokens() == Tokens(5, 0, 3)
    assert meter.is_final


def test_who_asked_for_the_usage_gets_it() -> None:
    meter = EventMeter(hides_usage=False)
    assert passed(meter, [TEXT, USAGE, DONE]) == [TEXT, USAGE, DONE]
    assert meter.tokens() == Tokens(5, 0, 3)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50, 1000])
def test_wherever_a_stream_is_cut_all_but_the_usage_arrives(length: int) -> None:
    meter = EventMeter(hides_usage=True)
    chunks = [STREAM[start : start + length] for start in range(0, len(STREAM), length)]
    assert b"".join(passed(meter, chunks)) == STREAM.replace(USAGE, b"")
    assert meter.tokens() == Tokens(5, 0, 3)


@pytest.mark.parametrize("stream", [
    TEXT + b'data: {"choices":[{"del', b"no event\r\n\r\n", USAGE[:-2], b"\n\n" + TEXT, b"", b"\xff\x00", b"\n",
])  # fmt: skip
@pytest.mark.parametrize("length", [1, 5, 1000])
def test_what_is_no_event_arrives_too(stream: bytes, length: int) -> None:
    meter = EventMeter(hides_usage=True)
    chunks = [stream[start : start + length] for start in range(0, len(stream), length)]
    assert b"".join(passed(meter, chunks)) == stream


def test_an_event_without_end_is_not_kept() -> None:
    meter = EventMeter(hides_usage=True)
    piece = b"x" * 65536
    given = b"".join(meter.take(piece) for _ in range(64))
    assert len(given) >= 64 * 65536 - HELD_MAX_BYTES


def test_a_sign_of_life_is_no_first_byte_and_no_event() -> None:
    meter = EventMeter(hides_usage=True)
    meter.take(SILENCE)
    assert (meter.first_byte_at, meter.events) == (None, 0)
    meter.take(TEXT)
    assert not meter.is_final
    assert meter.first_byte_at is not None
    assert meter.events == 1


@pytest.mark.parametrize(("last", "expected"), [([TEXT, DONE], False), ([b'data: {"error":{"code":500}}\n\n'], True),
                                                ([b'data: {"error":{"code":500}}\n\n', DONE], True)])  # fmt: skip
def test_an_error_at_the_end_of_a_stream(last: list[bytes], expected: bool) -> None:
    meter = EventMeter(hides_usage=True)
    passed(meter, [TEXT, *last])
    assert meter.ends_with_error is expected


@pytest.mark.parametrize("body", [
    b'{"data":[%s],"usage":{"prompt_tokens":5}}' % (b"0.1," * 100_000),
    b'{"usage":{"prompt_tokens":5},"results":[%s]}' % (b"0.1," * 100_000),
])  # fmt: skip
def test_the_usage_of_a_large_body_at_either_end(body: bytes) -> None:
    meter = BodyMeter()
    given = b"".join(meter.take(body[start : start + 65536]) for start in range(0, len(body), 65536))
    assert given == body
    assert meter.tokens() == Tokens(5)
