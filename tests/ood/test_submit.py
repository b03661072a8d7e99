"""What Launch submits: every combination of the form, hostile values, and files that do not belong together."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.errors import ChoiceError
from llm_hoster.launch.configure import render_files
from tests.ood.hostile import HOSTILE
from tests.ood.renderer import load_yaml, render_all


def load(app: Path) -> Catalogue:
    return Catalogue.model_validate(json.loads((app / "catalogue.json").read_text()))


def form_values(**values: str) -> dict[str, str]:
    return {
        "model": "qwen3-4b",
        "gpu_type": "a100_80gb",
        "num_gpus": "1",
        "bc_num_hours": "4",
        "auto_accounts": "ucb-general",
        "bc_email_on_started": "0",
    } | values


def submit_all(app: Path, choices: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Send each with the mark of the app's own form, unless it brings one."""
    file, form = str(app / "submit.yml.erb"), {"form_id": load(app).form_id}
    return render_all({"file": file, "kind": "submit", "values": form | values} for values in choices)


def submit(app: Path, values: dict[str, str]) -> dict[str, Any]:
    return submit_all(app, [values])[0]


def python_refusal(catalogue: Catalogue, values: dict[str, str]) -> str | None:
    try:
        catalogue.choose(
            model=values["model"],
            gpu_type=values["gpu_type"],
            num_gpus=values["num_gpus"],
            hours=values["bc_num_hours"],
        )
    except ChoiceError as error:
        return str(error)
    return None


def expected_script(catalogue: Catalogue, values: dict[str, str]) -> dict[str, Any]:
    offer = catalogue.offers[values["gpu_type"]][values["num_gpus"]]
    hours = int(values["bc_num_hours"])
    qos = next(each for each in offer.qos if each.max_hours >= hours)
    flags = [f"--partition={offer.partition}"]
    flags += [f"--qos={qos.name}"] if qos.name else []
    flags += [f"--gres={offer.gres}"] if offer.gres else []
    flags += ["--nodes=1", "--ntasks=1", f"--cpus-per-task={offer.cores}", f"--mem={offer.memory_gib}G", "--no-requeue"]
    return {"wall_time": hours * 3600, "native": flags, "accounting_id": "ucb-general"}


def test_every_combination_is_submitted_with_its_flags_or_refused_in_pythons_words(alpine_app: Path) -> None:
    catalogue = load(alpine_app)
    # 1, 24 and 168 hours are where one QoS or another ends.
    choices = [
        form_values(model=model, gpu_type=gpu_type, num_gpus=num_gpus, bc_num_hours=each)
        for model, gpu_type, num_gpus, each in itertools.product(
            [*(model.name for model in catalogue.models), "no-such-model", ""],
            [*(gpu_type.name for gpu_type in catalogue.gpu_types), "no-such-type", ""],
            ["1", "2", "3", "4"],
            ["1", "25", "169"],
        )
    ]
    odd_hours = ["0", "", "1.5", "x", "01", "-1", "\uff11", "1\n", "1 ", "24", "168", "10000"]
    choices += [
        form_values(gpu_type=each.name, bc_num_hours=hours) for each in catalogue.gpu_types for hours in odd_hours
    ]
    choices += [form_values(num_gpus=count) for count in ("", "0", "1 ", "01", "1.0", "-1")]
    submitted = 0
    for values, answer in zip(choices, submit_all(alpine_app, choices), strict=True):
        refusal = python_refusal(catalogue, values)
        assert answer["error"] == refusal, values
        if refusal is None:
            submitted += 1
            assert answer["yaml"]["script"] == expected_script(catalogue, values), values
            assert answer["yaml"]["batch_connect"] == {"template": "basic", "conn_params": ["card"]}
    assert submitted > 300


def test_a_launch_on_one_a100_gets_these_very_flags(alpine_app: Path) -> None:
    answer = submit(alpine_app, form_values())
    assert answer["yaml"]["script"] == {
        "wall_time": 14400,
        "native": [
            "--partition=aa100",
            "--qos=gpu-normal",
            "--gres=gpu:a100_80gb:1",
            "--nodes=1",
            "--ntasks=1",
            "--cpus-per-task=10",
            "--mem=35G",
            "--no-requeue",
        ],
        "accounting_id": "ucb-general",
    }


def test_a_launch_of_two_days_takes_the_long_qos(alpine_app: Path) -> None:
    answer = submit(alpine_app, form_values(bc_num_hours="48"))
    assert "--qos=gpu-long" in answer["yaml"]["script"]["native"]


