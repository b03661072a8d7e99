"""A job for Slurm: its script and its options lie in the session's folder, as OnDemand leaves them there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_hoster.errors import SessionError

SCRIPT = "job_script_content.sh"
OPTIONS = "job_script_options.json"
SBATCH_TIMEOUT_S = 60.0
# OnDemand's options that stand before its --export, each with sbatch's word for it.
FLAGS = {"reservation_id": "--reservation", "queue_name": "--partition", "accounting_id": "--account", "qos": "--qos"}


def submit(folder: Path, *more: str) -> str:
    """Put the job of a folder into the queue, with `more` words for sbatch; give its number, or raise SessionError."""
    try:
        command = ["sbatch", *more, *sbatch_arguments(json.loads((folder / OPTIONS).read_bytes()))]
        done = subprocess.run(  # noqa: S603 - a list; its words are those with which OnDemand submits
            command,
            input=sbatch_input((folder / SCRIPT).read_text()),
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


def sbatch_input(script: str) -> str:
    """OnDemand's file has no first line."""
    return f"#!/bin/bash\n{script}"


def sbatch_arguments(options: Mapping[str, Any]) -> list[str]:
    """Give sbatch the words that OnDemand gives it; raise KeyError or TypeError for what are no options of ours."""
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


def _own_environment() -> dict[str, str]:
    """Keep what is of a job around us out of the new one: Slurm hands SLURM_* on, whatever --export says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    return kept | {name: value for name, value in os.environ.items() if name == "SLURM_CONF"}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1]
