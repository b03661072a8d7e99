"""`python -m portal demo`: the whole chain on this machine, for a person with a browser."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from portal.demo_app import REPOSITORY, SITE
from portal.demo_site import DemoSite

MESSAGE = """
LLM Hoster, the demo. Open this address in a browser:

    {url}/

    user name   {user}
    password    {password}

Choose LLM Hoster, press Launch, wait a moment for Running, press Connect.
The sessions' files and logs are in {folder}
Ctrl-C ends the demo and every session in it.
"""


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=REPOSITORY / ".demo", help="Where the demo lives.")
@click.option("--site", type=click.Path(path_type=Path), default=SITE, help="The site file to serve.")
@click.option("--address", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, help="The port to listen on; 0 is a free one.")
def demo(folder: Path, site: Path, address: str, port: int) -> None:
    """Start the stand-in portal with this machine as the compute node."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with DemoSite(folder.absolute(), site_file=site, address=address, port=port) as running:
        words = {"url": running.url, "user": running.user, "password": running.password, "folder": running.folder}
        click.echo(MESSAGE.format(**words))
        stop.wait()
        click.echo("Ending the sessions and the portal ...")
