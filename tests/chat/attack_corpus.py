"""What a hostile model may write, and what of it must never be in a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from llm_hoster.chat.links import leads_away
from llm_hoster.chat.markdown import ATTRIBUTES, TAGS, VALUES

CORPUS: dict[str, list[str]] = json.loads((Path(__file__).parent / "attacks.json").read_text())
ATTACKS = [(f"{kind} {number}", attack) for kind, attacks in CORPUS.items() for number, attack in enumerate(attacks)]
SET_BY_US = {"a": {"rel": "noopener noreferrer nofollow", "target": "_blank"}}


class Inspector(HTMLParser):
    """Read HTML as a browser does, and note what does not belong into a reply."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            if not self._may_have(tag, name, value or ""):
                self.faults.append(f"{tag} {name}={value}")

    def handle_comment(self, data: str) -> None:
        self.faults.append("comment")

    def handle_pi(self, data: str) -> None:
        self.faults.append("processing instruction")

    def _may_have(self, tag: str, name: str, value: str) -> bool:
        if name == "href":
            return leads_away(value)
        if name in VALUES.get(tag, {}):
            return value in VALUES[tag][name]
        if name in SET_BY_US.get(tag, {}):
            return value == SET_BY_US[tag][name]
        return name in ATTRIBUTES.get(tag, set())


def find_faults(html: str) -> list[str]:
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    return inspector.faults
