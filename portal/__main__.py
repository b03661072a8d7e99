"""`python -m portal demo` and `python -m portal smoke`."""

from __future__ import annotations

import sys

import click

from portal.debian_package import MissingProgramError
from portal.demo import demo
from portal.demo_app import DemoError
from portal.httpd import ApacheError
from portal.smoke import smoke


@click.group()
def group() -> None:
    """A stand-in for Open OnDemand's dashboard, for demo and tests only."""


group.add_command(demo)
group.add_command(smoke)


def main() -> None:
    """Run a command; what went wrong is a sentence on stderr."""
    try:
        group()
    except (ApacheError, DemoError, MissingProgramError) as error:
        click.echo(f"portal: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
