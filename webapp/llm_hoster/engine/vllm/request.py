"""A small question to vLLM over its socket, and the whole of its answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def get(socket_path: Path, path: str, timeout_s: float) -> tuple[int, bytes]:
    """Give status and body; raise OSError where there is no answer in time."""
    return _request("GET", socket_path, path, timeout_s)


def post(socket_path: Path, path: str, document: dict[str, Any], timeout_s: float) -> tuple[int, bytes]:
    """Send JSON; give status and body; raise OSError where there is no answer in time."""
    headers = {"Content-Type": "application/json"}
    return _request("POST", socket_path, path, timeout_s, body=json.dumps(document), headers=headers)


def _request(method: str, socket_path: Path, path: str, timeout_s: float, **sent: Any) -> tuple[int, bytes]:
    # Imported here: urllib3 takes longer to load than all that must happen before vLLM starts.
    from urllib3.exceptions import HTTPError

    from llm_hoster.engine.vllm.connection import EnginePool

    try:
        answer = EnginePool(socket_path).request(method, path, timeout=timeout_s, **sent)
    except HTTPError as error:
        raise ConnectionError(str(error)) from error
    return answer.status, answer.data
