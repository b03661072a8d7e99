"""The argument SESSION of the commands: a folder, an id or the beginning of one, which a shell completes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from llm_hoster.own_sessions import own_sessions

CommandT = TypeVar("CommandT", bound=Callable[..., None])


class SessionName(StringParamType):
    name = "session"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer those that have not ended, unless an ended one is begun to be written."""
        sessions = [each for each in own_sessions() if each.id.startswith(incomplete)]
        going_on = [each for each in sessions if not each.has_ended]
        return [CompletionItem(each.id) for each in (going_on or (sessions if incomplete else []))]


def session_argument(command: CommandT) -> CommandT:
    """Add SESSION, which may be left out where only one session runs."""
    return click.argument("session", required=False, type=SessionName())(command)
