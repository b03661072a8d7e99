"""The command line `llm-hoster`. Commands are imported when called: `serve` must start in a fraction of a second."""

from __future__ import annotations

import importlib
import sys

import click
from click.shell_completion import CompletionItem

from llm_hoster import __version__
from llm_hoster.errors import LLMHosterError

PROGRAM = "llm-hoster"
COMMANDS = {
    "adapters": "llm_hoster.adapters_command:adapters",
    "bench": "llm_hoster.bench_command.command:bench",
    "chat": "llm_hoster.chat_command.command:chat",
    "completion": "llm_hoster.completion_command:completion",
    "configure": "llm_hoster.launch.configure:configure",
    "discover": "llm_hoster.site_check.discover:discover",
    "doctor": "llm_hoster.site_check.doctor:doctor",
    "fit": "llm_hoster.catalogue.fit_command:fit",
    "keys": "llm_hoster.keys_command:keys",
    "launch": "llm_hoster.launch_command.command:launch",
    "list": "llm_hoster.list_command:list_sessions",
    "logs": "llm_hoster.logs_command:logs",
    "models": "llm_hoster.models_command.group:models",
    "price": "llm_hoster.catalogue.price_command:price",
    "serve": "llm_hoster.engine.serve:serve",
    "status": "llm_hoster.status_command.command:status",
    "stop": "llm_hoster.stop_command:stop",
    "switch": "llm_hoster.switch_command:switch",
    "tunnel": "llm_hoster.tunnel_command.command:tunnel",
    "usage": "llm_hoster.usage_command.command:usage",
    "verify": "llm_hoster.engine.verify:verify",
    "warm": "llm_hoster.engine.warm:warm",
}


class LazyGroup(click.Group):
    """Look a command up in COMMANDS and import its module only then."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command without its help: that would import them all at each press of the key."""
        names = [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - COMMANDS names commands only
        return command


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name=PROGRAM)
def group() -> None:
    """Host a language model inside a Slurm job, for Open OnDemand."""


def main() -> None:
    """Run a command; an error of ours is a sentence on stderr and its exit status, never a traceback."""
    try:
        group(prog_name=PROGRAM)
    except LLMHosterError as error:
        click.echo(f"llm-hoster: {error}", err=True)
        sys.exit(error.exit_status)
