"""The routes of the endpoint: a list of all that reaches vLLM, with vLLM's own path for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

JSON = "application/json"
FORM = "multipart/form-data"
Cut = Callable[[bytes], bool]
# The reason with which vLLM hands out what it has of an answer when it ends, as if that were all (_send_abort_outputs
# in v1/engine/core.py).
ABORTED = "abort"
# In a text of the model the quotes would have backslashes, here and below.
CUT_OFF = f'"finish_reason":"{ABORTED}"'.encode()


def _has_finish_reason_abort(body: bytes) -> bool:
    return CUT_OFF in body


def _has_status_cancelled(body: bytes) -> bool:
    return b'"status":"cancelled"' in body


def _has_no_stop_reason(body: bytes) -> bool:
    return b'"stop_reason":' not in body


@dataclass(frozen=True)
class Route:
    """
    `engine_path` is vLLM's own, where it is another one.

    `writes`: only a model that writes texts can answer it. `is_cut` knows a whole answer that vLLM has cut off; None
    where nothing would be missing. `is_anthropic`: errors have the shape of Anthropic's API. `has_usage_option`:
    streams tell the usage where `stream_options` asks for it; on the other routes they always do.
    """

    path: str
    engine_path: str = ""
    method: str = "POST"
    content_type: str = JSON
    writes: bool = False
    is_cut: Cut | None = None
    is_anthropic: bool = False
    has_usage_option: bool = False

    @property
    def path_at_engine(self) -> str:
        return self.engine_path or self.path


_ROUTES = (
    Route("/v1/models", method="GET"),
    Route("/v1/chat/completions", writes=True, is_cut=_has_finish_reason_abort, has_usage_option=True),
    Route("/v1/completions", writes=True, is_cut=_has_finish_reason_abort, has_usage_option=True),
    Route("/v1/responses", writes=True, is_cut=_has_status_cancelled),
    Route("/v1/messages", writes=True, is_cut=_has_no_stop_reason, is_anthropic=True),
    Route("/v1/messages/count_tokens", writes=True, is_anthropic=True),
    Route("/v1/embeddings"),
    Route("/v1/rerank"),
    Route("/v1/score"),
    # Beside /v1 at vLLM; an address for programs has one beginning.
    Route("/v1/tokenize", engine_path="/tokenize"),
    Route("/v1/detokenize", engine_path="/detokenize"),
    Route("/v1/audio/transcriptions", content_type=FORM),
    Route("/v1/audio/translations", content_type=FORM),
)
ROUTES: Mapping[str, Route] = {route.path: route for route in _ROUTES}
