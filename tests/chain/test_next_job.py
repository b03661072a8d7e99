"""How the next session of a row is submitted, and when a row is ended."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.chain import next_job
from llm_hoster.engine.chain.chain import is_early, overlap_minutes
from llm_hoster.engine.chain.next_job import next_folder, stage_next, write_session
from llm_hoster.engine.chain.predecessor import Predecessor, read_predecessor
from llm_hoster.engine.job.submission import sbatch_arguments
from llm_hoster.errors import SessionError
from llm_hoster.status.relaunch import relaunch_path
from portal.job_script import job_script
from tests.conftest import REPOSITORY

ID = "0b3e6f0e-1111-4222-8333-123456789012"
OPTIONS: dict[str, Any] = {
    "job_name": "ondemand/sys/dashboard/sys/llm_hoster",
    "workdir": f"/home/jo/output/{ID}",
    "output_path": "output.log",
    "wall_time": 7200,
    "native": ["--partition=gpu", "--gres=gpu:h200:1", "--no-requeue"],
    "accounting_id": "lab",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What OnDemand leaves, in a home folder with an awkward name."""
    folder = tmp_path / """jo o'neil "x" $HOME""" / ID
    folder.mkdir(parents=True)
    for name in ("before.sh", "after.sh", "script.sh", "secret", "output.log", "endpoint.json", "connection.yml"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o644)
    (folder / "script.sh").chmod(0o755)
    (folder / "job_script_content.sh").write_text(job_script(folder, {"conn_params": ["card"]}))
    (folder / "job_script_options.json").write_text(json.dumps(OPTIONS | {"workdir": str(folder)}))
    (folder / "session.json").write_text(json.dumps({"context": {"model": "a", "preset": "b"}, "catalogue": {"c": 1}}))
    return folder


@pytest.fixture(autouse=True)
def private_files() -> Any:
    """As `serve` does."""
    old = os.umask(0o077)
    yield
    os.umask(old)


def test_the_next_folder_has_the_script_for_itself_and_nothing_of_the_old_run(folder: Path) -> None:
    new = next_folder(folder, 1)
    stage_next(folder, new)
    assert new.name == f"{ID}-2"
    assert sorted(path.name for path in new.iterdir()) == [
        "after.sh", "before.sh", "job_script_content.sh", "job_script_options.json", "script.sh", "secret",
    ]  # fmt: skip
    assert (new / "job_script_content.sh").read_text() == job_script(new, {"conn_params": ["card"]})
    assert json.loads((new / "job_script_options.json").read_text())["workdir"] == str(new)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in new.iterdir()}
    assert modes.pop("script.sh") == 0o700
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(new.stat().st_mode) == 0o700
    third = next_folder(new, 2)
    stage_next(new, third)
    assert third.name == f"{ID}-3"
    assert (third / "job_script_content.sh").read_text() == job_script(third, {"conn_params": ["card"]})


@pytest.mark.parametrize(("follows", "secret"), [(True, "that of the first"), (False, "new")])
def test_before_keeps_the_secret_of_the_session_before(tmp_path: Path, follows: bool, secret: str) -> None:
    (tmp_path / "secret").write_text("that of the first")
    if follows:
        (tmp_path / "predecessor.json").write_text("{}")
    stale = [tmp_path / name for name in ("port", "card", "connection.yml", "successor.json", "next.json")]
    for path in stale:
        path.write_text("stale")
    script = f'create_passwd() {{ echo new; }}; host=n1; source "{REPOSITORY}/template/before.sh"; echo "$password"'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), (tmp_path / "secret").read_text()) == (secret, secret)
    assert [path for path in stale if path.exists()] == []


def test_the_portals_own_path_of_the_folder_is_kept(folder: Path) -> None:
    """The home folder may be a link."""
    (folder / "job_script_options.json").write_text(json.dumps(OPTIONS))
    new = next_folder(folder, 1)
    stage_next(folder, new)
    assert json.loads((new / "job_script_options.json").read_text())["workdir"] == f"/home/jo/output/{ID}-2"


@pytest.mark.parametrize("missing", ["job_script_content.sh", "job_script_options.json", "script.sh"])
def test_what_is_missing_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(SessionError, match=missing):
        stage_next(folder, next_folder(folder, 1))


def test_the_next_session_serves_what_is_served_now(folder: Path) -> None:
    new = next_folder(folder, 1)
    stage_next(folder, new)
    write_session(folder, new, {"model": "other"}, 2)
    text = (new / "session.json").read_text()
    assert json.loads(text) == {
        "context": {"model": "other", "preset": "b", "chain_length": "2"},
        "catalogue": {"c": 1},
    }
    assert text.startswith('{"context"')


