"""The job script, run for real by bash in a folder with a space and quotes in its name."""

from __future__ import annotations

import shlex
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.job_script import job_script

RunJob = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / 'it\'s a "folder"'
    path.mkdir()
    return path


@pytest.fixture
def run_job(folder: Path) -> RunJob:
    """Write before.sh, script.sh, after.sh (and clean.sh) and run the job to its end."""

    def run(options: dict[str, Any] | None = None, **files: str) -> subprocess.CompletedProcess[str]:
        for name, text in ({"script": "true"} | files).items():
            path = folder / f"{name}.sh"
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(0o755)
        content = job_script(folder, options or {})
        return subprocess.run(
            ["bash"], input=content, capture_output=True, text=True, timeout=60, start_new_session=True, cwd="/"
        )

    return run


def test_the_parts_run_in_ondemands_order(run_job: RunJob) -> None:
    after = 'wait "$SCRIPT_PID"; echo after'
    done = run_job(before="echo before", script="echo script", after=after, clean="echo clean")
    assert [line for line in done.stdout.splitlines() if not line.endswith("...")] == [
        "before",
        "script",
        "after",
        "clean",
    ]
    assert done.stdout.index("after") < done.stdout.index("Generating connection YAML file...")
    assert done.returncode == 0


def test_the_connection_is_written_after_after_and_for_the_owner_alone(run_job: RunJob, folder: Path) -> None:
    run_job({"conn_params": ["card"]}, before="port=99 password=pw", after="card=abc=")
    lines = (folder / "connection.yml").read_text().splitlines()
    host = subprocess.run(["hostname"], capture_output=True, text=True).stdout.strip()
    assert lines == ["card: abc=", f"host: {host}", "port: 99", "password: pw"]
    assert stat.S_IMODE((folder / "connection.yml").stat().st_mode) == 0o600


def test_all_parts_run_in_the_sessions_folder(run_job: RunJob, folder: Path) -> None:
    done = run_job(before="pwd", script="pwd", after="wait $SCRIPT_PID; pwd")
    assert done.stdout.count(f"{folder}\n") == 3


def test_the_script_gets_host_and_port_but_not_the_password(run_job: RunJob) -> None:
    script = 'echo "[$host] [$port] [${password-none}]"'
    done = run_job({"set_host": "host=node7"}, before="port=42; password=pw", script=script)
    assert "[node7] [42] [none]" in done.stdout


def test_a_failing_line_or_return_in_before_is_passed_over(run_job: RunJob, folder: Path) -> None:
    assert run_job(before="false\nreturn 5").returncode == 0
    assert (folder / "connection.yml").exists()


def test_exit_in_before_ends_the_job_without_a_connection(run_job: RunJob, folder: Path) -> None:
    assert run_job(before="exit 3").returncode == 3
    assert not (folder / "connection.yml").exists()


def test_a_script_that_fails_makes_the_job_fail_after_cleaning_up(run_job: RunJob) -> None:
    done = run_job(script="exit 9", clean="echo clean")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == ["Cleaning up...", "clean"]


def test_after_can_end_a_job_whose_script_died_at_once(run_job: RunJob, folder: Path) -> None:
    after = 'while kill -0 "$SCRIPT_PID" 2> /dev/null; do sleep 0.1; done; echo "it died"; clean_up 1'
    began = time.monotonic()
    done = run_job(script="sleep 1; exit 1", after=after)
    assert done.returncode == 1
    assert "it died" in done.stdout
    assert not (folder / "connection.yml").exists()
    assert time.monotonic() - began < 10


def test_clean_up_ends_the_scripts_children_but_not_their_children(run_job: RunJob, folder: Path) -> None:
    script = 'bash -c "sleep 87 &> sleep.log & echo \\$! > grandchild; wait" & echo $! > child; wait'
    run_job(script=script, after="while [[ ! -s grandchild ]]; do sleep 0.05; done; clean_up 1")
    child, grandchild = (int((folder / name).read_text()) for name in ("child", "grandchild"))
    time.sleep(0.2)
    assert not Path(f"/proc/{child}").exists()
    assert Path(f"/proc/{grandchild}").exists()
    subprocess.run(["kill", str(grandchild)], check=True)


def test_a_time_out_of_the_app_ends_its_script(run_job: RunJob) -> None:
    began = time.monotonic()
    assert run_job({"timeout": 1}, script="sleep 30").returncode == 1
    assert time.monotonic() - began < 10


def test_header_wrapper_and_footer_stand_around_the_script(run_job: RunJob) -> None:
    options = {"header": "echo header", "script_wrapper": "echo 100%%\n(\n%s\n)\n", "footer": "echo footer"}
    lines = run_job(options).stdout.splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("header", "100%", "footer")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("create_passwd 32 | wc -c", "32", id="create_passwd takes a length"),
        pytest.param("create_passwd | wc -c", "8", id="create_passwd makes 8 by default"),
        pytest.param("create_passwd 500 | tr -d a-zA-Z0-9", "", id="create_passwd takes letters and digits"),
        pytest.param("random_number 5 5", "5", id="random_number includes its ends"),
        pytest.param("find_port localhost 9 9", "9", id="find_port takes a range"),
        pytest.param("port_used 9; echo $?", "1", id="port_used says no"),
        pytest.param("wait_until_port_used localhost:9 1; echo $?", "1", id="wait_until_port_used gives up"),
        pytest.param("source_helpers; type -t find_port", "function", id="source_helpers defines them again"),
    ],
)
def test_the_helpers_work_in_the_script(run_job: RunJob, folder: Path, line: str, expected: str) -> None:
    run_job(script=f"{{ {line}; }} > result")
    assert (folder / "result").read_text().strip() == expected


def test_the_job_waits_for_a_port(run_job: RunJob) -> None:
    server = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    script = f"python3 -c {shlex.quote(server + '; time.sleep(1)')} > port_number"
    after = """
        while [[ ! -s port_number ]]; do sleep 0.1; done
        wait_until_port_used "127.0.0.1:$(<port_number)" 5
        echo "= $?"
    """
    assert "= 0" in run_job(script=script, after=after).stdout
