"""The session's TCP port, bound here and kept: a port that is only looked up could be taken before it is used."""

from __future__ import annotations

import errno
import random
import socket

from llm_hoster.errors import SessionError

BACKLOG = 512


def bind_port(ports: tuple[int, int] | None) -> socket.socket:
    """
    Bind and listen on all interfaces, on a free port of the site's range or one that the kernel chooses.

    SO_REUSEADDR stays off: with it another user's process could bind the same port until we listen.
    """
    if ports is None:
        listener = _listen(0)
        if listener is None:
            raise SessionError("This node has no free TCP port left.")
        return listener
    candidates = list(range(ports[0], ports[1] + 1))
    random.shuffle(candidates)
    for port in candidates:
        listener = _listen(port)
        if listener is not None:
            return listener
    raise SessionError(f"All ports from {ports[0]} to {ports[1]} (`ports` in site.yml) are taken on this node.")


def _listen(port: int) -> socket.socket | None:
    """Return None when somebody else has the port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind(("", port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise
    return listener
