"""What all commands have in common: exit statuses, --json where there are facts, and a line in the documentation."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from llm_hoster.cli import group
from tests.conftest import REPOSITORY
from tests.staged_sessions import NOTHING_YET, Stage

PAGE = REPOSITORY / "docs" / "command-line.md"
# These print files, logs and scripts, or are no command for people.
WITHOUT_FACTS = {"chat", "completion", "configure", "discover", "logs", "serve", "tunnel"}


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {each}", below) for each, below in sorted(command.commands.items()))
        else:
            yield name, command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_FACTS))
def test_what_prints_facts_prints_them_as_json(name: str) -> None:
    assert "--json" in [option for parameter in COMMANDS[name].params for option in parameter.opts]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_documentation(name: str) -> None:
    assert f"| `llm-hoster {name}" in PAGE.read_text()


def test_what_the_documentation_runs_exists() -> None:
    """Each line of an example is a command, with options that it has."""
    lines = re.findall(r"^llm-hoster (.+)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        words = line.partition("#")[0].split()
        name = next(" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in COMMANDS)
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def exit_status(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "llm_hoster", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stderr


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["list"], 0, ""),
        (["completion", "bash"], 0, ""),
        (["launch", "--dry-run", "--hours", "0"], 1, 'llm-hoster: Number of hours "0" is not possible on 1 x No GPU'),
        (["launch"], 1, "Aborted!"),
        (["stop", "aa"], 1, "llm-hoster: Session aa-1 has no pages yet."),
        (["launch", "--gpus", "1"], 2, "No such option"),
        (["launch", "--timeout", "5"], 2, "--timeout is for --wait."),
        (["jump"], 2, "No such command"),
        (["logs", "zz"], 3, "llm-hoster: No session of yours is 'zz'. There is: aa-1"),
        (["stop"], 3, "llm-hoster: None of your sessions runs."),
        (["chat", "Hello?"], 3, "llm-hoster: "),
        (["switch", "tiny"], 3, "llm-hoster: None of your sessions runs."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_exit_status_says_what_kind_of_end_it_was(
    stage: Stage, arguments: list[str], status: int, message: str
) -> None:
    stage("aa-1", outcome=NOTHING_YET)
    found, error = exit_status(*arguments, *(["--yes"] if arguments == ["stop", "aa"] else []))
    assert (found, message in error) == (status, True), error
    assert "Traceback" not in error


def test_every_exit_status_is_documented() -> None:
    section = PAGE.read_text().partition("## Exit status")[2]
    assert re.findall(r"^\| (\d+) \|", section, re.MULTILINE) == ["0", "1", "2", "3", "4", "130"]


def test_the_page_is_no_list_of_the_past() -> None:
    """No line of the tables names a command that is gone."""
    named = re.findall(r"^\| `llm-hoster ([a-z]+(?: [a-z]+)?)", Path(PAGE).read_text(), re.MULTILINE)
    assert [name for name in named if name not in COMMANDS and name.split()[0] not in COMMANDS] == []
