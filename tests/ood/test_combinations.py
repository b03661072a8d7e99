"""Every combination of the form's choices, through every file that OnDemand renders for a launch."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.session import Session
from tests.ood.renderer import INSTALL, render_all

SUBMIT, SESSION, INFO = "submit.yml.erb", "template/session.json.erb", "info.md.erb"


@dataclass(frozen=True)
class Rendered:
    """The answers to one combination by file, in the order in which OnDemand renders them."""

    values: dict[str, str]
    answers: dict[str, dict[str, Any]]


def combinations(catalogue: Catalogue) -> Iterator[dict[str, str]]:
    """Give what the form can send and Launch accepts; of the hours the last of each QoS."""
    for gpu_type, offers in catalogue.offers.items():
        for num_gpus, offer in offers.items():
            hours = sorted({qos.max_hours for qos in offer.qos})
            for model, each, email in itertools.product(offer.models, hours, ("0", "1")):
                yield {
                    "form_id": catalogue.form_id,
                    "model": model,
                    "gpu_type": gpu_type,
                    "num_gpus": num_gpus,
                    "bc_num_hours": str(each),
                    "auto_accounts": "ucb-general",
                    "bc_email_on_started": email,
                }


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
    sent = list(combinations(catalogue))
    answers = iter(render_all(request for values in sent for request in requests(app, staged, values)))
    return [Rendered(values, {name: next(answers) for name in names}) for values in sent]


def test_every_combination_renders_in_every_file(app: Path, catalogue: Catalogue, rendered: list[Rendered]) -> None:
    for each in rendered:
        assert {name: answer["error"] for name, answer in each.answers.items() if answer["error"]} == {}, each.values
    assert {each.values["bc_email_on_started"] for each in rendered} == {"0", "1"}
    assert {each.values["model"] for each in rendered} == {model.name for model in catalogue.models}
    assert {each.values["gpu_type"] for each in rendered} == {gpu_type.name for gpu_type in catalogue.gpu_types}


def test_every_staged_session_is_read_again_on_the_node(catalogue: Catalogue, rendered: list[Rendered]) -> None:
    as_written = catalogue.model_dump(mode="json")
    for each in rendered:
        document = json.loads(each.answers[SESSION]["text"])
        assert document["catalogue"] == as_written
        session = Session.from_context(catalogue, document["context"])
        script = each.answers[SUBMIT]["yaml"]["script"]
        assert script["wall_time"] == session.hours * 3600
        assert f"--partition={session.offer.partition}" in script["native"]
        assert (f"--qos={session.qos.name}" in script["native"]) is (session.qos.name is not None)


def test_every_card_tells_model_and_price(catalogue: Catalogue, rendered: list[Rendered]) -> None:
    for each in rendered:
        context = json.loads(each.answers[SESSION]["text"])["context"]
        session = Session.from_context(catalogue, context)
        page = each.answers[INFO]["html"]
        assert f"at most <strong>{session.su_estimate:.1f} SU</strong>" in page
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
