"""How the client asks: what `connect` was told, and what the openai package is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openai

from llm_hoster.client.endpoint import Endpoint
from llm_hoster.client.waiting import wait_header

# A model may think for long before it answers as a whole.
TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 5.0
MAX_RETRIES = 5
READY_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Options:
    """`model` is None where the one that the session serves is meant, whichever that is by then."""

    model: str | None
    timeout_s: float
    max_retries: int
    wait_for_model_s: float

    def for_openai(self, endpoint: Endpoint) -> dict[str, Any]:
        return {
            "base_url": endpoint.base_url,
            "api_key": endpoint.api_key,
            "timeout": openai.Timeout(self.timeout_s + self.wait_for_model_s, connect=CONNECT_TIMEOUT_S),
            "max_retries": self.max_retries,
            "default_headers": wait_header(self.wait_for_model_s) if self.wait_for_model_s > 0 else {},
        }
