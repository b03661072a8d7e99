"""Lines of the job's own log, output.log in the session's folder."""

from __future__ import annotations

import time


def say(part: str, sentence: str) -> None:
    """Print time, part and sentence; no secret may be in it."""
    print(f"{time.strftime('%F %T')} {part}: {sentence}", flush=True)
