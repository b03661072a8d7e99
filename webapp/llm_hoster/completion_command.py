"""`llm-hoster completion`: what a shell needs to complete our commands, options, sessions and models."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """
    Print the completion script for SHELL, to be read in by its start-up file.

    bash: eval "$(llm-hoster completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc; fish:
    llm-hoster completion fish > ~/.config/fish/completions/llm-hoster.fish
    """
    known = get_completion_class(shell)
    if known is None:
        raise click.UsageError(f"This version of click knows no completion for {shell}.")
    root = ctx.find_root()
    program = root.info_name or ""
    # Click looks for this name in the environment.
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    click.echo(known(root.command, {}, program, variable).source())
