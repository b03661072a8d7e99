"""What the form can send, through every file that OnDemand renders for a launch."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.choice import Choice
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.price import su_text
from llm_hoster.session import Session
from tests.ood.launches import SUBMIT, expected_script, python_choice
from tests.ood.renderer import INSTALL, load_yaml, render_all

SESSION, INFO = "template/session.json.erb", "info.md.erb"


@dataclass(frozen=True)
class Rendered:
    """The answers to one combination by file, in the order in which OnDemand renders them."""

    values: dict[str, str]
    answers: dict[str, dict[str, Any]]


def combinations(app: Path, catalogue: Catalogue) -> Iterator[dict[str, str]]:
    """Give what the form can send and Launch accepts: each place in the last hour of each QoS, each model at its
    cheapest, and each option of each select."""
    attributes = load_yaml((app / "form.yml").read_text())["attributes"]
    usual = {name: value if isinstance(value, str) else value.get("value", "") for name, value in attributes.items()}
    for gpu_type, num_gpus in catalogue.places:
        model = next(each.name for each in catalogue.models if fits(catalogue, each.name, gpu_type, num_gpus))
        for qos in catalogue.offers[gpu_type][num_gpus].qos:
            place = {"model": model, "gpu_type": gpu_type, "num_gpus": num_gpus, "bc_num_hours": str(qos.max_hours)}
            yield usual | place | {"qos": qos.name or "", "bc_email_on_started": "1"}
    for each in catalogue.models:
        places = (place for place in catalogue.places if fits(catalogue, each.name, *place))
        if place := next(places, None):
            yield usual | {"model": each.name, "gpu_type": place[0], "num_gpus": place[1], "bc_email_on_started": "0"}
    for name in ("context_length", "quantization", "preset", "qos"):
        for _, value in attributes.get(name, {}).get("options", []):
            sent = usual | {name: value}
            if isinstance(python_choice(catalogue, sent), Choice):
                yield sent
    yield usual | {"model": "other", "typed_model": "owner/a-model", "lora_folder": "/scratch/it's <b>$(id)"}


def fits(catalogue: Catalogue, model: str, gpu_type: str, num_gpus: str) -> bool:
    return catalogue.verdict(model, gpu_type, num_gpus, "none/interactive").fits


def templates(app: Path) -> list[str]:
    """Name every file below template/ that OnDemand renders."""
    return sorted(str(path.relative_to(app)) for path in (app / "template").rglob("*.erb"))


def requests(app: Path, staged: Path, values: dict[str, str]) -> Iterator[dict[str, Any]]:
    yield {"file": str(app / SUBMIT), "kind": "submit", "values": values}
    for name in templates(app):
        request = {"file": str(app / name), "kind": "template", "values": {"app": str(app), "context": values}}
        yield request | ({"to": str(staged / "session.json")} if name == SESSION else {})
    card = {"staged_root": str(staged), "completed": False}
    yield {"file": str(app / INFO), "kind": "session", "values": card, "markdown": True}


@pytest.fixture(scope="module", params=["alpine_app", "local_app"])
def app(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(scope="module")
def catalogue(app: Path) -> Catalogue:
    return Catalogue.model_validate_json((app / "catalogue.json").read_text())


@pytest.fixture(scope="module")
def rendered(app: Path, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> list[Rendered]:
    """One Ruby for all: a later request reads the session.json that an earlier one wrote."""
    staged = tmp_path_factory.mktemp("staged")
    names = [SUBMIT, *templates(app), INFO]
    sent = list(combinations(app, catalogue))
    answers = iter(render_all(request for values in sent for request in requests(app, staged, values)))
    return [Rendered(values, {name: next(answers) for name in names}) for values in sent]


def test_every_combination_renders_in_every_file(catalogue: Catalogue, rendered: list[Rendered]) -> None:
    for each in rendered:
        assert {name: answer["error"] for name, answer in each.answers.items() if answer["error"]} == {}, each.values
    assert {each.values["bc_email_on_started"] for each in rendered} >= {"0", "1"}
    assert {each.values["preset"] for each in rendered} == {preset.name for preset in catalogue.presets}
    assert {each.values["gpu_type"] for each in rendered} == {gpu_type.name for gpu_type in catalogue.gpu_types}


def test_every_staged_session_is_read_again_on_the_node(catalogue: Catalogue, rendered: list[Rendered]) -> None:
    for each in rendered:
        document = json.loads(each.answers[SESSION]["text"])
        session = Session.from_context(Catalogue.model_validate(document["catalogue"]), document["context"])
        choice = python_choice(catalogue, each.values)
        assert isinstance(choice, Choice)
        assert {name: getattr(session, name) for name in vars(choice)} == vars(choice)
        assert each.answers[SUBMIT]["yaml"]["script"] == expected_script(choice, each.values)


def test_every_card_tells_model_and_price(catalogue: Catalogue, rendered: list[Rendered]) -> None:
    for each in rendered:
        choice = python_choice(catalogue, each.values)
        assert isinstance(choice, Choice)
        page = html.unescape(each.answers[INFO]["html"])
        title = each.values["typed_model"] or choice.model.title
        assert f"<strong>{title}</strong> on {choice.num_gpus} x {choice.gpu_type.title}" in page
        assert f"at most <strong>{su_text(choice.qos.su_per_hour, choice.hours)} SU</strong>" in page
        assert f"at {su_text(choice.qos.su_per_hour)} SU per hour" in page
        assert "Connect to the chat" in page


def test_no_choice_changes_a_shell_script_and_each_is_sound(
    app: Path, rendered: list[Rendered], tmp_path: Path
) -> None:
    scripts = [name for name in templates(app) if name.endswith(".sh.erb")]
    assert "template/script.sh.erb" in scripts
    for name in scripts:
        (text,) = {each.answers[name]["text"] for each in rendered}
        script = tmp_path / Path(name).stem
        script.write_text(text)
        checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
        if shutil.which("shellcheck") is None:
            pytest.fail(f"shellcheck is missing. Run: {INSTALL}")
        found = subprocess.run(["shellcheck", "-s", "bash", script], capture_output=True, text=True, check=False)
        assert found.stdout == ""
