"""The job of the next session in a row: its folder, made from our own, and its way into Slurm's queue."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import SessionError

# OnDemand writes both into the folder of a session that it submits.
SCRIPT = "job_script_content.sh"
OPTIONS = "job_script_options.json"
SESSION = "session.json"
# What OnDemand's script runs, the login's secret, and what the card's relaunch reads. The rest is of our own run.
COPIED = ("before.sh", "script.sh", "after.sh", "clean.sh", "secret", "user_defined_context.json")
SBATCH_TIMEOUT_S = 60.0
# OnDemand's options that stand before its --export, each with sbatch's word for it.
FLAGS = {"reservation_id": "--reservation", "queue_name": "--partition", "accounting_id": "--account", "qos": "--qos"}


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
        document = json.loads((folder / SESSION).read_bytes())
        context = document["context"] | dict(values) | {"chain_length": str(chain_length)}
        # `context` stays the first: that is how our session.json is told from those of other apps.
        replace_file(new / SESSION, json.dumps({"context": context, "catalogue": document["catalogue"]}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SessionError(f"{new / SESSION} cannot be written: {error}.") from error


def submit(new: Path, after_job: str, after_minutes: int) -> str:
    """Put it into the queue, to start so many minutes after the start of our job; give its number."""
    try:
        options = json.loads((new / OPTIONS).read_bytes())
        # Slurm refuses a +0.
        delay = f"+{after_minutes}" if after_minutes else ""
        command = ["sbatch", f"--dependency=after:{after_job}{delay}", *sbatch_arguments(options)]
        done = subprocess.run(  # noqa: S603 - a list; its words are those with which OnDemand submitted our own job
            command,
            input=f"#!/bin/bash\n{(new / SCRIPT).read_text()}",
            env=_own_environment(),
            capture_output=True,
            text=True,
            timeout=SBATCH_TIMEOUT_S,
            check=False,
        )
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        raise SessionError(f"It cannot be submitted: {error}.") from error
    if done.returncode != 0:
        raise SessionError(f"Slurm refused it: {_last_line(done.stderr)}")
    # The number may be followed by the cluster's name, and a site's own sbatch may say more before.
    job_id = _last_line(done.stdout).partition(";")[0].strip()
    if not (job_id.isascii() and job_id.isdigit()):
        raise SessionError(f"sbatch answered {done.stdout[-60:]!r}, expected the number of a job.")
    return job_id


def sbatch_arguments(options: Mapping[str, Any]) -> list[str]:
    """Give sbatch the words that OnDemand gave it; raise KeyError or TypeError for what are no options of ours."""
    arguments = ["--chdir", str(options["workdir"]), "--output", "output.log", "--job-name", str(options["job_name"])]
    for name, flag in FLAGS.items():
        if options.get(name) is not None:
            arguments += [flag, str(options[name])]
    if options.get("email"):
        arguments += ["--mail-user", str(options["email"])]
    kinds = [kind for kind, name in (("BEGIN", "started"), ("END", "terminated")) if options.get(f"email_on_{name}")]
    if kinds:
        arguments += ["--mail-type", ",".join(kinds)]
    arguments += ["--time", str(int(options["wall_time"]) // 60)]
    for name, flag in (("gpus_per_node", "--gpus-per-node"), ("cores", "--ntasks")):
        if options.get(name) is not None:
            arguments += [flag, str(int(options[name]))]
    native = options.get("native") or []
    if not isinstance(native, list):
        raise TypeError(f"native is {native!r}, expected a list")
    return [*arguments, "--export", "NONE", *map(str, native), "--parsable"]


def _workdir(folder: Path, new: Path, options: Mapping[str, Any]) -> Path:
    """Keep the path by which the portal knows it: the home folder may be a link, another one on each node."""
    known = Path(str(options["workdir"]))
    return known.with_name(new.name) if known.name == folder.name else new


def _own_environment() -> dict[str, str]:
    """Keep what is our job's out of the next one: Slurm hands SLURM_* on, also where it hands nothing else on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    return kept | {name: value for name, value in os.environ.items() if name == "SLURM_CONF"}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1]
