"""The job of the next session in a row: its folder, made from our own, and its way into Slurm's queue."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from llm_hoster.client.session_files import STAGED_FILE
from llm_hoster.engine.job import submission
from llm_hoster.engine.job.submission import OPTIONS, SCRIPT
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import SessionError

# What OnDemand's script runs, the login's secret, and what the card's relaunch reads. The rest is of our own run.
COPIED = ("before.sh", "script.sh", "after.sh", "clean.sh", "secret", "user_defined_context.json")


def next_folder(folder: Path, place: int) -> Path:
    """Give the folder of the session after the one at `place`: ID-2 beside ID, ID-3 beside ID-2."""
    name = folder.name.removesuffix(f"-{place}") if place > 1 else folder.name
    return folder.with_name(f"{name}-{place + 1}")


def stage_next(folder: Path, new: Path) -> None:
    """Make the next session's folder but for its session.json; raise SessionError when it cannot be."""
    try:
        new.mkdir(mode=0o700)
        for name in COPIED:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        (new / "script.sh").chmod(0o700)
        script = (folder / SCRIPT).read_text()
        if f"/{folder.name}" not in script:
            raise SessionError(f"{folder / SCRIPT} does not name its folder, so it cannot be changed to the next one.")
        replace_file(new / SCRIPT, script.replace(f"/{folder.name}", f"/{new.name}"))
        options = json.loads((folder / OPTIONS).read_bytes())
        replace_file(new / OPTIONS, json.dumps(options | {"workdir": str(_workdir(folder, new, options))}))
    except (OSError, ValueError, TypeError) as error:
        raise SessionError(f"The folder {new} cannot be made: {error}.") from error


def write_session(folder: Path, new: Path, values: Mapping[str, str], chain_length: int) -> None:
    """Write the next one's session.json: what was chosen, and what was changed since. Raise SessionError."""
    try:
        document = json.loads((folder / STAGED_FILE).read_bytes())
        context = document["context"] | dict(values) | {"chain_length": str(chain_length)}
        # `context` stays the first: that is how our session.json is told from those of other apps.
        replace_file(new / STAGED_FILE, json.dumps({"context": context, "catalogue": document["catalogue"]}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SessionError(f"{new / STAGED_FILE} cannot be written: {error}.") from error


def submit(new: Path, after_job: str, after_minutes: int) -> str:
    """Put it into the queue, to start so many minutes after the start of our job; give its number."""
    # Slurm refuses a +0.
    delay = f"+{after_minutes}" if after_minutes else ""
    return submission.submit(new, f"--dependency=after:{after_job}{delay}")


def _workdir(folder: Path, new: Path, options: Mapping[str, object]) -> Path:
    """Keep the path by which the portal knows it: the home folder may be a link, another one on each node."""
    known = Path(str(options["workdir"]))
    return known.with_name(new.name) if known.name == folder.name else new
