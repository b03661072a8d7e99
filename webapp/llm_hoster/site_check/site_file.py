"""site.yml with the place of every value, so that a finding can name the line and write it anew."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path

import yaml

from llm_hoster.catalogue.document import Document, Location
from llm_hoster.catalogue.site import Site, check_site
from llm_hoster.site_check.finding import Finding, Kind


class SiteFile:
    """A site.yml without faults; those that it has are raised as ConfigError, as `configure` tells them."""

    def __init__(self, path: Path) -> None:
        document = Document(path, Site)
        check_site(document)
        self.path = path
        self.site = document.require()
        text = path.read_text(encoding="utf-8")
        self._lines = text.splitlines()
        self._nodes: dict[Location, yaml.Node] = {}
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        assert root is not None  # noqa: S101 - the document was checked
        self._collect(root, ())

    def finding(
        self,
        location: Location,
        expected: str,
        *,
        new: object = None,
        kind: Kind = "change",
    ) -> Finding:
        """Hold what is written at `location` against what was expected; `new` is the value to write there."""
        node = self._nodes.get(location)
        if node is None:
            return self._missing(location, expected, new, kind)
        return Finding(
            kind=kind,
            expected=expected,
            file=str(self.path),
            line=node.start_mark.line + 1,
            field=_spell(location),
            found=self._source(node),
            proposal=None if new is None else self._rewritten(node, new),
        )

    def _missing(self, location: Location, expected: str, new: object, kind: Kind) -> Finding:
        above = location[:-1]
        while above not in self._nodes:
            above = above[:-1]
        return Finding(
            kind=kind,
            expected=expected,
            file=str(self.path),
            line=self._nodes[above].start_mark.line + 1,
            field=_spell(location),
            found="nothing",
            proposal=None if new is None else f"{location[-1]}: {_yaml(new)}",
        )

    def _source(self, node: yaml.Node) -> str:
        if node.start_mark.line != node.end_mark.line:
            return "what stands there"
        return self._lines[node.start_mark.line][node.start_mark.column : node.end_mark.column]

    def _rewritten(self, node: yaml.Node, new: object) -> str | None:
        if node.start_mark.line != node.end_mark.line:
            return None
        line = self._lines[node.start_mark.line]
        return (line[: node.start_mark.column] + _yaml(new) + line[node.end_mark.column :]).strip()

    def _collect(self, node: yaml.Node, location: Location) -> None:
        self._nodes[location] = node
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._collect(value, (*location, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._collect(item, (*location, index))


def nearest(name: str, names: list[str]) -> str | None:
    """Give the name that was probably meant: a similar one, or the only one there is."""
    similar = get_close_matches(name, names, n=1, cutoff=0.5)
    return similar[0] if similar else names[0] if len(names) == 1 else None


def _yaml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _spell(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
