"""The conversation at a terminal: lines that are asked, commands with a slash, and replies that Ctrl-C stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openai
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console

from llm_hoster.chat_command.conversation import Conversation
from llm_hoster.chat_command.reply_view import MarkdownView
from llm_hoster.chat_command.sentences import sentence_of
from llm_hoster.chat_command.terminal_text import plain
from llm_hoster.client import Client
from llm_hoster.errors import LLMHosterError

PROMPT = "> "
CONTINUATION = "  "
HELP = """\
/help        this list
/new         forget what was said, and begin again
/save FILE   write the conversation as Markdown
/model       the models of the session; /model NAME asks that one from now on
Alt-Enter or Ctrl-J begins a new line, Ctrl-C stops a reply, Ctrl-D leaves.
A question that begins with a slash is written with two."""


class Chat:
    def __init__(self, client: Client, conversation: Conversation, history_file: Path | None) -> None:
        self._client = client
        self._conversation = conversation
        # None is whichever the session serves: it may be switched meanwhile.
        self._chosen: str | None = None
        self._console = Console(highlight=False, markup=False)
        history: History = InMemoryHistory() if history_file is None else FileHistory(str(history_file))
        self._prompt: PromptSession[str] = PromptSession(
            history=history, multiline=True, key_bindings=_keys(), prompt_continuation=CONTINUATION
        )
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: self._say(HELP),
            "/new": self._begin_again,
            "/save": self._save,
            "/model": self._choose_model,
        }

    def run(self) -> None:
        """Talk until Ctrl-D."""
        self._say(f"{self._client.model} at {self._client.base_url}. /help tells the commands, Ctrl-D leaves.")
        while True:
            try:
                line = self._prompt.prompt(PROMPT).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if line.startswith("/") and not line.startswith("//"):
                self._obey(line)
            elif line:
                self._ask(line.removeprefix("/") if line.startswith("//") else line)

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._say(f"There is no command {name}. /help lists them; a question begins with two slashes.")
            return
        try:
            command(argument.strip())
        except openai.OpenAIError as error:
            self._say(sentence_of(error))
        except LLMHosterError as error:
            self._say(str(error))

    def _ask(self, question: str) -> None:
        self._conversation.add_question(question)
        written = ""
        try:
            with (
                self._client.stream(
                    self._conversation.messages,
                    system=self._conversation.system,
                    model=self._chosen,
                    with_reasoning=True,
                ) as stream,
                MarkdownView(self._console) as view,
            ):
                for piece in stream:
                    written += "" if piece.is_reasoning else piece
                    view.show(piece)
        except KeyboardInterrupt:
            self._say("(stopped)")
        except openai.OpenAIError as error:
            self._say(sentence_of(error))
        finally:
            self._conversation.add_answer(written)

    def _begin_again(self, _: str) -> None:
        self._conversation.begin_again()
        self._say("A new conversation begins.")

    def _save(self, name: str) -> None:
        if not name:
            raise LLMHosterError("/save wants the name of a file.")
        path = Path(name).expanduser()
        self._conversation.save(path)
        self._say(f"Written to {path}.")

    def _choose_model(self, name: str) -> None:
        names = self._client.models()
        if name in names:
            self._chosen = name
        elif name:
            raise LLMHosterError(f"The session does not serve {name}. There is: {', '.join(names)}.")
        asked = self._chosen or self._client.model
        self._say("\n".join(f"{'*' if each == asked else ' '} {each}" for each in names))

    def _say(self, text: str) -> None:
        self._console.print(plain(text), style="dim", soft_wrap=True)


def _keys() -> KeyBindings:
    """Enter sends. What is pasted keeps its lines."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
