"""The command line `llm-hoster`. Commands are imported when called: `serve` must start in a fraction of a second."""

from __future__ import annotations

import importlib
import sys

import click

from llm_hoster import __version__
from llm_hoster.errors import LLMHosterError

COMMANDS = {
    "adapters": "llm_hoster.adapters_command:adapters",
    "configure": "llm_hoster.launch.configure:configure",
    "discover": "llm_hoster.site_check.discover:discover",
    "doctor": "llm_hoster.site_check.doctor:doctor",
    "fit": "llm_hoster.catalogue.fit_command:fit",
    "models": "llm_hoster.models_command.group:models",
    "price": "llm_hoster.catalogue.price_command:price",
    "serve": "llm_hoster.engine.serve:serve",
    "status": "llm_hoster.status_command.command:status",
    "switch": "llm_hoster.switch_command:switch",
    "verify": "llm_hoster.engine.verify:verify",
    "warm": "llm_hoster.engine.warm:warm",
}


class LazyGroup(click.Group):
    """Look a command up in COMMANDS and import its module only then."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - COMMANDS names commands only
        return command


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="llm-hoster")
def group() -> None:
    """Host a language model inside a Slurm job, for Open OnDemand."""


def main() -> None:
    """Run a command; an error of ours is a sentence on stderr and exit status 1, never a traceback."""
    try:
        group()
    except LLMHosterError as error:
        click.echo(f"llm-hoster: {error}", err=True)
        sys.exit(1)
