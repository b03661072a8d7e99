"""The command `llm-hoster chat`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import openai
from rich.console import Console

from llm_hoster.chat_command.conversation import Conversation
from llm_hoster.chat_command.interactive import Chat
from llm_hoster.chat_command.reply_view import MarkdownView, PlainView
from llm_hoster.chat_command.sentences import sentence_of
from llm_hoster.chat_command.terminal_text import plain
from llm_hoster.client import Client, ClientError, connect
from llm_hoster.client import errors as client_errors
from llm_hoster.client.own_folder import make_private, own_folder
from llm_hoster.errors import LLMHosterError, NoSessionError
from llm_hoster.session_argument import SessionName

HISTORY_FILE = "chat_history"


@click.command()
@click.argument("question", nargs=-1)
@click.option(
    "--session",
    type=SessionName(),
    help="Its folder, its endpoint file, or the beginning of its id; else the newest that runs.",
)
@click.option("--model", help="One of those that the session serves: an adapter, for example.")
@click.option("--system", help="What the model is told before the conversation.")
def chat(question: tuple[str, ...], session: str | None, model: str | None, system: str | None) -> None:
    """
    Talk with the model of your session.

    With a QUESTION, or one on standard input, it is answered once; both together are put one after the other. Without,
    a conversation begins: /help tells its commands.
    """
    asked = _asked(" ".join(question))
    try:
        with connect(session, model=model) as client:
            client.wait_until_ready(on_step=lambda step: click.echo(plain(step), err=True))
            if asked:
                _answer_once(client, Conversation(system), asked)
            else:
                Chat(client, Conversation(system), _history_file()).run()
    except client_errors.NoSessionError as error:
        raise NoSessionError(sentence_of(error)) from error
    except (ClientError, openai.OpenAIError) as error:
        raise LLMHosterError(sentence_of(error)) from error


def _asked(question: str) -> str:
    """Give nothing where a conversation is meant."""
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    asked = "\n\n".join(filter(None, (question.strip(), piped.strip())))
    if not asked and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LLMHosterError("There is no question. Write one behind the command, or pipe it in.")
    return asked


def _answer_once(client: Client, conversation: Conversation, question: str) -> None:
    conversation.add_question(question)
    view = MarkdownView(Console()) if sys.stdout.isatty() else PlainView(sys.stdout)
    with client.stream(conversation.messages, system=conversation.system, with_reasoning=True) as stream, view:
        for piece in stream:
            view.show(piece)


def _history_file() -> Path | None:
    """Give None where the home folder cannot be written: the chat works without."""
    try:
        path = make_private(own_folder()) / HISTORY_FILE
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError:
        return None
    return path
