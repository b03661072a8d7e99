"""before.sh, script.sh and after.sh as the job runs them: sourced or executed, in a folder with an awkward name."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from llm_hoster.engine.record.outcome import Outcome
from tests.conftest import REPOSITORY

TEMPLATE = REPOSITORY / "template"
APP = "dev" if platform.machine() == "x86_64" else f"dev-{platform.machine()}"
RENDER = """
require "erb"
require "ostruct"
session = OpenStruct.new(app: OpenStruct.new(root: ARGV[1]))
print ERB.new(File.read(ARGV[0]), trim_mode: "-").result(binding)
"""
# What OnDemand defines before it sources ours.
HELPERS = 'create_passwd() { printf "%0${1}d" 7; }; clean_up() { echo "clean_up $1"; exit "$1"; }; host="node one"\n'


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / """a person's "home" $HOME"""
    path.mkdir(mode=0o755)
    return path


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", HELPERS + script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


def rendered_script(tmp_path, make_catalogue, prefix: str) -> Path:
    if shutil.which("ruby") is None:
        pytest.fail("Ruby is missing. Run: apt-get install ruby")
    (tmp_path / "catalogue.json").write_text(json.dumps(make_catalogue(site={"prefix": prefix})))
    text = subprocess.run(
        ["ruby", "-e", RENDER, str(TEMPLATE / "script.sh.erb"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    script = tmp_path / "script.sh"
    script.write_text(text)
    script.chmod(0o755)
    return script


def app_that_tells(prefix: Path) -> None:
    program = prefix / "app" / APP / "bin" / "llm-hoster"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/bash\necho "$0 $* ${PYTHONPATH-none} $PYTHONNOUSERSITE $USER"\n')
    program.chmod(0o755)
    (program.parent / "python").symlink_to("/bin/sh")


def assert_card_points_to_the_log(folder: Path) -> None:
    outcome = json.loads((folder / "outcome.json").read_text())
    assert set(outcome) == {field.name for field in dataclasses.fields(Outcome)}
    assert outcome["reason"].startswith("The app cannot run on this node: output.log of this session says why.")
    assert abs(outcome["ended_at"] - time.time()) < 60
    (folder / "outcome.json").unlink()


def test_before_makes_the_folder_private_and_a_secret(folder):
    run = bash(f'source "{TEMPLATE}/before.sh"; echo "$password $LLM_HOSTER_HOST"', folder)
    assert run.stdout == f"{7:032d} node one\n"
    assert (folder / "secret").read_text() == f"{7:032d}"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "secret")] == [0o700, 0o600]


def test_before_removes_what_a_former_run_left(folder):
    for name in ("port", "card", "connection.yml", "outcome.json"):
        (folder / name).write_text("stale")
    bash(f'source "{TEMPLATE}/before.sh"', folder)
    assert [path.name for path in folder.iterdir()] == ["secret"]


def test_script_becomes_the_app_of_the_sites_prefix(tmp_path, folder, make_catalogue):
    prefix = tmp_path / "soft ware's"
    app_that_tells(prefix)
    script = rendered_script(tmp_path, make_catalogue, str(prefix))
    run = bash(f'"{script}"', folder, PYTHONPATH="/somewhere", USER="ann")
    assert run.stdout == f"{prefix}/app/{APP}/bin/llm-hoster serve none 1 ann\n"


def test_script_expands_variables_of_the_prefix_but_executes_nothing(tmp_path, folder, make_catalogue):
    prefix = tmp_path / "ann $USER `touch x` $(touch x)"
    app_that_tells(prefix)
    text = f"{tmp_path}/${{WHO}} $SAME `touch x` $(touch x)"
    script = rendered_script(tmp_path, make_catalogue, text)
    run = bash(f'"{script}"', folder, WHO="ann", SAME="$USER", USER="ann")
    assert run.stdout.startswith(f"{prefix}/app/{APP}/bin/llm-hoster serve")
    assert not (folder / "x").exists()


def test_script_says_what_is_missing(tmp_path, folder, make_catalogue):
    run = bash(f'"{rendered_script(tmp_path, make_catalogue, "/nowhere")}"', folder)
    assert run.returncode == 1
    assert run.stderr.startswith(f"llm-hoster: /nowhere/app/{APP}: the app is not installed here")
    assert_card_points_to_the_log(folder)
    run = bash(f'"{rendered_script(tmp_path, make_catalogue, "/$NO_SUCH/x")}"', folder)
    assert run.returncode == 1
    assert "the variable NO_SUCH is not set on this node" in run.stderr
    assert_card_points_to_the_log(folder)


def test_script_says_which_python_this_node_lacks(tmp_path, folder, make_catalogue):
    app_that_tells(tmp_path / "prefix")
    python = tmp_path / "prefix" / "app" / APP / "bin" / "python"
    python.unlink()
    python.symlink_to("python3")
    (python.parent / "python3").symlink_to("/only on the login node/bin/python3.11")
    run = bash(f'"{rendered_script(tmp_path, make_catalogue, str(tmp_path / "prefix"))}"', folder)
    assert run.returncode == 1
    assert "it points to /only on the login node/bin/python3.11, which this node does not have." in run.stderr
    assert_card_points_to_the_log(folder)


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "dev"), ("aarch64", "dev-aarch64")])
def test_script_takes_the_app_of_the_nodes_architecture(tmp_path, folder, make_catalogue, machine, name):
    uname = tmp_path / "programs" / "uname"
    uname.parent.mkdir()
    uname.write_text(f"#!/bin/sh\necho {machine}\n")
    uname.chmod(0o755)
    script = rendered_script(tmp_path, make_catalogue, "/nowhere")
    run = bash(f'PATH="{uname.parent}:$PATH" "{script}"', folder)
    assert run.stderr.startswith(f"llm-hoster: /nowhere/app/{name}: the app is not installed here")


def test_after_waits_for_the_port_and_hands_it_over(folder):
    start = "(sleep 0.3; echo abc >card; echo 4711 >port; sleep 3) & SCRIPT_PID=$!\n"
    run = bash(f'{start} source "{TEMPLATE}/after.sh"; echo "$port $card"; kill $SCRIPT_PID', folder)
    assert run.stdout == "4711 abc\n"


def test_after_ends_the_job_when_the_script_has_died(folder):
    run = bash(f'false & SCRIPT_PID=$!\nsource "{TEMPLATE}/after.sh"; echo "goes on"', folder)
    assert run.returncode == 1
    assert "it ended before its page answered" in run.stdout
    assert "goes on" not in run.stdout
