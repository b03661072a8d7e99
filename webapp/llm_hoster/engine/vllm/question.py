"""One question to an engine that has just started: the proof that it works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_hoster.engine.vllm.request import post
from llm_hoster.errors import EngineError

QUESTION = "Say hello."
ANSWER_TIMEOUT_S = 120.0


def ask(socket_path: Path, model: str) -> str:
    """Give the answer; raise EngineError when there is none."""
    chat = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64, "temperature": 0}
    status, answer = _post(socket_path, "/v1/chat/completions", {"model": model} | chat)
    if status == 200:
        return str(json.loads(answer)["choices"][0]["message"]["content"])
    # A model that only embeds refuses the first.
    embedding_status, embedding = _post(socket_path, "/v1/embeddings", {"model": model, "input": QUESTION})
    if embedding_status == 200:
        return f"{len(json.loads(embedding)['data'][0]['embedding'])} numbers"
    raise EngineError(f"It answered with status {status}: {answer[:300].decode(errors='replace')}")


def _post(socket_path: Path, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    try:
        return post(socket_path, path, body, ANSWER_TIMEOUT_S)
    except OSError as error:
        raise EngineError(f"It started, but did not answer: {error}") from error
