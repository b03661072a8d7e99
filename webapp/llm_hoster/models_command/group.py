"""`llm-hoster models`: the commands for whoever looks after models.yml."""

from __future__ import annotations

import click

from llm_hoster.models_command.add import add
from llm_hoster.models_command.check import check
from llm_hoster.models_command.listing import list_models
from llm_hoster.models_command.prune import prune
from llm_hoster.models_command.pull import pull
from llm_hoster.models_command.scan import scan
from llm_hoster.models_command.verify import verify


@click.group()
def models() -> None:
    """Add, list, check and find models; fetch, verify and remove their files."""


for command in (add, check, list_models, prune, pull, scan, verify):
    models.add_command(command)
