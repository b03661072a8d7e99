"""before.sh, script.sh and after.sh as the job runs them: sourced or executed, in a folder with an awkward name."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

TEMPLATE = REPOSITORY / "template"
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
    program = prefix / "app" / "dev" / "bin" / "llm-hoster"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/bash\necho "$0 $* ${PYTHONPATH-none} $PYTHONNOUSERSITE $USER"\n')
    program.chmod(0o755)


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
    assert run.stdout == f"{prefix}/app/dev/bin/llm-hoster serve none 1 ann\n"


def test_script_expands_variables_of_the_prefix_but_executes_nothing(tmp_path, folder, make_catalogue):
    prefix = tmp_path / "ann $USER `touch x` $(touch x)"
    app_that_tells(prefix)
    text = f"{tmp_path}/${{WHO}} $SAME `touch x` $(touch x)"
    script = rendered_script(tmp_path, make_catalogue, text)
    run = bash(f'"{script}"', folder, WHO="ann", SAME="$USER", USER="ann")
    assert run.stdout.startswith(f"{prefix}/app/dev/bin/llm-hoster serve")
    assert not (folder / "x").exists()


def test_script_says_what_is_missing(tmp_path, folder, make_catalogue):
    run = bash(f'"{rendered_script(tmp_path, make_catalogue, "/nowhere")}"', folder)
    assert run.returncode == 1
    assert run.stderr.startswith("llm-hoster: /nowhere/app/dev: the app is not installed here")
    run = bash(f'"{rendered_script(tmp_path, make_catalogue, "/$NO_SUCH/x")}"', folder)
    assert run.returncode == 1
    assert "the variable NO_SUCH is not set on this node" in run.stderr


def test_after_waits_for_the_port_and_hands_it_over(folder):
    start = "(sleep 0.3; echo abc >card; echo 4711 >port; sleep 3) & SCRIPT_PID=$!\n"
    run = bash(f'{start} source "{TEMPLATE}/after.sh"; echo "$port $card"; kill $SCRIPT_PID', folder)
    assert run.stdout == "4711 abc\n"


def test_after_ends_the_job_when_the_script_has_died(folder):
    run = bash(f'false & SCRIPT_PID=$!\nsource "{TEMPLATE}/after.sh"; echo "goes on"', folder)
    assert run.returncode == 1
    assert "it ended before its page answered" in run.stdout
    assert "goes on" not in run.stdout
