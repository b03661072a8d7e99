"""What real vLLM says of questions that are made up is what the gateway says. For embeddings: test_real_embedding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
import schemathesis

from tests.gateway.generated_questions import require_same_answers, schema_of
from tests.live_engine import LiveEngine
from tests.web_session import WebServer

pytestmark = pytest.mark.engine

# Those of a model that writes.
PATHS = [
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens",
    "/v1/tokenize", "/v1/detokenize",
]  # fmt: skip


@pytest.fixture
def server(make_server: Callable[..., WebServer], live_engine: LiveEngine) -> WebServer:
    return make_server(engine=live_engine.socket_path)


@pytest.fixture(scope="module")
def schema(live_engine: LiveEngine) -> schemathesis.BaseSchema:
    return schema_of(live_engine.socket_path)


@pytest.mark.parametrize("path", PATHS)
def test_the_gateway_says_what_vllm_says(
    server: WebServer, live_engine: LiveEngine, schema: schemathesis.BaseSchema, path: str
) -> None:
    def ask(path: str, body: bytes) -> requests.Response:
        return server.api(path, data=body)

    require_same_answers(schema, path, ask, live_engine.socket_path)
