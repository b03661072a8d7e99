"""What the pages and the commands ask of the supervisor, over a socket in the session's private folder."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from llm_hoster.errors import EngineError

Kind = Literal["restart", "switch", "adapters", "stay", "stop"]
KINDS = get_args(Kind)
# The supervisor may be stopping vLLM at this moment, which takes it up to nine seconds.
ANSWER_TIMEOUT_S = 12.0
BYTES_MAX = 65536


@dataclass(frozen=True)
class Order:
    """
    restart:  start vLLM again; values = an Adjustment
    switch:   serve something else; values = the values of the form that change
    adapters: look into the form's folder of LoRA adapters again, and serve what is in it now
    stay:     somebody is here: the time without a question begins anew
    stop:     end the session
    """

    kind: Kind
    values: Mapping[str, Any] = field(default_factory=dict)


def give(control_path: Path, order: Order) -> None:
    """Raise EngineError with the supervisor's sentence when it refuses, or when it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(str(control_path))
            connection.sendall(json.dumps(asdict(order)).encode() + b"\n")
            refusal = json.loads(read_line(connection))
    except (OSError, ValueError) as error:
        raise EngineError("The session's supervisor does not answer. It may be ending; look at its card.") from error
    if refusal is not None:
        raise EngineError(str(refusal))


def parse_order(line: bytes) -> Order:
    """Raise ValueError for what is no order."""
    values = json.loads(line)
    if not isinstance(values, dict) or values.get("kind") not in KINDS or not isinstance(values.get("values"), dict):
        raise ValueError("not an order")
    return Order(values["kind"], values["values"])


def read_line(connection: socket.socket) -> bytes:
    """Read to the end of a line; raise ValueError where none comes."""
    text = b""
    while not text.endswith(b"\n"):
        chunk = connection.recv(BYTES_MAX)
        text += chunk
        if not chunk or len(text) > BYTES_MAX:
            raise ValueError("not a line")
    return text
