"""One line of a batch's input: a question, and the id by which its answer is found again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from llm_hoster.api_keys.api_key import PRIORITY_STEP
from llm_hoster.batches.batch import Endpoint, LineFault
from llm_hoster.batches.limits import CUSTOM_ID_MAX, LINE_BYTES_MAX, LINES_MAX

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # Some editors begin a file with it.
# vLLM's: the smaller, the earlier. Behind every question of every key for whose answer somebody waits.
PRIORITY = 3 * PRIORITY_STEP
# An answer is written to a file when it is whole, so there is nothing to stream and nobody to come back for it.
NOT_IN_A_BATCH = ("stream", "stream_options", "background")

# After so many, Python's one lock is handed over: a file of many lines delays no token of a reply that streams.
LINES_AT_A_TIME = 16


class LineError(Exception):
    """A line that is no question; `fault` says why."""

    def __init__(self, code: str, message: str, number: int, param: str | None = None) -> None:
        super().__init__(message)
        self.fault = LineFault(code=code, message=message, line=number, param=param)


@dataclass(frozen=True)
class Line:
    """`number` counts the lines of the file from 1. `deaths` is how often the engine has died while it was asked."""

    number: int
    custom_id: str
    model: str
    body: dict[str, Any]
    deaths: int = 0

    def body_for_engine(self) -> bytes:
        asked = {name: value for name, value in self.body.items() if name not in NOT_IN_A_BATCH}
        return json.dumps(asked | {"priority": PRIORITY}).encode()


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give each line with its number, but those that are blank; no more of one than is allowed, and one byte."""
    number = 0
    while text := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if number > LINES_MAX:
            raise LineError("too_many_lines", f"A file has {LINES_MAX:,} lines at most.", number)
        if number % LINES_AT_A_TIME == 0:
            time.sleep(0)
        if number == 1:
            text = text.removeprefix(BYTE_ORDER_MARK)
        if text.strip():
            yield number, text


def parse_line(number: int, text: bytes, endpoint: Endpoint) -> Line:
    """Raise LineError where it is no question for this endpoint."""
    if len(text) > LINE_BYTES_MAX:
        message = f"The line is longer than {LINE_BYTES_MAX // 2**20} MB."
        raise LineError("line_too_long", message, number)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LineError("invalid_json_line", "This line is not parseable as valid JSON.", number) from error
    if not isinstance(document, dict):
        raise LineError("invalid_json_line", "This line is not a JSON object.", number)
    custom_id, body = document.get("custom_id"), document.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= CUSTOM_ID_MAX:
        message = f"`custom_id` must be a text of 1 to {CUSTOM_ID_MAX} characters."
        raise LineError("invalid_custom_id", message, number, "custom_id")
    if document.get("method") != "POST":
        raise LineError("invalid_method", "`method` must be 'POST'.", number, "method")
    if document.get("url") != endpoint:
        message = f"`url` must be {endpoint!r}, the endpoint of the batch."
        raise LineError("invalid_url", message, number, "url")
    if not isinstance(body, dict):
        raise LineError("invalid_body", "`body` must be a JSON object.", number, "body")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise LineError("missing_required_parameter", "`body.model` must name a model.", number, "body.model")
    return Line(number, custom_id, model, body)
