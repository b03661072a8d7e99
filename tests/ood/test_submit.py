"""What Launch submits for each place, and that it refuses files that do not belong together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.choice import Choice
from llm_hoster.catalogue.compiled import Catalogue
from tests.ood.conftest import configure_app
from tests.ood.launches import SUBMIT, expected_script, form_values, load, python_choice, submit, submit_all
from tests.ood.renderer import load_yaml, render_all


def fitting_model(catalogue: Catalogue, gpu_type: str, num_gpus: str) -> str:
    return next(
        model.name
        for model in catalogue.models
        if catalogue.verdict(model.name, gpu_type, num_gpus, "none/interactive").fits
    )


@pytest.mark.parametrize("app_name", ["alpine_app", "local_app"])
def test_every_place_and_qos_is_submitted_with_its_flags(request: pytest.FixtureRequest, app_name: str) -> None:
    app: Path = request.getfixturevalue(app_name)
    catalogue = load(app)
    choices = [
        form_values(
            model=fitting_model(catalogue, gpu_type, num_gpus),
            gpu_type=gpu_type,
            num_gpus=num_gpus,
            bc_num_hours=str(qos.max_hours),
            qos=name,
        )
        for gpu_type, offers in catalogue.offers.items()
        for num_gpus, offer in offers.items()
        for qos in offer.qos
        for name in {"", qos.name or ""}
    ]
    for sent, answer in zip(choices, submit_all(app, choices), strict=True):
        choice = python_choice(catalogue, sent)
        assert isinstance(choice, Choice), choice
        assert answer["error"] is None
        assert answer["yaml"]["script"] == expected_script(choice, sent)
        assert answer["yaml"]["batch_connect"] == {"template": "basic", "conn_params": ["card"]}


def test_a_launch_on_one_a100_gets_these_very_flags(alpine_app: Path) -> None:
    answer = submit(alpine_app, form_values(reservation="course-2026"))
    assert answer["yaml"]["script"] == {
        "wall_time": 14400,
        "native": [
            "--partition=aa100",
            "--qos=gpu-normal",
            "--gres=gpu:a100_80gb:1",
            "--nodes=1",
            "--ntasks-per-node=1",
            "--cpus-per-task=10",
            "--mem=35G",
            "--no-requeue",
        ],
        "accounting_id": "ucb-general",
        "reservation_id": "course-2026",
    }


def test_gpus_of_two_nodes_are_asked_for_on_each_node(own_app: Path) -> None:
    file = own_app / "catalogue.json"
    document: dict[str, Any] = json.loads(file.read_text())
    document["offers"]["h200"]["4"] |= {
        "nodes": 2,
        "gres": "gpu:h200:2",
        "constraint": "ib&(x86|arm)",
        "exclusive": True,
    }
    file.write_text(json.dumps(document))
    answer = submit(own_app, form_values(gpu_type="h200", num_gpus="4"))
    assert answer["error"] is None
    native = answer["yaml"]["script"]["native"]
    assert native[2:6] == ["--gpus-per-node=h200:2", "--constraint=ib&(x86|arm)", "--nodes=2", "--ntasks-per-node=1"]
    assert native[-3:] == ["--no-requeue", "--no-kill", "--exclusive"]
    assert not [flag for flag in native if flag.startswith("--gres")]


@pytest.mark.parametrize(
    ("values", "qos"),
    [
        ({"bc_num_hours": "48"}, "gpu-long"),
        ({"bc_num_hours": "4", "qos": "gpu-long"}, "gpu-long"),
        ({"bc_num_hours": "1", "gpu_type": "a100_3g.20gb"}, "gpu-testing"),
    ],
)
def test_the_first_qos_that_allows_it_is_taken_or_the_chosen_one(
    alpine_app: Path, values: dict[str, str], qos: str
) -> None:
    assert f"--qos={qos}" in submit(alpine_app, form_values(**values))["yaml"]["script"]["native"]


def test_the_demo_submits_without_gres_qos_and_account(local_app: Path) -> None:
    values = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1", "bc_account": ""}
    assert submit(local_app, values)["yaml"]["script"] == {
        "wall_time": 3600,
        "native": [
            "--partition=all",
            "--nodes=1",
            "--ntasks-per-node=1",
            "--cpus-per-task=2",
            "--mem=8G",
            "--no-requeue",
        ],
    }


@pytest.mark.parametrize("field", ["model", "gpu_type", "num_gpus", "bc_num_hours"])
def test_a_field_that_must_be_there_is_refused_when_it_is_missing(alpine_app: Path, field: str) -> None:
    sent = form_values()
    del sent[field]
    assert '""' in submit(alpine_app, sent)["error"]


def test_every_other_field_may_be_missing(alpine_app: Path) -> None:
    sent = {name: form_values()[name] for name in ("model", "gpu_type", "num_gpus", "bc_num_hours")}
    assert submit(alpine_app, sent)["yaml"]["script"].keys() == {"wall_time", "native"}


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
    answer = render_all([{"file": str(alpine_app / SUBMIT), "kind": "submit", "values": form_values()}])[0]
    assert answer["error"] == STALE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('max: "168"', 'max: "200"'),
        ("Qwen3 8B", "Qwen3 9B"),
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


def test_an_older_form_beside_a_new_catalogue_is_refused(own_local_app: Path) -> None:
    app, sent = own_local_app, {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
    form, models = app / "form.yml", app / "config" / "models-local.yml"
    old = form.read_text()
    models.write_text(models.read_text().replace("Tiny model", "Small model"))
    configure_app(app, app / "config" / "sites" / "local.yml")
    assert submit(app, sent)["error"] is None
    form.write_text(old)
    assert submit(app, sent | {"form_id": load_yaml(old)["attributes"]["form_id"]})["error"] == STALE
    assert submit(app, sent)["error"] == STALE


def test_a_missing_form_is_refused(own_app: Path) -> None:
    (own_app / "form.yml").unlink()
    assert submit(own_app, form_values())["error"] == STALE
