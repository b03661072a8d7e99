"""`llm-hoster discover`: write a first site.yml for the cluster that it runs on."""

from __future__ import annotations

import getpass

import click

from llm_hoster.site_check.first_site import write_site
from llm_hoster.site_check.slurm import read_cluster


@click.command()
@click.option("--cluster", "name", help="The cluster's id in OnDemand; default: the name that Slurm gives it.")
def discover(name: str | None) -> None:
    """Print a first site.yml from sinfo, scontrol and sacctmgr; check what says "check this"."""
    cluster = read_cluster(user=getpass.getuser())
    click.echo(write_site(cluster, name), nl=False)
    for reason in cluster.unread:
        click.echo(f"Not read: {reason}", err=True)
