"""Where the model begins to read a conversation: what stands above a cut it no longer reads, or as a summary only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from llm_hoster.chat.message import Message

# Two messages and not a system prompt: every chat template takes these, and one that is already there stays as it is.
SUMMARY = "This is a summary of our conversation so far:\n\n{summary}"
TAKEN = "I have read the summary, and go on from there."


@dataclass(frozen=True)
class Cut:
    """
    It stands after the message `after`; where that is empty, before the first one.

    A message and not a number: a branch that has the message has the cut, and all others are left alone.
    `former_id` is the conversation that was summarised, where that is another one.
    """

    after: str
    summary: str = ""
    former_id: str = ""


@dataclass(frozen=True)
class Cuts:
    """Of one conversation. What the engine counted before `changed_at`, in Unix seconds, tells nothing any more."""

    cuts: tuple[Cut, ...] = ()
    changed_at: float = 0.0

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Cuts:
        """Read those in a conversation's settings; an imported history may come from anybody."""
        values = settings.get("context")
        if not isinstance(values, dict):
            return cls()
        listed, changed_at = values.get("cuts"), values.get("changed_at")
        return cls(
            cuts=tuple(cut for each in (listed if isinstance(listed, list) else []) if (cut := _cut_of(each))),
            changed_at=changed_at if isinstance(changed_at, float) else 0.0,
        )

    def to_json(self) -> dict[str, Any]:
        """Give what stands in the settings beside all else."""
        return {"context": {"cuts": [asdict(cut) for cut in self.cuts], "changed_at": self.changed_at}}

    def with_cut(self, cut: Cut) -> Cuts:
        return Cuts((*self.without(cut.after).cuts, cut), time.time())

    def without(self, after: str) -> Cuts:
        return Cuts(tuple(cut for cut in self.cuts if cut.after != after), time.time())

    def renamed(self, ids: Mapping[str, str]) -> Cuts:
        """Give them for a conversation whose messages have other ids here."""
        return Cuts(tuple(replace(cut, after=ids.get(cut.after, cut.after)) for cut in self.cuts), self.changed_at)

    def on(self, branch: Sequence[Message]) -> Cut | None:
        """Give the last one that is on a branch."""
        places = {"": -1} | {message.id: place for place, message in enumerate(branch)}
        found = [cut for cut in self.cuts if cut.after in places]
        return max(found, key=lambda cut: places[cut.after], default=None)

    def read_part(self, branch: list[Message]) -> list[Message]:
        """Give what the model reads of a branch, with the summary before it as if the two had talked about it."""
        cut = self.on(branch)
        if cut is None:
            return branch
        rest = below(branch, cut)
        if not cut.summary:
            return rest
        question = Message("", "user", SUMMARY.format(summary=cut.summary), created_at=0.0)
        return [question, Message("", "assistant", TAKEN, created_at=0.0), *rest]


def below(branch: list[Message], cut: Cut | None) -> list[Message]:
    """Give the messages after a cut of this branch."""
    if cut is None or not cut.after:
        return branch
    return branch[[message.id for message in branch].index(cut.after) + 1 :]


def _cut_of(value: Any) -> Cut | None:
    if not isinstance(value, dict):
        return None
    texts = [value.get(name, "") for name in ("after", "summary", "former_id")]
    return Cut(*texts) if all(isinstance(text, str) for text in texts) else None
