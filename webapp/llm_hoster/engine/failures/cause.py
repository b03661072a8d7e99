"""One known reason why vLLM ends: how its log tells it, what the person reads, and what helps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import Remedy

When = Literal["start", "serving", "any"]

# Below this no conversation makes sense, and a restart would only cost time.
CONTEXT_MIN = 512


@dataclass(frozen=True)
class Cause:
    r"""`pattern` is searched in the deciding lines; `\1` in a sentence is what its first group caught."""

    pattern: str
    sentence: str
    fix: str
    remedy: Callable[[re.Match[str]], Remedy | None] | None = None
    # Functions of vLLM, of which one must be in the error's traceback: one error means different things in each.
    within: tuple[str, ...] = ()
    when: When = "start"
    # It says that something failed, not what: other lines may know better.
    is_vague: bool = False

    def match(self, text: str, functions: frozenset[str], *, was_ready: bool) -> re.Match[str] | None:
        if self.when != "any" and (self.when == "serving") is not was_ready:
            return None
        if self.within and functions.isdisjoint(self.within):
            return None
        return re.search(self.pattern, text)

    def explain(self, match: re.Match[str]) -> str:
        return f"{match.expand(self.sentence)} {match.expand(self.fix)}"


def shorter_context(group: int) -> Callable[[re.Match[str]], Remedy | None]:
    def remedy(match: re.Match[str]) -> Remedy | None:
        tokens = int(match[group])
        if tokens < CONTEXT_MIN:
            return None
        return Remedy(f"Restart with a context of {tokens:,} tokens", Adjustment(max_model_len=tokens))

    return remedy


def fewer_conversations(group: int, *, share: int = 1) -> Callable[[re.Match[str]], Remedy | None]:
    """Offer as many conversations at once as the group says, divided by `share`."""

    def remedy(match: re.Match[str]) -> Remedy | None:
        number = int(match[group]) // share
        if number < 1:
            return None
        conversations = "1 conversation" if number == 1 else f"{number:,} conversations"
        return Remedy(f"Restart with at most {conversations} at once", Adjustment(max_num_seqs=number))

    return remedy


def without_compiling(_: re.Match[str]) -> Remedy:
    return Remedy("Restart without compiling: slower answers", Adjustment(enforce_eager=True))
