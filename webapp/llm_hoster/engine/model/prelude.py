"""What must be done, or be up, before vLLM starts: a download, the copy to a local disk, Ray on the other nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from llm_hoster.engine.failures.failure import Failure
from llm_hoster.engine.process.child import Child


class Prelude(Protocol):
    """
    One step before vLLM's own. The supervisor's thread calls everything here.

    What must stay up as long as vLLM (Ray) has `is_done` True and living children, and sets `failure` when one dies.
    """

    @property
    def name(self) -> str:
        """The step's name."""

    @property
    def title(self) -> str:
        """The step in words, such as "Download the model"; empty for what takes no time worth a step."""

    @property
    def detail(self) -> str:
        """How far it is, in words, such as "3.1 of 15.0 GiB, 120 MB/s"; empty where there is nothing to say."""

    @property
    def children(self) -> Sequence[Child]:
        """All processes started so far: the supervisor ends their groups with the engine's."""

    @property
    def is_done(self) -> bool:
        """Whether the next prelude, or vLLM, may start."""

    @property
    def failure(self) -> Failure | None:
        """Why it cannot go on; also after it was done."""

    def start(self, notify: Callable[[], None]) -> None:
        """Begin; raise OSError when a program is not there. `notify` may be called from any thread."""

    def look(self) -> None:
        """Take over news; called after each `notify` and at least once a second until it is done."""


class SilentPrelude:
    """One that takes no time worth a step, and has no news."""

    title = ""
    detail = ""
    children: Sequence[Child] = ()
    is_done = False
    failure: Failure | None = None

    def look(self) -> None:
        """There is nothing to take over."""
