"""Each request under /v1 in the record: begun before it is passed on, and settled by whichever end it has."""

from __future__ import annotations

import json
import time
from http import HTTPStatus

from flask import Response, g, request

from llm_hoster.current import current_recorder
from llm_hoster.gateway.key import address_of
from llm_hoster.gateway.opened_request import opened_request
from llm_hoster.gateway.question import Question
from llm_hoster.gateway.request_id import request_id
from llm_hoster.gateway.routes import ROUTES
from llm_hoster.usage.record import CLIENT_GONE, RequestRecord
from llm_hoster.usage.tokens import estimated_prompt

NAME_MAX = 200
# A path of ours that is none: strangers may think of as many as they like.
OTHER_ROUTE = "other"


def begin(question: Question, model: str) -> None:
    """Record that vLLM is about to be asked; `model` is the one that is meant where none is named."""
    tokens = estimated_prompt(question.body)
    g.opened_request = current_recorder().begin(
        _record(question.model or model, is_stream=question.streams, prompt_tokens=tokens), question.body
    )


def record_answer(response: Response) -> None:
    """Settle what is answered with a body that is here already; a stream settles itself at its end."""
    if "opened_request" not in g:
        if response.status_code < HTTPStatus.BAD_REQUEST:
            current_recorder().note(_record("", status=response.status_code))
        else:
            current_recorder().refuse(_record("", status=response.status_code, error_code=_error_code(response)))
        return
    opened = opened_request()
    if opened is None or response.direct_passthrough:
        return
    if response.status_code == CLIENT_GONE[0]:
        opened.settle_cut_off(has_died=False)
    else:
        error_code = _error_code(response) if response.status_code >= HTTPStatus.BAD_REQUEST else None
        opened.settle_answer(response.status_code, response.get_data(), error_code)


def _record(
    model: str,
    *,
    is_stream: bool = False,
    prompt_tokens: int = 0,
    status: int | None = None,
    error_code: str | None = None,
) -> RequestRecord:
    caller = g.get("caller")
    return RequestRecord(
        begun_at=time.time(),
        request_id=request_id(),
        key_id=caller.id if caller is not None else "",
        key_name=caller.name if caller is not None else "",
        model=model[:NAME_MAX],
        route=request.path if request.path in ROUTES else OTHER_ROUTE,
        is_stream=is_stream,
        address=address_of(request),
        status=status,
        error_code=error_code,
        prompt_tokens=prompt_tokens,
    )


def _error_code(response: Response) -> str | None:
    """Give ours where the error is ours, and vLLM's word for the kind of its own."""
    if "error_code" in g:
        return str(g.error_code)
    try:
        error = json.loads(response.get_data())["error"]
        code = error.get("code")
        return (code if isinstance(code, str) else str(error["type"]))[:NAME_MAX]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