def test_the_cheapest_slice_runs_in_the_testing_qos(alpine_app: Path) -> None:
    answer = submit(alpine_app, form_values(gpu_type="a100_3g.20gb", bc_num_hours="1"))
    assert "--qos=gpu-testing" in answer["yaml"]["script"]["native"]


def test_the_demo_submits_without_gres_qos_and_account(local_app: Path) -> None:
    values = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1", "bc_account": ""}
    assert submit(local_app, values)["yaml"]["script"] == {
        "wall_time": 3600,
        "native": [
            "--partition=all",
            "--nodes=1",
            "--ntasks=1",
            "--cpus-per-task=2",
            "--mem=8G",
            "--no-requeue",
        ],
    }


@pytest.mark.parametrize("field", ["model", "gpu_type", "num_gpus", "bc_num_hours", "auto_accounts"])
def test_a_hostile_value_is_refused_in_one_sentence_that_quotes_it(alpine_app: Path, field: str) -> None:
    catalogue = load(alpine_app)
    choices = [form_values(**{field: value}) for value in HOSTILE]
    for values, answer in zip(choices, submit_all(alpine_app, choices), strict=True):
        error = answer["error"]
        assert error is not None, values
        assert json.dumps(values[field][:60], ensure_ascii=False) in error
        assert "\n" not in error
        if field != "auto_accounts":
            assert error == python_refusal(catalogue, values)


def test_a_field_that_is_missing_is_refused_and_not_submitted(alpine_app: Path) -> None:
    assert submit(alpine_app, {})["error"].startswith('GPU type "" is not offered')


@pytest.mark.parametrize("account", ["-A", "a b", "a\nb", "ucb;id", "a" * 64])
def test_a_malformed_account_is_refused(alpine_app: Path, account: str) -> None:
    error = submit(alpine_app, form_values(auto_accounts=account))["error"]
    assert error == f"Account {json.dumps(account[:60])} is malformed: use letters, digits, '.', '_' and '-' only."


@pytest.mark.parametrize("name", ["config/site.yml", "config/models.yml"])
def test_a_file_that_changed_after_configure_stops_the_launch(own_app: Path, name: str) -> None:
    file = own_app / name
    file.write_text(file.read_text() + "# changed\n")
    error = submit(own_app, form_values())["error"]
    assert error == f"form.yml is older than {name}: run llm-hoster configure."


def test_a_missing_site_file_stops_the_launch(own_app: Path) -> None:
    (own_app / "config" / "site.yml").unlink()
    error = submit(own_app, form_values())["error"]
    assert error == "form.yml is older than config/site.yml: run llm-hoster configure."


STALE = (
    'This form is not the one that belongs to catalogue.json: choose "Restart Web Server" in the portal\'s Help menu '
    "and open the form again; if that does not help, run llm-hoster configure."
)


@pytest.mark.parametrize("form_id", ["", "0" * 16, "x"])
def test_a_form_that_the_portal_kept_from_before_is_refused(alpine_app: Path, form_id: str) -> None:
    assert submit(alpine_app, form_values(form_id=form_id))["error"] == STALE


def test_a_form_from_before_there_was_a_mark_is_refused(alpine_app: Path) -> None:
    answer = render_all([{"file": str(alpine_app / "submit.yml.erb"), "kind": "submit", "values": form_values()}])[0]
    assert answer["error"] == STALE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('max: "168"', 'max: "200"'),
        ("Qwen3 4B Instruct", "Qwen3 4B"),
        ("# Written by", "# Once written by"),
        ('  form_id: "', '  form_id: "0'),
        ('  - "form_id"\n', ""),
    ],
)
def test_a_form_that_was_edited_by_hand_is_refused_though_its_mark_is_right(own_app: Path, old: str, new: str) -> None:
    form = own_app / "form.yml"
    assert old in form.read_text()
    form.write_text(form.read_text().replace(old, new, 1))
    assert submit(own_app, form_values())["error"] == STALE


def test_an_older_form_beside_a_new_catalogue_is_refused(own_app: Path) -> None:
    form, models = own_app / "form.yml", own_app / "config" / "models.yml"
    old = form.read_text()
    models.write_text(models.read_text().replace("Qwen3 4B Instruct", "Qwen3 4B"))
    for name, text in render_files(own_app / "config" / "site.yml", None, own_app).items():
        (own_app / name).write_text(text)
    assert submit(own_app, form_values())["error"] is None
    form.write_text(old)
    assert submit(own_app, form_values(form_id=load_yaml(old)["attributes"]["form_id"]))["error"] == STALE
    assert submit(own_app, form_values())["error"] == STALE


def test_a_missing_form_is_refused(own_app: Path) -> None:
    (own_app / "form.yml").unlink()
    assert submit(own_app, form_values())["error"] == STALE
