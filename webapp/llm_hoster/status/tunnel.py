"""The way from a computer outside the cluster to this session: the lines that open it."""

from __future__ import annotations

import os
import pwd
import shlex
from dataclasses import dataclass

from llm_hoster.settings import WebSettings
from llm_hoster.status.location import HERE
from llm_hoster.status.models_here import staged_session
from llm_hoster.tunnel_command.ssh import ssh_line

# Where the site does not say it.
LOGIN_HOST = "LOGIN-NODE"
# Whose name on the cluster we do not know.
USER = "USER"


@dataclass(frozen=True)
class Tunnel:
    """The lines of `ssh` and of our own command; `login_host` is None where the site does not say it."""

    ssh_line: str
    command: str
    login_host: str | None


def tunnel_of(settings: WebSettings, user: str) -> Tunnel:
    """
    Lead the session's port on the person's own computer to the session.

    It names the one address on which it listens: where that port is taken the same port of ::1 would do else, and the
    key would go to another program.
    """
    host = _login_host(settings)
    login = f"{user}@{host or LOGIN_HOST}"
    return Tunnel(
        ssh_line(f"{HERE}:{settings.port}:{settings.host}:{settings.port}", login),
        shlex.join(["llm-hoster", "tunnel", "--host", login, "--port", str(settings.port), settings.session_id]),
        host,
    )


def _login_host(settings: WebSettings) -> str | None:
    session = staged_session(settings.staged_root)
    return session.catalogue.site.login_host if session else None


def owner_name() -> str:
    """Give the name of whom the session runs as."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # In a container that does not know the cluster's people.
        return USER
