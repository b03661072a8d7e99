"""The record of the present request, once vLLM is about to be asked."""

from __future__ import annotations

from flask import g

from llm_hoster.usage.recorder import OpenRequest


def opened_request() -> OpenRequest | None:
    """None for a request that another session answers, and records."""
    found: OpenRequest | None = g.get("opened_request")
    return found


def leave_to_another_session() -> None:
    """Record nothing here: what two sessions count would be charged twice."""
    if (opened := opened_request()) is not None:
        opened.forget()
    g.opened_request = None
