"""Questions made up from what an OpenAPI document says of vLLM's routes: the gateway is to answer what vLLM answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from urllib3 import BaseHTTPResponse

from llm_hoster.engine.vllm.connection import EnginePool
from llm_hoster.gateway.routes import JSON, ROUTES, Route

EXAMPLES = 25
# What the gateway refuses by itself and vLLM would take.
OWN_REFUSALS = {"too_many_answers", "media_not_allowed"}
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "n", "best_of")
QUICK = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
# Of the routes of a model that embeds. A session's own vLLM does not show its document, and all of it is 57 schemas.
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3}]}
TOKENS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 50}, "minItems": 1, "maxItems": 8}
EMBEDDING_FIELDS: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": {"anyOf": [TEXTS, TOKENS, {"type": "array", "items": TOKENS, "maxItems": 3}]}},
    "/v1/rerank": {"query": TEXT, "documents": TEXTS},
    "/v1/score": {"text_1": TEXTS, "text_2": TEXTS},
}
EMBEDDING_OPTIONS = {
    "encoding_format": {"enum": ["float", "base64"]},
    "truncate_prompt_tokens": {"type": "integer", "minimum": -1, "maximum": 64},
    "top_n": {"type": "integer", "minimum": 0},
}
Jsonable = dict | list | str | int | float | None


def schema_of(socket_path: Path) -> schemathesis.BaseSchema:
    document = EnginePool(socket_path).request("GET", "/openapi.json", timeout=60).data
    return schemathesis.openapi.from_dict(json.loads(document))


def embedding_schema() -> schemathesis.BaseSchema:
    paths = {}
    for path, fields in EMBEDDING_FIELDS.items():
        fields = {"model": {"type": "string"}} | fields
        body = {"type": "object", "properties": fields | EMBEDDING_OPTIONS, "required": list(fields)}
        content = {"required": True, "content": {JSON: {"schema": body}}}
        paths[path] = {"post": {"requestBody": content, "responses": {"200": {"description": "OK"}}}}
    document = {"openapi": "3.1.0", "info": {"title": "Embeddings", "version": "1"}, "paths": paths}
    return schemathesis.openapi.from_dict(document)


def quick(body: Any) -> bytes:
    """Ask this model, and for little; what is no JSON stays as it is."""
    if not isinstance(body, Jsonable):
        return body if isinstance(body, bytes) else b""
    if isinstance(body, dict):
        body = {"max_tokens": 2, "max_output_tokens": 2} | body
        body |= {name: min(body[name], 2) for name in LENGTHS if isinstance(body.get(name), int)}
        if isinstance(body.get("model", ""), str):
            body["model"] = "tiny"
    return json.dumps(body).encode()


def require_same(route: Route, through: requests.Response, direct: BaseHTTPResponse) -> None:
    assert not through.headers.get("Content-Type", "").startswith("text/html")
    if through.status_code == 200:
        assert direct.status == 200
        return
    document = through.json()
    error = document["error"]
    if route.is_anthropic:
        assert (document["type"], set(error)) == ("error", {"type", "message"})
    else:
        assert {"message", "type", "param", "code"} <= set(error)
    assert error["message"]
    if error.get("code") in OWN_REFUSALS:
        return
    assert error.get("code") != "fault"
    assert through.status_code == direct.status


def require_same_answers(
    schema: schemathesis.BaseSchema, path: str, ask_gateway: Callable[[str, bytes], requests.Response], engine: Path
) -> None:
    """Ask both, the engine at its socket; the statuses must show that vLLM has looked at the questions."""
    route = ROUTES[path]
    operation = schema[route.path_at_engine]["POST"]
    statuses = set()

    @QUICK
    @given(case=one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))
    def ask(case: schemathesis.Case) -> None:
        body = quick(case.body)
        through = ask_gateway(path, body)
        direct = EnginePool(engine).request(
            "POST", route.path_at_engine, body=body, headers={"Content-Type": JSON}, timeout=60
        )
        require_same(route, through, direct)
        statuses.add(direct.status)

    ask()
    assert statuses & {200, 400}  # And not only that there is no such path.
