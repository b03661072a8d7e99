"""form.yml as OnDemand 3.1 to 4.3 read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.ood.renderer import load_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
# Fields of these names break OnDemand or are silently wrong in `context`.
BROKEN_NAMES = {"method", "display", "hash", "class", "model_name", "count", "first", "min", "max", "sum"} | {
    "errors",
    "find",
    "select",
    "sort",
    "entries",
    "zip",
}


@pytest.fixture(scope="module", params=["alpine_app", "local_app"])
def form(request: pytest.FixtureRequest) -> dict[str, Any]:
    app: Path = request.getfixturevalue(request.param)
    document: dict[str, Any] = load_yaml((app / "form.yml").read_text())
    return document


def shown(form: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Leave out what OnDemand takes for fixed: an attribute that is a plain text."""
    return {name: attribute for name, attribute in form["attributes"].items() if isinstance(attribute, dict)}


def test_only_the_mark_of_the_form_is_fixed_and_it_is_that_of_the_catalogue(alpine_app: Path) -> None:
    form = load_yaml((alpine_app / "form.yml").read_text())
    catalogue = json.loads((alpine_app / "catalogue.json").read_text())
    assert set(form["attributes"]) - set(shown(form)) == {"form_id"}
    assert form["attributes"]["form_id"] == catalogue["form_id"]
    assert re.fullmatch("[0-9a-f]{16}", catalogue["form_id"])


def test_the_form_has_these_fields_and_one_cluster(form: dict[str, Any]) -> None:
    account = form["form"][5]
    assert form["form"] == ["form_id", "model", "gpu_type", "num_gpus", "bc_num_hours", account, "bc_email_on_started"]
    assert account in ("auto_accounts", "bc_account")
    assert form["cluster"] in ("alpine", "local")


def test_every_field_is_described_and_named_so_that_ondemand_can_use_it(form: dict[str, Any]) -> None:
    assert set(form["attributes"]) == set(form["form"])
    assert all(attribute["label"] for attribute in shown(form).values())
    for name in form["attributes"]:
        assert name not in BROKEN_NAMES
        assert name == name.lower()
        assert not [other for other in form["form"] if other != name and other.startswith(name)]


def test_every_number_has_bounds_and_every_text_a_pattern(form: dict[str, Any]) -> None:
    for attribute in shown(form).values():
        if attribute.get("widget") == "number_field":
            assert int(attribute["min"]) <= int(attribute["value"]) <= int(attribute["max"])
        if attribute.get("widget") == "text_field":
            # A bare hyphen in a class is an error under the RegExp flag with which browsers compile patterns.
            assert not re.search(r"[^\\]-\]", attribute["pattern"])


def test_every_option_is_a_pair_of_texts_and_the_default_is_one_of_them(form: dict[str, Any]) -> None:
    for name in ("model", "gpu_type", "num_gpus"):
        attribute = form["attributes"][name]
        for option in attribute["options"]:
            assert len(option) == 2
            assert all(isinstance(part, str) and part for part in option)
        assert attribute["value"] in [value for _, value in attribute["options"]]


def test_the_form_needs_no_dynamic_directive(form: dict[str, Any]) -> None:
    for attribute in shown(form).values():
        assert not [key for key in attribute if key.startswith("data")]


def test_labels_tell_size_licence_and_price(alpine_app: Path) -> None:
    form = load_yaml((alpine_app / "form.yml").read_text())
    models = {value: label for label, value in form["attributes"]["model"]["options"]}
    types = {value: label for label, value in form["attributes"]["gpu_type"]["options"]}
    assert models["llama-3.1-8b"].startswith("Llama 3.1 8B Instruct: 15 GiB; ")
    assert models["llama-3.1-8b"].endswith("licence Llama 3.1, ask first")
    assert types["a100_80gb"] == "NVIDIA A100 80 GB: 80 GiB of memory, 118.6 SU per hour, up to 168 h"
    assert "6.4 SU per hour, up to 1 h, one session at a time" in types["a100_3g.20gb"]
    assert "one session at a time" in types["gh200"]


def test_the_first_line_says_what_wrote_the_file() -> None:
    first_line = (REPOSITORY / "form.yml").read_text().splitlines()[0]
    assert first_line.startswith("# Written by `llm-hoster configure` from config/site.yml and config/models.yml.")


def test_the_manifest_puts_the_app_into_the_menu() -> None:
    manifest = load_yaml((REPOSITORY / "manifest.yml").read_text())
    assert manifest["role"] == "batch_connect"
    for key in ("name", "category", "subcategory", "description", "icon"):
        assert manifest[key]
