"""What is told of an import: while it runs and afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from llm_hoster.chat.exchange.placing import Placed
from llm_hoster.chat.exchange.remark import Ending, Remark


@dataclass
class Tally:
    """`ending` is why the rest of the file was not read; None where all was."""

    placed: Counter[Placed] = field(default_factory=Counter)
    messages: int = 0
    remarks: Counter[Remark] = field(default_factory=Counter)
    ending: Ending | None = None

    @property
    def added(self) -> int:
        return self.placed[Placed.ADDED]

    @property
    def sentences(self) -> list[str]:
        """Say all that is worth a sentence, the good news first."""
        told = [
            (self.added, "1 chat came in.", "{} chats came in."),
            (
                self.placed[Placed.CHANGED],
                "1 chat was here already and got what was new.",
                "{} chats were here already and got what was new.",
            ),
            (
                self.placed[Placed.KNOWN],
                "1 chat was here already, with all that the file has of it.",
                "{} chats were here already, with all that the file has of them.",
            ),
        ]
        sentences = [(one if count == 1 else several).format(f"{count:,}") for count, one, several in told if count]
        if not sentences and self.ending is None:
            sentences.append("No chat came in.")
        return sentences

    @property
    def remark_sentences(self) -> list[str]:
        """Say what was left out or repaired, and why."""
        return [remark.sentence(self.remarks[remark]) for remark in Remark if self.remarks[remark]]
