"""`python -m portal smoke`: the whole chain unattended, one line for each step with its seconds."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import requests

from portal.demo_app import REPOSITORY, SITE
from portal.demo_site import DemoSite
from portal.smoke_steps import SmokeError, SmokeSteps

FOLDER = REPOSITORY / ".demo" / "smoke"


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, help="Where it runs and leaves its logs.")
@click.option("--site", type=click.Path(path_type=Path), default=SITE, help="The site file to serve.")
def smoke(folder: Path, site: Path) -> None:
    """Go from the form to the reply and back to an empty machine; exit status 0 only if every step held."""
    began = time.monotonic()
    with DemoSite(folder.absolute(), site_file=site, fresh=True) as running:
        failure = run_steps(running)
    if failure is None:
        click.echo(f"ok    {time.monotonic() - began:6.2f} s  everything")
        return
    click.echo(f"{failure}\nLogs: {folder.absolute() / 'data'}", err=True)
    sys.exit(1)


def run_steps(site: DemoSite) -> str | None:
    """Run the steps until one fails; return the sentence that says which and why."""
    steps = SmokeSteps(site)
    chain = {
        "log in": steps.log_in,
        "form": steps.open_form,
        "Launch": steps.launch,
        "card": steps.wait_for_card,
        "Connect": steps.log_in_to_session,
        "start-up": steps.wait_until_ready,
        "chat": steps.chat,
        "API": steps.call_api,
        "Delete": steps.delete,
        "nothing left": steps.find_nothing_left,
    }
    for name, step in chain.items():
        began = time.monotonic()
        try:
            said = step()
        except (SmokeError, requests.RequestException) as error:
            click.echo(f"FAIL  {time.monotonic() - began:6.2f} s  {name}")
            return f"The step «{name}» failed: {error}"
        click.echo(f"ok    {time.monotonic() - began:6.2f} s  {name}: {said}")
    return None
