"""The id of a request: the caller's own where it is a fair one, so that logs on both sides can be read together."""

from __future__ import annotations

import re
import uuid

from flask import g, request

REQUEST_ID_HEADER = "X-Request-Id"
FAIR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")


def request_id() -> str:
    """Give the id of the present request, which does not change."""
    if "request_id" not in g:
        offered = request.headers.get(REQUEST_ID_HEADER, "")
        g.request_id = offered if FAIR.fullmatch(offered) else new_request_id()
    found: str = g.request_id
    return found


def new_request_id() -> str:
    return f"req-{uuid.uuid4().hex}"
