"""An app of its own for each test, with the smallest site, and a hub that answers from here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm_hoster.cli import group
from llm_hoster.errors import LLMHosterError
from llm_hoster.hub import OFFLINE_VARIABLES, TOKEN_VARIABLES
from llm_hoster.hub_cache import CACHE_VARIABLES
from tests.catalogue.small_site import write_small
from tests.models_command.model_hub import ModelHub, model_hub


@dataclass(frozen=True)
class App:
    folder: Path

    @property
    def models(self) -> Path:
        return self.folder / "config" / "models.yml"

    @property
    def configs(self) -> Path:
        return self.folder / "config" / "configs"

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}


@dataclass(frozen=True)
class Done:
    status: int
    output: str
    stdout: str = ""

    @property
    def document(self) -> Any:
        """What --json prints, and it alone on stdout."""
        return json.loads(self.stdout)


Run = Callable[..., Done]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    folder = tmp_path / "app"
    (folder / "config").mkdir(parents=True)
    (folder / "manifest.yml").write_text("---\nname: LLM\n")
    write_small(folder / "config")
    monkeypatch.chdir(folder)
    return App(folder)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `llm-hoster models ...` as a person without a login at the hub; an error of ours is the output."""
    for name in (*CACHE_VARIABLES, *OFFLINE_VARIABLES, *TOKEN_VARIABLES, "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def invoke(*arguments: str) -> Done:
        result = CliRunner().invoke(group, ["models", *arguments])
        if isinstance(result.exception, LLMHosterError):
            return Done(1, result.output + str(result.exception))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.output, result.stdout)

    return invoke


@pytest.fixture
def hub(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    with model_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server
