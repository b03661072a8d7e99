"""
Questions to one's own session, from scripts: a thin layer over the openai package.

    from llm_hoster.client import connect

    with connect() as client:
        print(client.chat("Say hello."))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_hoster.client.async_client import AsyncClient, connect_async
    from llm_hoster.client.client import Client, connect
    from llm_hoster.client.errors import ClientError, NoSessionError, NotReadyError
    from llm_hoster.client.following import UnreachableError
    from llm_hoster.client.health import Health
    from llm_hoster.client.reply import AsyncTextStream, Piece, Reply, TextStream

__all__ = [
    "AsyncClient",
    "AsyncTextStream",
    "Client",
    "ClientError",
    "Health",
    "NoSessionError",
    "NotReadyError",
    "Piece",
    "Reply",
    "TextStream",
    "UnreachableError",
    "connect",
    "connect_async",
]

_MODULES = ("errors", "following", "health", "reply", "client", "async_client")


def __getattr__(name: str) -> Any:
    """Import at the first use: the openai package takes half a second, and who looks for sessions needs none of it."""
    if name in __all__:
        for module in _MODULES:
            found = getattr(importlib.import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