def test_sbatch_gets_the_words_that_it_got_from_the_portal() -> None:
    assert sbatch_arguments(OPTIONS | {"qos": "long", "queue_name": "gpu", "reservation_id": "r", "cores": 2}) == [
        "--chdir", f"/home/jo/output/{ID}", "--output", "output.log",
        "--job-name", "ondemand/sys/dashboard/sys/llm_hoster",
        "--reservation", "r", "--partition", "gpu", "--account", "lab", "--qos", "long", "--time", "120",
        "--ntasks", "2", "--export", "NONE", "--partition=gpu", "--gres=gpu:h200:1", "--no-requeue", "--parsable",
    ]  # fmt: skip


def test_mail_is_sent_as_for_the_first() -> None:
    arguments = sbatch_arguments(OPTIONS | {"email": "a@b.c", "email_on_started": True, "email_on_terminated": False})
    assert arguments[arguments.index("--mail-user") :][:4] == ["--mail-user", "a@b.c", "--mail-type", "BEGIN"]


@pytest.mark.parametrize("native", [{"container": {}}, "x"])
def test_options_of_another_batch_system_are_no_options(folder: Path, native: object) -> None:
    (folder / "job_script_options.json").write_text(json.dumps(OPTIONS | {"native": native}))
    with pytest.raises(SessionError, match="expected a list"):
        next_job.submit(folder, "1", 1)


@pytest.mark.parametrize(
    ("start_s", "hours", "minutes"), [(1, 1, 11), (60, 24, 11), (600, 24, 20), (600, 1, 15), (7200, 24, 130)]
)
def test_the_overlap_is_the_start_and_ten_minutes_and_at_most_a_quarter(
    start_s: float, hours: int, minutes: int
) -> None:
    assert overlap_minutes(start_s, hours) == minutes


@pytest.mark.parametrize(
    ("stop_signal", "slurm_reason", "is_told", "has_successor", "left_s", "ends_the_row"),
    [
        pytest.param(signal.SIGTERM, "None", False, False, 900, True, id="deleted"),
        pytest.param(signal.SIGTERM, None, False, False, 900, True, id="deleted, and Slurm is silent"),
        pytest.param(signal.SIGTERM, "None", False, True, 300, True, id="deleted after the next has taken over"),
        pytest.param(signal.SIGTERM, "TimeLimit", False, False, 900, False, id="time limit that was shortened"),
        pytest.param(signal.SIGTERM, None, False, False, 0, False, id="time limit, and Slurm is silent"),
        pytest.param(signal.SIGTERM, "NodeDown", False, False, 900, False, id="lost node"),
        pytest.param(None, None, True, False, 900, True, id="ended from the page"),
        pytest.param(None, None, True, True, 30, True, id="ended from the page in the last minute"),
        pytest.param(None, None, False, False, 900, True, id="idle or failed"),
        pytest.param(None, None, False, True, 900, False, id="failed after the next has taken over"),
        pytest.param(None, None, False, False, 59, False, id="time limit"),
    ],
)
def test_what_ends_a_row(
    stop_signal: signal.Signals | None,
    slurm_reason: str | None,
    is_told: bool,
    has_successor: bool,
    left_s: float,
    ends_the_row: bool,
) -> None:
    early = is_early(stop_signal, slurm_reason, is_told=is_told, has_successor=has_successor, left_s=left_s)
    assert early is ends_the_row


def test_a_session_knows_all_before_it(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "a-2", "a-3")]
    for folder in folders:
        folder.mkdir()
    for place, (before, after) in enumerate(itertools.pairwise(folders), 1):
        Predecessor(str(before), str(place), place, "secret-key").write(after)
    predecessor = read_predecessor(folders[2])
    assert predecessor is not None
    assert predecessor.folders() == [folders[1], folders[0]]
    assert "secret-key" not in repr(predecessor)
    assert read_predecessor(folders[0]) is None
    # A ring cannot be, but must not hang a session.
    Predecessor(str(folders[2]), "3", 3, "k").write(folders[0])
    assert len(predecessor.folders()) == 100


def test_launching_again_from_a_later_session_takes_the_choices_of_the_first(tmp_path: Path) -> None:
    """The portal knows no other."""
    output = tmp_path / "batch_connect" / "sys" / "llm_hoster" / "output"
    for name in ("a", "a-2"):
        (output / name).mkdir(parents=True)
    Predecessor(str(output / "a"), "1", 1, "k").write(output / "a-2")
    assert relaunch_path(output / "a-2") == relaunch_path(output / "a")
