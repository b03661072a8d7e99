"""`llm-hoster launch` up to sbatch, a small program here. tests/ood compares it with the portal's Launch."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llm_hoster.engine.chain.next_job import stage_next
from llm_hoster.errors import ChoiceError, ConfigError, NotReadyError, SessionError
from llm_hoster.launch_command import waiting
from llm_hoster.launch_command.command import launch
from llm_hoster.own_sessions import OwnSession, own_sessions
from llm_hoster.status.relaunch import relaunch_path
from tests.command_line.conftest import Program
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.usefixtures("home", "app")
SBATCH = 'printf "%s\\n" "$@" >"$HOME/arguments"; cat >"$HOME/script"; env >"$HOME/environment"; echo 41'


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(launch, arguments, input=answer)


def staged() -> list[OwnSession]:
    return own_sessions()


def test_it_shows_fit_and_price_asks_and_submits(home: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.setenv("SBATCH_PARTITION", "somewhere-else")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    program("sbatch", SBATCH)
    result = run("--hours", "3", "--account", "lab", "--email", answer="y\n")
    assert result.exit_code == 0, result.output
    [session] = staged()

    assert "Fits:     Tiny model on 1 x No GPU." in result.output
    assert "Price:    2.0 SU an hour, 6.0 SU for 3 hours" in result.output
    assert "Launch it? [y/N]" in result.output
    assert f"Session {session.id} is submitted as job 41." in result.output
    assert f"llm-hoster stop {session.id[:8]}" in result.output
    arguments = (home / "arguments").read_text().splitlines()
    assert arguments == [
        "--chdir", str(session.folder), "--output", "output.log", "--job-name", "llm-hoster", "--account", "lab",
        "--mail-type", "BEGIN", "--time", "180", "--export", "NONE", "--partition=all", "--nodes=1",
        "--ntasks-per-node=1", "--cpus-per-task=2", "--mem=8G", "--no-requeue", "--parsable",
    ]  # fmt: skip
    assert (home / "script").read_text() == f"#!/bin/bash\n{(session.folder / 'job_script_content.sh').read_text()}"
    environment = (home / "environment").read_text()
    assert "SBATCH_PARTITION" not in environment
    assert "SLURM_JOB_ID" not in environment


def test_the_folder_is_where_own_sessions_are_and_for_the_owner_alone(home: Path, program: Program) -> None:
    home.mkdir()
    program("sbatch", SBATCH)
    document = json.loads(run("--yes", "--json").stdout)
    [session] = staged()
    assert document["folder"] == str(session.folder)
    assert session.folder.parent == home / "ondemand/data/sys/dashboard/batch_connect/command_line/output"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (session.folder, session.folder.parent)} == {0o700}
    assert (document["job_id"], document["session_id"]) == ("41", session.id)
    assert session.is_on_a_card  # The portal has no record of it, and that is no sign of its end.
    assert relaunch_path(session.folder) is None  # Nor a form with its choices.


def test_the_next_session_of_a_row_can_be_made_from_it(home: Path, program: Program) -> None:
    home.mkdir()
    program("sbatch", SBATCH)
    folder = Path(json.loads(run("--yes", "--json").stdout)["folder"])
    new = folder.with_name(f"{folder.name}-2")
    stage_next(folder, new)
    assert f"cd {new} " in (new / "job_script_content.sh").read_text()
    assert json.loads((new / "job_script_options.json").read_text())["workdir"] == str(new)


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "no answer"])
def test_without_a_yes_nothing_is_submitted(program: Program, home: Path, answer: str) -> None:
    home.mkdir()
    program("sbatch", SBATCH)
    assert run(answer=answer).exit_code == 1
    assert not (home / "arguments").exists()
    assert staged() == []


def test_what_slurm_refuses_leaves_nothing(program: Program) -> None:
    program("sbatch", 'echo "sbatch: error: Invalid account" >&2; exit 1')
    result = run("--yes")
    assert isinstance(result.exception, SessionError)
    assert str(result.exception) == "Slurm refused it: sbatch: error: Invalid account"
    assert staged() == []


def test_a_dry_run_prints_the_command_and_the_script_and_leaves_nothing(program: Program, home: Path) -> None:
    program("sbatch", "exit 1")
    document: dict[str, Any] = json.loads(run("--dry-run", "--json").stdout)
    assert document["command"][:2] == ["sbatch", "--chdir"]
    assert document["script"].startswith("#!/bin/bash\n")
    assert document["su_estimate"] == 2.0
    text = run("--dry-run").stdout
    assert "sbatch --chdir" in text
    assert "source ./before.sh" in text
    assert not home.exists()


def test_titles_are_taken_as_well_as_names() -> None:
    """The sentences that refuse name titles."""
    document = json.loads(run("--dry-run", "--json", "--model", "tiny MODEL", "--gpu", "No GPU").stdout)
    assert (document["model"], document["gpu_type"]) == ("tiny", "cpu")


@pytest.mark.parametrize("model", ["Qwen/Qwen3-8B", "/models/of the lab"])
def test_a_model_that_is_not_in_the_form_is_typed(model: str, program: Program, home: Path) -> None:
    home.mkdir()
    program("sbatch", SBATCH)
    result = run("--yes", "--model", model)
    assert result.exit_code == 0, result.output
    assert f"Model:    {model} on 1 x No GPU." in result.output
    assert staged()[0].context() | {"model": "other", "typed_model": model} == staged()[0].context()


def test_nothing_of_it_is_in_the_script(program: Program, home: Path) -> None:
    home.mkdir()
    program("sbatch", SBATCH)
    assert run("--yes", "--model", "/$(touch x)`touch x`", "--lora-folder", "/';touch x;'").exit_code == 0
    assert "touch" not in (home / "script").read_text() + (home / "arguments").read_text()


def test_what_is_not_utf8_is_refused_before_anything_is_made(program: Program, home: Path) -> None:
    program("sbatch", SBATCH)
    result = run("--yes", "--lora-folder", os.fsdecode(b"/\xff"))
    assert isinstance(result.exception, ChoiceError), result.output
    assert not home.exists()


def test_a_stale_app_is_refused(app: Path) -> None:
    site = app / "config" / "sites" / "local.yml"
    site.write_text(site.read_text() + "# changed\n")
    with pytest.raises(ConfigError, match=r"form\.yml is older than config/sites/local\.yml: run llm-hoster configure"):
        CliRunner().invoke(launch, ["--dry-run"], catch_exceptions=False)


def test_a_form_that_was_edited_is_refused(app: Path) -> None:
    form = app / "form.yml"
    form.write_text(form.read_text().replace('value: "1"', 'value: "2"', 1))
    with pytest.raises(ConfigError, match=r"is not the one that belongs to catalogue\.json"):
        CliRunner().invoke(launch, ["--dry-run"], catch_exceptions=False)


def test_the_current_folder_is_no_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: Path) -> None:
    """What a stranger has laid where somebody works must not become a job of theirs."""
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("manifest.yml", "catalogue.json"):
        (trap / name).write_bytes((app / name).read_bytes() if (app / name).exists() else b"")
    monkeypatch.chdir(trap)
    monkeypatch.delenv("LLM_HOSTER_APP")
    result = run("--dry-run", "--model", "tiny")
    assert isinstance(result.exception, ChoiceError), result.output  # That of the checkout has other models.
    monkeypatch.setenv("LLM_HOSTER_APP", str(tmp_path / "nowhere"))
    assert "holds no manifest.yml" in str(run("--dry-run").exception)


def test_a_session_that_is_not_ready_in_time_goes_on(program: Program, home: Path) -> None:
    home.mkdir()
    program("sbatch", SBATCH)
    program("squeue", "exit 1")
    result = run("--yes", "--wait", "--timeout", "0")
    assert isinstance(result.exception, NotReadyError), result.output
    assert result.exception.exit_status == 4
    assert len(staged()) == 1


def test_a_job_that_left_the_queue_is_no_longer_waited_for(program: Program, tmp_path: Path) -> None:
    program("squeue", "true")
    session = OwnSession(tmp_path)
    with pytest.raises(SessionError, match="has left Slurm's queue without a word"):
        waiting.StartUp(session, None, poll_s=0.01, slurm_poll_s=0.01).wait()


def test_a_job_in_the_queue_is_told_with_its_reason(
    program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("squeue", f"echo '41|PENDING|Priority||2030-01-02T03:04:05|{tmp_path}'")
    with pytest.raises(NotReadyError):
        waiting.StartUp(OwnSession(tmp_path), 0.1, poll_s=0.01, slurm_poll_s=0.01).wait()
    waits = "Waiting in the queue (Priority, expected to start at 2030-01-02T03:04:05)\n"
    assert capsys.readouterr().err == waits


def test_the_job_script_is_sound() -> None:
    script = REPOSITORY / "webapp" / "llm_hoster" / "launch_command" / "job_script.sh"
    assert subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False).stdout == ""
