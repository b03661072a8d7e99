"""The command `llm-hoster tunnel`."""

from __future__ import annotations

import getpass
import shlex
import signal
import socket
import sys
from pathlib import Path

import click

from llm_hoster.client import errors as client_errors
from llm_hoster.client.source import ENDPOINT_VARIABLE, source_of
from llm_hoster.errors import NoSessionError
from llm_hoster.tunnel_command.ssh import SshConnection, ssh_line
from llm_hoster.tunnel_command.status_line import StatusLine
from llm_hoster.tunnel_command.tunnel import ASK_EVERY_S, FIRST_PORT, Route, Tunnel, free_port

HOST_VARIABLE = "LLM_HOSTER_LOGIN_HOST"


@click.command()
@click.argument("session", required=False, default="")
@click.option("--host", envvar=HOST_VARIABLE, help=f"The login node, as ssh takes it. Else {HOST_VARIABLE}.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help=f"On this machine; else the first free from {FIRST_PORT} on."
)
@click.option("--ssh", "ssh_command", default="ssh", help='ssh with options of your own: "ssh -J gate".')
@click.option("--ask-every", "ask_every_s", type=float, default=ASK_EVERY_S, hidden=True)
def tunnel(session: str, host: str | None, port: int | None, ssh_command: str, ask_every_s: float) -> None:
    """
    Bring a session's endpoint to this machine, a laptop for example, and keep it there until Ctrl-C.

    SESSION is its folder on the cluster, its id or the beginning of that, or its job's number; else the newest that
    runs. The key is written into a file that only you can read, where `llm-hoster chat` and the client find it.
    """
    if not host:
        click.echo(_line_for_the_laptop(session, port or FIRST_PORT))
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    line = StatusLine(sys.stderr)
    kept = Tunnel(
        SshConnection(shlex.split(ssh_command), host),
        session,
        port=port or free_port(),
        ask_every_s=ask_every_s,
        tell=line.say,
        on_open=lambda route, path: _say_how_to_use(line, host, route, path),
    )
    click.echo(f"Logging in on {host} ...", err=True)
    try:
        reason = kept.run()
    except KeyboardInterrupt:
        line.say("closed")
    else:
        line.say(f"closed: {reason}")
    finally:
        line.end()
        kept.close()


def _say_how_to_use(line: StatusLine, host: str, route: Route, path: Path) -> None:
    line.end()
    click.echo(f"{ssh_line(str(route), host)}\nexport {ENDPOINT_VARIABLE}={shlex.quote(str(path))}")


def _line_for_the_laptop(session: str, port: int) -> str:
    """Where the session's own files are, nobody needs a tunnel."""
    try:
        endpoint = source_of(session or None).find()
    except client_errors.NoSessionError as error:
        raise NoSessionError(
            f"Name the login node of the cluster with --host or {HOST_VARIABLE}. On this machine: {error}"
        ) from error
    here = f"{getpass.getuser()}@{socket.getfqdn()}"
    return (
        f"Programs on this machine reach the session at {endpoint.base_url}. On your own machine:\n"
        f"{ssh_line(str(Route(port, endpoint)), here)}"
    )
