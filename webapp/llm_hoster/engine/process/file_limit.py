"""How many files and connections the processes of a session may have open at once."""

from __future__ import annotations

import resource

# What vLLM raises its own to. Never unlimited: some programs go through all numbers when they start another.
OPEN_FILES = 65_536


def raise_file_limit() -> None:
    """
    Raise the soft limit as far as the hard one allows, for this process and its children.

    The usual soft limit of 1024 would end gunicorn's worker, and every running reply with it, when a few hundred
    connections are open: `accept` then fails.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
