"""The lines that a person copies to call the endpoint: a text template for each program, and where they work.

The key stands in no line. Each reads it from the session's file or, outside the cluster, from a variable.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from llm_hoster.catalogue.compiled import Task
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.settings import WebSettings
from llm_hoster.status.bench_model import bench_model
from llm_hoster.status.location import CLUSTER, Location

TEXTS = ["The job waits for a free GPU.", "No GPU is free yet."]
# What templates leave where a part of them is empty.
EMPTY_LINES = re.compile(r"\n{3,}")
BOTH: tuple[Task, ...] = ("chat", "embed")

# On the cluster.
IN_A_SHELL = "a login node, a job, a terminal of Jupyter on OnDemand"
IN_A_NOTEBOOK = "a login node, a job, Jupyter on OnDemand"
IN_R = "a login node, a job, RStudio on OnDemand"
IN_AN_EDITOR = "VS Code on OnDemand, VS Code that is connected to a login node"
IN_A_JOB = "a job"


@dataclass(frozen=True)
class Program:
    """
    `name` is that of its template. `needs` is what must be installed, empty where it mostly is.

    `is_for_owner_only`: it reads files of the owner's, and is for the cluster.
    """

    name: str
    title: str
    where: str
    needs: str = ""
    tasks: tuple[Task, ...] = BOTH
    is_for_owner_only: bool = False


PROGRAMS = (
    Program("python", "Python", IN_A_NOTEBOOK, "pip install openai"),
    Program("client", "Python, the client of LLM Hoster", IN_A_NOTEBOOK, "this app's own package"),
    Program("curl", "curl", IN_A_SHELL),
    Program("fetch", "JavaScript", IN_A_SHELL, "Node.js 18 or later"),
    Program("javascript", "JavaScript, openai", IN_A_SHELL, "npm install openai"),
    Program("httr2", "R, httr2", IN_R, 'install.packages(c("httr2", "jsonlite"))'),
    Program("ellmer", "R, ellmer", IN_R, 'install.packages("ellmer")', tasks=("chat",)),
    Program("langchain", "LangChain", IN_A_NOTEBOOK, "pip install langchain-openai"),
    Program("litellm", "LiteLLM", IN_A_NOTEBOOK, "pip install litellm"),
    Program("continue", "VS Code, Continue", IN_AN_EDITOR, "the extension Continue"),
    Program("opencode", "opencode", IN_A_SHELL, "npm install -g opencode-ai", tasks=("chat",)),
    Program("claude-code", "Claude Code", IN_A_SHELL, "npm install -g @anthropic-ai/claude-code", tasks=("chat",)),
    Program("vllm-bench", "vllm bench serve", IN_A_JOB, "vLLM", is_for_owner_only=True),
)


@dataclass(frozen=True)
class Snippet:
    """`works` says where, in words."""

    program: Program
    works: str
    text: str


def snippets(
    settings: WebSettings, model: ServedModel, location: Location = CLUSTER, *, for_guest: bool = False
) -> list[Snippet]:
    """Give the lines of each program that can ask this model from there. A guest can read no file of the session."""
    asked = bench_model(settings.staged_root, model)
    is_file_there = location is CLUSTER and not for_guest
    return [
        Snippet(
            program,
            works(program, location),
            _fill(
                program.name,
                works=works(program, location),
                base_url=location.base_url(settings),
                host=location.host(settings),
                endpoint_file=str(settings.endpoint_file) if is_file_there else None,
                model=model,
                bench_model=asked,
                texts=TEXTS,
            ),
        )
        for program in PROGRAMS
        if model.task in program.tasks and (is_file_there or not program.is_for_owner_only)
    ]


def snippet(name: str, settings: WebSettings, model: ServedModel, location: Location = CLUSTER) -> str:
    """Give the lines of one program for the owner; raise StopIteration where it cannot ask this model from there."""
    return next(each.text for each in snippets(settings, model, location) if each.program.name == name)


def works(program: Program, location: Location) -> str:
    place = program.where if location is CLUSTER else "your own computer, while the tunnel is open"
    return f"Works on: {place}."


def _fill(name: str, **values: object) -> str:
    return EMPTY_LINES.sub("\n\n", _templates.get_template(f"{name}.txt").render(values)).strip()


def quoted(value: object) -> str:
    """Write a text as Python, JavaScript, R, JSON and YAML all read it."""
    return json.dumps(value, ensure_ascii=False)


_templates = Environment(
    loader=PackageLoader("llm_hoster", "templates/status/snippets"),
    autoescape=select_autoescape(),  # Of the name's ending, which says text: the page escapes the whole.
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(quoted=quoted, shell=shlex.quote)
