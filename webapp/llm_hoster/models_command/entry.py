"""A model's entry of models.yml, made of what its publisher says and of kind guesses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from llm_hoster.catalogue.choice import typed_model
from llm_hoster.catalogue.compiled import Task
from llm_hoster.catalogue.model_parsers import REASONING_OPTION, parsers_for
from llm_hoster.fit.architecture import Architecture
from llm_hoster.models_command.publication import Publication, cached_id
from llm_hoster.models_command.readme_head import licence_words
from llm_hoster.models_command.servable import task_of

# Explicitly, because vLLM cannot always tell without a way to the hub.
MISTRAL_LAYOUT = ["--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral"]
NOT_IN_A_TITLE = re.compile(r"[^A-Za-z0-9 .,:+()-]+")
TITLE_LENGTH_MAX = 80
SMALL_BYTES = 4 * 2**30
EMBEDDINGS, PICTURES, PROGRAMMING, REASONING, SMALL, CHAT = (
    "Embeddings, for scripts", "Texts and pictures", "Programming", "Reasoning", "Small and fast", "Everyday chat",
)  # fmt: skip
GOOD_FOR = {
    EMBEDDINGS: "search and comparison of texts",
    PICTURES: "questions about texts and pictures",
    PROGRAMMING: "programs",
    REASONING: "questions that take some thought",
    SMALL: "simple texts, fast",
    CHAT: "everyday questions",
}
GUESSED = "  # guessed: edit it"


@dataclass(frozen=True)
class Entry:
    name: str
    title: str
    source: str
    licence: str
    group: str
    good_for: str
    config: str
    args: list[str]
    accelerators: list[str] | None = None
    task: Task = "chat"
    guessed: frozenset[str] = field(default_factory=frozenset)

    def yaml(self, indent: int) -> str:
        """Write it as one item of a list whose dashes stand at column `indent`."""
        lines = [
            f"{field}: {_quoted(value)}{GUESSED if field in self.guessed else ''}"
            for field, value in self._texts().items()
        ]
        lines.append("max_model_len: null")
        if self.accelerators is not None:
            lines.append(f"accelerators: {_quoted(self.accelerators)}")
        if self.task != "chat":
            lines.append(f"task: {_quoted(self.task)}")
        if self.args:
            lines.append(f"args: {_quoted(self.args)}")
        spaces = " " * indent
        return f"{spaces}- " + f"\n{spaces}  ".join(lines) + "\n"

    def _texts(self) -> dict[str, str]:
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "licence": self.licence,
            "group": self.group,
            "good_for": self.good_for,
            "config": self.config,
        }


@dataclass(frozen=True)
class Wishes:
    """What the person says instead of our guesses."""

    name: str | None = None
    title: str | None = None
    group: str | None = None
    good_for: str | None = None
    licence: str | None = None


def make_entry(publication: Publication, architecture: Architecture, config: str, wishes: Wishes = Wishes()) -> Entry:
    """`config` is where its data file lies, seen from models.yml."""
    task = task_of(publication)
    args = _arguments(publication, task)
    group = wishes.group or _group(publication, task, args)
    said = {name for name in ("title", "group", "good_for") if getattr(wishes, name)}
    return Entry(
        name=wishes.name or guess_name(publication.source),
        title=wishes.title or guess_title(publication.source),
        source=publication.source,
        licence=wishes.licence or licence_words(publication.head.licence, is_gated=publication.is_gated),
        group=group,
        good_for=wishes.good_for or GOOD_FOR.get(group, GOOD_FOR[CHAT]),
        config=config,
        args=args,
        # AMD's builds of vLLM and those for CPUs lack kernels for most of what quantised weights come in.
        accelerators=["cuda"] if architecture.quantization else None,
        task=task,
        guessed=frozenset({"title", "group", "good_for"} - said),
    )


def _arguments(publication: Publication, task: Task) -> list[str]:
    """Without a template for chats there is nothing to tell tools and reasoning from."""
    layout = MISTRAL_LAYOUT if publication.has_mistral_layout else []
    chats = publication.has_chat_template and task == "chat"
    parsers = parsers_for(publication.config, name=publication.source) if chats else []
    return [*layout, *parsers]


def guess_name(source: str) -> str:
    return typed_model(cached_id(source)).name


def guess_title(source: str) -> str:
    words = NOT_IN_A_TITLE.sub(" ", PurePosixPath(cached_id(source)).name.replace("-", " ").replace("_", " "))
    return " ".join(words.split())[:TITLE_LENGTH_MAX].strip() or "Model"


def _group(publication: Publication, task: Task, args: list[str]) -> str:
    if task == "embed":
        return EMBEDDINGS
    if re.search(r"coder?(?![a-z])|devstral|codestral", publication.name):
        return PROGRAMMING
    if "vision_config" in publication.config:
        return PICTURES
    if REASONING_OPTION in args:
        return REASONING
    if publication.weights is not None and publication.weights.bytes < SMALL_BYTES:
        return SMALL
    return CHAT


def _quoted(value: str | list[str]) -> str:
    """JSON in one line is YAML; what YAML does not take unescaped is escaped."""
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())
