"""A session's mark that it uses a model of a cache, so that `llm-hoster models prune` leaves it alone on every node."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_hoster.hub_cache import locks_of
from llm_hoster.lease import Lease, is_held

USE = "llm-hoster-use-"
USED = "llm-hoster-used"
# A session lasts hours, and its file system is that of many.
BEAT_S = 120.0


@contextmanager
def model_in_use(model: str, cache: Path) -> Iterator[None]:
    """Hold the mark. A cache that we may not write has none: whoever looks after it knows what is in use."""
    folder = locks_of(model, cache)
    lease = Lease(folder / f"{USE}{uuid.uuid4().hex}", beat_s=BEAT_S)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / USED).touch()
        for left in uses_of(folder):
            if not is_held(left):  # Its session was killed.
                left.unlink(missing_ok=True)
        lease.take()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lease.release()


def uses_of(locks: Path) -> Iterable[Path]:
    return locks.glob(f"{USE}*")
