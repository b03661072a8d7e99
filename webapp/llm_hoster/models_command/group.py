"""`llm-hoster models`: the commands for whoever looks after models.yml."""

from __future__ import annotations

import click

from llm_hoster.models_command.add import add
from llm_hoster.models_command.check import check
from llm_hoster.models_command.listing import list_models
from llm_hoster.models_command.scan import scan


@click.group()
def models() -> None:
    """Add, list, check and find models."""


for command in (add, check, list_models, scan):
    models.add_command(command)
