"""A model that the person typed, at Launch: judged by the program that the site names, or left to the node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ood.conftest import configure_app
from tests.ood.launches import expected_script, form_values, load, python_choice, submit

LLM_HOSTER = Path(sys.executable).with_name("llm-hoster")
SMALL, LARGE = "qwen--qwen3-8b", "meta-llama--llama-3.3-70b-instruct"
NO = {"fits": False, "reason": "is too large", "suggestion": {"gpu_type": "h200", "num_gpus": 2, "su_per_hour": 1.0}}


def set_program(app: Path, program: Path | str) -> Path:
    file = app / "catalogue.json"
    document = json.loads(file.read_text())
    document["site"]["portal_command"] = str(program)
    file.write_text(json.dumps(document))
    return app


def write_program(app: Path, script: str) -> Path:
    """Let a shell script take the place of llm-hoster on the portal."""
    return set_program(app, write_script(app, script))


def write_script(app: Path, script: str) -> Path:
    program = app / "program"
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    return program


def typed(model: str | Path, **values: str) -> dict[str, str]:
    return form_values(**{"model": "other", "typed_model": str(model), "gpu_type": "a100-40gb"} | values)


def write_model(folder: Path, app: Path, name: str) -> Path:
    """Make a model's folder that holds no more than its config.json."""
    folder.mkdir()
    data = json.loads((app / "config" / "configs" / f"{name}.json").read_text())
    (folder / "config.json").write_text(json.dumps(data["config"]))
    return folder


def is_submitted(app: Path, sent: dict[str, str], answer: dict[str, Any]) -> bool:
    choice = python_choice(load(app), sent)
    assert not isinstance(choice, str), choice
    return bool(answer["error"] is None and answer["yaml"]["script"] == expected_script(choice, sent))


