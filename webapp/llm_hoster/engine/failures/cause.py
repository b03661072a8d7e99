"""One known reason why vLLM ends: how its log tells it, what the person reads, and what helps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llm_hoster.engine.failures.run_settings import RunSettings
from llm_hoster.engine.record.adjustment import SHARES, Adjustment
from llm_hoster.engine.record.state import Remedy

When = Literal["start", "serving", "any"]
# None where the log does not tell a value that may work.
MakeRemedy = Callable[[re.Match[str], RunSettings], Remedy | None]

# Below this no conversation makes sense, and a restart would only cost time.
CONTEXT_MIN = 512
# With fewer tokens in a step, a prompt takes too many steps; activations are small then, and no longer the reason.
BATCHED_TOKENS_MIN = 512
# Of the memory's share: what vLLM gives back to all that it cannot foresee.
UTILIZATION_STEP = 0.05


@dataclass(frozen=True)
class Cause:
    r"""`pattern` is searched in the deciding lines; `\1` in a sentence is what its first group caught."""

    pattern: str
    sentence: str
    fix: str
    remedy: MakeRemedy | None = None
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


def shorter_context(group: int) -> MakeRemedy:
    def remedy(match: re.Match[str], _: RunSettings) -> Remedy | None:
        tokens = int(match[group])
        if tokens < CONTEXT_MIN:
            return None
        return Remedy(f"Restart with a context of {tokens:,} tokens", Adjustment(max_model_len=tokens))

    return remedy


def fewer_conversations(group: int, *, share: int = 1) -> MakeRemedy:
    """Offer as many conversations at once as the group says, divided by `share`."""

    def remedy(match: re.Match[str], _: RunSettings) -> Remedy | None:
        number = int(match[group]) // share
        if number < 1:
            return None
        conversations = "1 conversation" if number == 1 else f"{number:,} conversations"
        return Remedy(f"Restart with at most {conversations} at once", Adjustment(max_num_seqs=number))

    return remedy


def without_compiling(_: re.Match[str], __: RunSettings) -> Remedy:
    return Remedy("Restart without compiling: slower answers", Adjustment(enforce_eager=True))


def what_is_free(of: str) -> MakeRemedy:
    """Offer the share of the memory that was free, less one or two hundredths: the others may move."""

    def remedy(_: re.Match[str], settings: RunSettings) -> Remedy | None:
        return None if settings.free_share is None else _share(math.floor(settings.free_share * 100 - 1) / 100, of)

    return remedy


def less_memory(_: re.Match[str], settings: RunSettings) -> Remedy | None:
    now = settings.gpu_memory_utilization
    return None if now is None else _share(round(now - UTILIZATION_STEP, 2), "the GPU's memory")


def half_the_tokens(_: re.Match[str], settings: RunSettings) -> Remedy | None:
    """Activations grow with the tokens of one step; vLLM refuses fewer of them than conversations."""
    tokens = (settings.max_num_batched_tokens or 0) // 2
    if tokens < max(BATCHED_TOKENS_MIN, settings.max_num_seqs or 0):
        return None
    return Remedy(f"Restart with at most {tokens:,} tokens in one step", Adjustment(max_num_batched_tokens=tokens))


def _share(share: float, of: str) -> Remedy | None:
    least, most = SHARES["gpu_memory_utilization"]
    if not least <= share <= most:
        return None
    return Remedy(f"Restart with {share:.0%} of {of}".replace("%", " %"), Adjustment(gpu_memory_utilization=share))
