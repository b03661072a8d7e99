"""Lines of the job's own log, output.log in the session's folder."""

from __future__ import annotations

import contextlib
import time


def say(part: str, sentence: str) -> None:
    """Print time, part and sentence; no secret may be in it."""
    with contextlib.suppress(OSError):  # A full home folder must not end the session.
        print(f"{time.strftime('%F %T')} {part}: {sentence}", flush=True)
