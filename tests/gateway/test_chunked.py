"""Bodies in chunks, cut anywhere, and bytes that are none."""

from __future__ import annotations

import pytest

from llm_hoster.gateway.chunked import ChunkedBody

PIECES = [b"data: 1\n\n", b"\r\n", b"x" * 20, b"0\r\n\r\n"]
WHOLE = b"".join(b"%X;name=value\r\n%b\r\n" % (len(piece), piece) for piece in PIECES) + b"0\r\n\r\n"


def test_each_chunk_is_a_piece() -> None:
    body = ChunkedBody()
    assert (body.feed(WHOLE), body.is_done, body.is_garbage) == (PIECES, True, False)


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_it_may_be_cut_anywhere(cut: int) -> None:
    body = ChunkedBody()
    pieces = body.feed(WHOLE[:cut])
    is_near_end = cut >= len(WHOLE) - 2  # The line after the last chunk is not waited for.
    assert body.is_done == is_near_end
    assert b"".join(pieces + body.feed(WHOLE[cut:])) == b"".join(PIECES)
    assert body.is_done and not body.is_garbage


def test_byte_by_byte() -> None:
    body = ChunkedBody()
    assert b"".join(piece for byte in WHOLE for piece in body.feed(bytes([byte]))) == b"".join(PIECES)
    assert body.is_done


@pytest.mark.parametrize(
    "garbage",
    [b"\r\n", b"-5\r\n", b"+5\r\n", b"0x5\r\n", b"5_0\r\n", b"zz\r\n", b"5\n", b" 5\r\n", b"123456789\r\n", b"5" * 300,
     b"5;" + b"x" * 300, b"3\r\nabcd", b"3\r\nabc\r\r"],
)  # fmt: skip
def test_what_comes_before_garbage_is_kept(garbage: bytes) -> None:
    body = ChunkedBody()
    assert body.feed(b"5\r\nhello\r\n" + garbage)[0] == b"hello"
    assert body.is_garbage and not body.is_done
    assert body.feed(WHOLE) == []
