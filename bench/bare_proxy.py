"""
The least that a proxy of Flask, gunicorn and urllib3 can do: one route, no key, no errors, no log.

What our gateway costs over it is the price of all that the gateway is for.
"""

from __future__ import annotations

import os

from flask import Flask, Request, Response, request
from urllib3 import HTTPConnectionPool

from llm_hoster.engine.vllm.connection import EngineConnection

SOCKET_VARIABLE = "BENCH_UPSTREAM"
KEPT_CONNECTIONS = 256


class Pool(HTTPConnectionPool):
    ConnectionCls = EngineConnection


def create_app() -> Flask:
    app = Flask(__name__)
    pool = Pool("engine", maxsize=KEPT_CONNECTIONS, retries=False, socket_path=os.environ[SOCKET_VARIABLE])
    app.add_url_rule("/v1/chat/completions", view_func=lambda: forward(pool, request), methods=["POST"])
    return app


def forward(pool: HTTPConnectionPool, request: Request) -> Response:
    answer = pool.request(
        "POST",
        request.path,
        body=request.get_data(),
        headers={"Content-Type": "application/json"},
        preload_content=False,
    )
    content_type = answer.headers["Content-Type"]
    return Response(answer.stream(65536), answer.status, content_type=content_type, direct_passthrough=True)
