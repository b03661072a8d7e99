"""The command `llm-hoster launch`."""

from __future__ import annotations

import json
import shlex
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from llm_hoster.catalogue.app_dir import find_own_app_dir
from llm_hoster.catalogue.app_names import GPU_TYPE, MODEL, PRESET, QUANTIZATION
from llm_hoster.catalogue.choice import FormValues
from llm_hoster.client.session_files import ENDPOINT_FILE
from llm_hoster.engine.job.submission import sbatch_arguments, sbatch_input, submit
from llm_hoster.errors import SessionError
from llm_hoster.launch_command.app_files import AppFiles, read_app
from llm_hoster.launch_command.form_values import form_values
from llm_hoster.launch_command.slurm_options import script_options
from llm_hoster.launch_command.staging import StagedFiles, stage
from llm_hoster.launch_command.summary import summary
from llm_hoster.launch_command.typed_fit import typed_fit
from llm_hoster.launch_command.waiting import StartUp
from llm_hoster.own_sessions import OwnSession, command_line_output
from llm_hoster.session import Session
from llm_hoster.status_command.text import clean, seconds_in_words


@click.command()
@click.option("--model", type=MODEL, help="A model of the form, a Hugging Face id (owner/name), or a folder.")
@click.option("--gpu", "--gpu-type", "gpu_type", type=GPU_TYPE, help="A GPU type of the form.")
@click.option("--num-gpus", help="How many of them.")
@click.option("--hours", "bc_num_hours", help="For how long; the session ends then.")
@click.option("--account", help="The allocation that pays; default: the one that Slurm takes.")
@click.option("--qos", help="The queue; default: the first that allows the hours and GPUs.")
@click.option("--reservation", help="The name of GPUs that are kept for a course or a group.")
@click.option("--context-length", help="Tokens of one conversation, or auto.")
@click.option("--quantization", type=QUANTIZATION, help="As in the form.")
@click.option("--preset", type=PRESET, help="As in the form.")
@click.option("--lora-folder", help="A folder with fine-tuned adapters for the model.")
@click.option("--idle-minutes", help="End the session when nobody has asked anything for so long; 0 = never.")
@click.option("--chain", "chain_length", help="Sessions in a row.")
@click.option("--email", "wants_email", is_flag=True, help="Have an e-mail sent when the session starts.")
@click.option(
    "--app", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Default: the app of this site."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Submit nothing; print sbatch's arguments and the job's script.")
@click.option("--wait", is_flag=True, help="Follow the start until the model answers.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), help="With --wait: seconds, else for ever.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object alone.")
def launch(
    app: Path | None,
    yes: bool,
    dry_run: bool,
    wait: bool,
    timeout_s: float | None,
    as_json: bool,
    wants_email: bool,
    **given: str | None,
) -> None:
    """
    Start a session without the portal: the form's choices, checks and price, then Slurm's sbatch.

    What is not given is as the form has it. The session is one like those of the portal, for llm-hoster status, logs
    and stop and for scripts; only the portal shows no card for it.
    """
    if timeout_s is not None and not wait:
        raise click.UsageError("--timeout is for --wait.")
    files = read_app(app or find_own_app_dir())
    prepared = _prepare(files, form_values(files, given), wants_email=wants_email)
    if dry_run:
        click.echo(json.dumps(prepared.dry_document(), indent=2) if as_json else prepared.dry_text())
        return
    click.echo(prepared.text(), err=as_json)
    if not yes:
        click.confirm("Launch it?", abort=True, err=as_json)
    job_id = _submit(prepared.staged)
    began_at = time.monotonic()
    session = OwnSession(prepared.staged.folder)
    document = prepared.document() | {"job_id": job_id}
    click.echo(f"Session {session.id} is submitted as job {job_id}.", err=as_json)
    if wait:
        engine = StartUp(session, timeout_s).wait()
        document |= {"state": engine["state"], "base_url": session.endpoint.base_url if session.endpoint else None}
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif wait:
        click.echo(f"{prepared.session.model.title} answers after {seconds_in_words(time.monotonic() - began_at)}.")
        click.echo(_next_steps(session, document["base_url"]))
    else:
        click.echo(_next_steps(session, None))


@dataclass(frozen=True)
class Prepared:
    """A launch that was checked, and that nobody has submitted yet."""

    session: Session
    facts: list[tuple[str, str]]
    staged: StagedFiles

    def text(self) -> str:
        return "\n".join(clean(f"{title + ':':<9} {text}") for title, text in self.facts)

    def document(self) -> dict[str, Any]:
        session = self.session
        return {
            "session_id": self.staged.folder.name,
            "folder": str(self.staged.folder),
            "model": session.model.name,
            "gpu_type": session.gpu_type.name,
            "num_gpus": session.num_gpus,
            "hours": session.hours,
            "su_per_hour": session.qos.su_per_hour,
            "su_estimate": session.su_estimate * session.chain_length,
            "facts": dict(self.facts),
        }

    @property
    def command(self) -> list[str]:
        return ["sbatch", *sbatch_arguments(self.staged.options)]

    def dry_document(self) -> dict[str, Any]:
        return self.document() | {"command": self.command, "script": sbatch_input(self.staged.script)}

    def dry_text(self) -> str:
        return f"{self.text()}\n\n{shlex.join(self.command)}\n\n{sbatch_input(self.staged.script)}"


def _prepare(app: AppFiles, values: FormValues, *, wants_email: bool) -> Prepared:
    """Raise ChoiceError with the form's own sentence."""
    session = Session.from_context(app.catalogue, vars(values))
    facts = summary(session, typed_fit(session) if session.is_typed else "")
    options = script_options(session) | ({"email_on_started": True} if wants_email else {})
    return Prepared(session, facts, stage(app, values, options, command_line_output() / str(uuid.uuid4())))


def _submit(staged: StagedFiles) -> str:
    staged.write()
    try:
        return submit(staged.folder)
    except SessionError:
        staged.remove()
        raise


def _next_steps(session: OwnSession, base_url: str | None) -> str:
    short = session.id[:8]
    lines = [f"Address:  {base_url}"] if base_url else [f"Follow:   llm-hoster status {short}"]
    return "\n".join(
        [
            *lines,
            f"Key:      {session.folder / ENDPOINT_FILE}" + ("" if base_url else ", when its job has begun"),
            f"Logs:     llm-hoster logs {short}",
            f"End it:   llm-hoster stop {short}",
        ]
    )
