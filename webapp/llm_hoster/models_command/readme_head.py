"""What a publisher says about a model at the head of its README.md: its licence, its purpose, whether it asks first."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

README = "README.md"
# The head of the longest one known has a few kilobytes; what follows it is not read.
HEAD_BYTES_MAX = 64 * 1024
FENCE = "---"

# Names of licences at the hub that are not simply words with hyphens between them.
LICENCES = {
    "apache-2.0": "Apache 2.0",
    "mit": "MIT",
    "gemma": "Gemma",
    "openrail": "OpenRAIL",
    "bigscience-openrail-m": "OpenRAIL-M",
    "bigcode-openrail-m": "OpenRAIL-M",
    "llama2": "Llama 2",
    "llama3": "Llama 3",
    "llama3.1": "Llama 3.1",
    "llama3.2": "Llama 3.2",
    "llama3.3": "Llama 3.3",
    "llama4": "Llama 4",
    "cc-by-4.0": "CC BY 4.0",
    "cc-by-nc-4.0": "CC BY-NC 4.0",
    "cc-by-nc-sa-4.0": "CC BY-NC-SA 4.0",
    "cc-by-sa-4.0": "CC BY-SA 4.0",
    "cc0-1.0": "CC0 1.0",
}
UNKNOWN_LICENCE = "unknown, look it up"
ASK_FIRST = "ask first"
# What may stand in a name of a licence: it comes from anywhere and goes into the form.
NOT_IN_A_LICENCE = re.compile(r"[^A-Za-z0-9 ._+()-]+")
LICENCE_LENGTH_MAX = 60


@dataclass(frozen=True)
class ReadmeHead:
    """`licence` is the hub's word for it, "" where the README has none. `is_gated`: people must accept terms."""

    licence: str = ""
    is_gated: bool = False
    pipeline_tag: str = ""
    library_name: str = ""


def read_head(readme: bytes) -> ReadmeHead:
    """Read the fields at the head; a README without them, or whose head is broken or too long, says nothing."""
    fields = _fields(readme[:HEAD_BYTES_MAX].decode("utf-8", errors="replace"))
    licence = fields.get("license", "")
    if licence in ("", "other"):
        licence = fields.get("license_name", licence)
    return ReadmeHead(
        licence=licence,
        is_gated=any(name.startswith("extra_gated_") for name in fields),
        pipeline_tag=fields.get("pipeline_tag", ""),
        library_name=fields.get("library_name", ""),
    )


def licence_words(licence: str, *, is_gated: bool) -> str:
    """Write a licence as models.yml does: in a few words, with "ask first" for models whose terms must be accepted."""
    known = LICENCES.get(licence.lower())
    words = known or NOT_IN_A_LICENCE.sub(" ", licence).replace("-", " ").replace("_", " ")
    words = " ".join((known or words).split())[:LICENCE_LENGTH_MAX].strip()
    if words.lower() in ("", "other", "unknown"):
        words = UNKNOWN_LICENCE
    return f"{words}, {ASK_FIRST}" if is_gated else words


def _fields(readme: str) -> dict[str, str]:
    """Give the plain values of the head. It is only parsed, never built: no alias is followed, no object made."""
    first, *lines = (line.rstrip() for line in readme.removeprefix("\ufeff").split("\n"))
    if first != FENCE or FENCE not in lines:
        return {}
    head = "\n".join(lines[: lines.index(FENCE)])
    try:
        node = yaml.compose(head, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return {}
    if not isinstance(node, yaml.MappingNode):
        return {}
    fields = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            fields[key.value] = _text(value)
    return fields


def _text(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        node = node.value[0] if node.value else node
    return node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