def test_a_folder_that_does_not_fit_is_refused_in_the_words_of_fit(own_app: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "it's <b> large", own_app, LARGE)
    command = [LLM_HOSTER, "fit", "--model", folder, "--gpu-type", "a100-40gb", "--num-gpus", "1", "--json"]
    command += ["--site", own_app / "config" / "site.yml"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    titles = {each.name: each.title for each in load(own_app).gpu_types}
    place = f"{answer['suggestion']['num_gpus']} x {titles[answer['suggestion']['gpu_type']]}"
    advice = f"Choose {place}, the cheapest that holds it."
    assert submit(set_program(own_app, LLM_HOSTER), typed(folder))["error"] == (
        load(own_app)
        .sentences["does_not_fit"]
        .replace("%{model}", str(folder))
        .replace("%{place}", "1 x NVIDIA A100 40 GB")
        .replace("%{reason}", answer["reason"])
        .replace("%{advice}", advice)
    )


@pytest.mark.parametrize("name", [SMALL, None])
def test_a_folder_that_fits_or_is_not_on_the_portal_is_submitted(
    own_app: Path, tmp_path: Path, name: str | None
) -> None:
    folder = write_model(tmp_path / "model", own_app, name) if name else tmp_path / "on the nodes alone"
    sent = typed(folder)
    assert is_submitted(own_app, sent, submit(set_program(own_app, LLM_HOSTER), sent))


def test_a_context_that_is_too_long_is_refused_in_the_words_of_the_node(own_app: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", own_app, SMALL)
    sent = typed(folder, context_length="1048576")
    assert submit(set_program(own_app, LLM_HOSTER), sent)["error"] == (
        f"Context length 1048576 is too long: {folder} has room for 40960 tokens on 1 x NVIDIA A100 40 GB. "
        f"{load(own_app).sentences['no_advice']}"
    )


def test_the_program_gets_these_arguments_and_nothing_of_the_portals_environment(
    own_app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_SECRET", "x")
    write_program(own_app, 'printf "%s\\n" "$@" > arguments; /usr/bin/env > environment; echo "{}"')
    folder = "/a b/$(id)'\"`x`;*"
    sent = typed(folder, context_length="8192", quantization="fp8_per_tensor", preset="long-context", num_gpus="2")
    assert is_submitted(own_app, sent, submit(own_app, sent))
    assert (own_app / "arguments").read_text().splitlines() == [
        "fit", "--model", folder, "--gpu-type", "a100-40gb", "--num-gpus", "2", "--max-model-len", "8192",
        "--quantization", "fp8_per_tensor", "--preset", "long-context",
        "--site", str(own_app / "config" / "site.yml"), "--json",
    ]  # fmt: skip
    names = {line.partition("=")[0] for line in (own_app / "environment").read_text().splitlines()}
    # The last three are bash's own.
    assert names <= {"HOME", "USER", "LOGNAME", "PATH", "LC_ALL", "PWD", "SHLVL", "_"}


def test_a_no_of_the_program_is_a_refusal_with_its_place(own_app: Path) -> None:
    write_program(own_app, f"echo '{json.dumps(NO)}'")
    error = submit(own_app, typed("owner/name"))["error"]
    assert "owner/name" in error
    assert "is too large" in error
    assert error.endswith("Choose 2 x NVIDIA H200, the cheapest that holds it.")


@pytest.mark.parametrize(
    ("suggestion", "values", "advice"),
    [
        (
            {"gpu_type": "a100-40gb", "num_gpus": 1, "quantization": "fp8_per_tensor"},
            {},
            "Choose the quantisation «FP8 while loading»: then it fits here.",
        ),
        (
            {"gpu_type": "h200", "num_gpus": 4, "quantization": "fp8_per_tensor", "preset": "long-context"},
            {},
            "Choose the quantisation «FP8 while loading», the preset «Long context» and 4 x NVIDIA H200.",
        ),
        (
            {"gpu_type": "h200", "num_gpus": 4},
            {"bc_num_hours": "25"},
            "4 x NVIDIA H200 holds it, but for fewer hours or in another QoS.",
        ),
    ],
)
def test_the_advice_of_the_program_is_told_as_launch_accepts_it(
    own_app: Path, suggestion: dict[str, Any], values: dict[str, str], advice: str
) -> None:
    write_program(own_app, f"echo '{json.dumps(NO | {'suggestion': suggestion})}'")
    assert submit(own_app, typed("owner/name", **values))["error"].endswith(f"is too large. {advice}")


@pytest.mark.parametrize("longest", [0, "1", None])
def test_a_no_without_a_longest_context_is_told_with_its_reason(own_app: Path, longest: object) -> None:
    write_program(own_app, f"echo '{json.dumps(NO | {'max_model_len': longest})}'")
    assert "is too large" in submit(own_app, typed("owner/name", context_length="8192"))["error"]


def test_a_no_without_a_suggestion_says_so(own_app: Path) -> None:
    write_program(own_app, f"echo '{json.dumps(NO | {'suggestion': None})}'")
    assert submit(own_app, typed("owner/name"))["error"].endswith(load(own_app).sentences["no_advice"])


def test_a_program_may_begin_with_a_variable(own_app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(own_app, f"echo '{json.dumps(NO)}'")
    monkeypatch.setenv("FOLDER", str(own_app))
    set_program(own_app, "$FOLDER/program")
    assert submit(own_app, typed("owner/name"))["error"] is not None


@pytest.mark.parametrize(
    "script",
    [
        f"echo '{json.dumps(NO)}'; exit 1",
        f"echo '{json.dumps(NO | {'is_estimate': True})}'",
        "echo not JSON",
        "echo '[1]'",
        "echo null",
        "",
        "kill -9 $$",
        "head -c 3000000 /dev/zero",
        "printf '\\xff\\xfe'",
    ],
)
def test_a_program_that_gives_no_answer_refuses_nothing(own_app: Path, script: str) -> None:
    sent = typed("owner/name")
    assert is_submitted(own_app, sent, submit(write_program(own_app, script), sent))


def test_a_program_that_is_not_there_refuses_nothing(own_app: Path) -> None:
    sent = typed("owner/name")
    assert is_submitted(own_app, sent, submit(set_program(own_app, "/no/such/program; touch x"), sent))


def test_a_program_that_takes_too_long_is_ended_with_its_children(own_app: Path) -> None:
    launch = own_app / "launch.rb"
    assert "LIMIT_S = 20" in launch.read_text()
    launch.write_text(launch.read_text().replace("LIMIT_S = 20", "LIMIT_S = 0.5"))
    write_program(own_app, "sleep 100 & echo $! > child; wait")
    sent, start = typed("owner/name"), time.monotonic()
    assert is_submitted(own_app, sent, submit(own_app, sent))
    assert time.monotonic() - start < 20
    child = int((own_app / "child").read_text())
    for _ in range(100):
        if not is_running(child):
            break
        time.sleep(0.05)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that ended stays a zombie where nobody waits for orphans.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_model_that_another_check_refuses_is_not_looked_at(own_app: Path) -> None:
    write_program(own_app, "touch asked; echo '{}'")
    assert "Reservation" in submit(own_app, typed("owner/name", reservation="a b"))["error"]
    assert submit(own_app, form_values())["error"] is None
    assert not (own_app / "asked").exists()


def test_the_site_file_names_the_program(own_local_app: Path) -> None:
    site = own_local_app / "config" / "sites" / "local.yml"
    site.write_text(site.read_text() + f'portal_command: "{own_local_app}/program"\n')
    configure_app(own_local_app, site)
    write_script(own_local_app, f"echo '{json.dumps(NO | {'suggestion': None})}'")
    sent = {"model": "other", "typed_model": "owner/name", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
    assert "is too large" in submit(own_local_app, sent)["error"]
