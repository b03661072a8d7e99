"""The socket of a request's client, to notice one that hangs up or sends too slowly."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any


def client_socket(environ: Mapping[str, Any]) -> socket.socket | None:
    """Give gunicorn's own, by a request's WSGI environment; None under another server, as in tests."""
    client = environ.get("gunicorn.socket")
    return client if isinstance(client, socket.socket) else None
