"""What a job asks Slurm's own programs. Slurm may be away for a while, so that no answer is an answer too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

SQUEUE_TIMEOUT_S = 10.0
SCANCEL_TIMEOUT_S = 5.0


def ask_job(job_id: str, what: str, *, timeout_s: float = SQUEUE_TIMEOUT_S) -> str | None:
    """Give squeue's word for one thing about a job, such as %T; None where it does not know, or does not answer."""
    # The format stands last; jobs that have just ended are known too.
    return ask(["squeue", "--noheader", "--states=all", "--jobs", job_id, "--format", what], timeout_s) or None


def cancel_job(job_id: str) -> bool:
    """Say whether Slurm took it."""
    return ask(["scancel", job_id], SCANCEL_TIMEOUT_S) is not None


def ask(command: Sequence[str], timeout_s: float = SQUEUE_TIMEOUT_S) -> str | None:
    """Give what one of Slurm's programs prints; None where it fails or is too slow."""
    try:
        done = subprocess.run(  # noqa: S603 - a list, made by us
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Keep out how a person likes times to look, which jobs to see, and to be asked before any is cancelled."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SCANCEL_"))}
    return kept | {"SLURM_TIME_FORMAT": "standard"}
