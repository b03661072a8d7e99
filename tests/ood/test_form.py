"""form.yml as OnDemand 3.1 to 4.3 read it."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.choice import FOLDER, HUGGING_FACE_ID, SLURM_NAME, FormValues
from tests.ood.hostile import HOSTILE, HOSTILE_FOLDERS
from tests.ood.launches import SUBMIT, form_values, load, submit
from tests.ood.renderer import load_yaml, render_all

REPOSITORY = Path(__file__).resolve().parents[2]
FIELDS = [
    "form_id", "model", "typed_model", "gpu_type", "num_gpus", "bc_num_hours", "qos", "ACCOUNT", "reservation",
    "context_length", "quantization", "preset", "lora_folder", "idle_minutes", "chain_length",
    "bc_email_on_started",
]  # fmt: skip
# Fields of these names break OnDemand or are silently wrong in `context`.
BROKEN_NAMES = {
    "method", "display", "hash", "class", "model_name", "count", "first", "min", "max", "sum", "errors", "find",
    "chain", "select", "sort", "entries", "zip", "to_h", "freeze", "send", "then", "tap", "attributes", "each",
    "staged_root",
}  # fmt: skip
LARGEST_FORM_MS = 100


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


def test_the_form_has_these_fields_in_this_order(alpine_app: Path, local_app: Path) -> None:
    alpine, local = (load_yaml((app / "form.yml").read_text()) for app in (alpine_app, local_app))
    assert alpine["form"] == [name.replace("ACCOUNT", "auto_accounts") for name in FIELDS]
    # The demo has no QoS to choose from, and no queue for a session to wait in.
    missing = ("qos", "chain_length")
    assert local["form"] == [name.replace("ACCOUNT", "bc_account") for name in FIELDS if name not in missing]
    assert (alpine["cluster"], local["cluster"]) == ("alpine", "local")


def test_every_field_of_the_form_reaches_launch(form: dict[str, Any]) -> None:
    accounts = {"auto_accounts", "bc_account"}
    sent = {"account" if name in accounts else name for name in form["form"]}
    assert sent - {"form_id", "bc_email_on_started"} <= {field.name for field in fields(FormValues)}


def test_every_field_is_described_and_named_so_that_ondemand_can_use_it(form: dict[str, Any]) -> None:
    assert set(form["attributes"]) == set(form["form"])
    assert all(attribute["label"] for attribute in shown(form).values())
    for name in form["attributes"]:
        assert name not in BROKEN_NAMES
        assert name == name.lower()
        assert not [other for other in form["form"] if other != name and other.startswith(name)]


def test_every_number_has_bounds_and_is_asked_for(form: dict[str, Any]) -> None:
    numbers = [each for each in shown(form).values() if each.get("widget") == "number_field"]
    assert len(numbers) == 3 + ("chain_length" in form["form"])
    for attribute in numbers:
        assert int(attribute["min"]) <= int(attribute["value"]) <= int(attribute["max"])
        assert (attribute["step"], attribute["required"]) == ("1", True)


def test_every_text_has_a_length_and_a_pattern_that_browsers_compile(form: dict[str, Any]) -> None:
    texts = [each for each in shown(form).values() if each.get("widget") == "text_field"]
    assert len(texts) == 3 + ("bc_account" in form["form"])
    for attribute in texts:
        assert 0 < int(attribute["maxlength"]) <= 1024
        for inside in re.findall(r"\[\^?(.*?)(?<!\\)\]", attribute["pattern"]):
            # What the RegExp flag `v` takes for syntax in a class: a browser ignores a pattern that has one.
            rest = re.sub(r"\\(x[0-9a-f]{2}|.)", "a", inside)
            assert not re.search(r"[()\[\]{}/|]|-$|^-|([&!#$%*+,.:;<=>?@^`~])\1", rest), attribute["pattern"]


@pytest.mark.parametrize(
    ("field", "rules"),
    [
        ("typed_model", (HUGGING_FACE_ID, FOLDER)),
        ("lora_folder", (FOLDER,)),
        ("reservation", (SLURM_NAME,)),
        ("bc_account", (SLURM_NAME,)),
    ],
)
def test_a_pattern_takes_what_launch_takes(local_app: Path, field: str, rules: tuple[re.Pattern[str], ...]) -> None:
    pattern = load_yaml((local_app / "form.yml").read_text())["attributes"][field]["pattern"]
    for value in [*HOSTILE, *HOSTILE_FOLDERS, "a/b", "a", "a" * 63, "a" * 64, "/x y", "a.b/c_d-e", "-a/b"]:
        # Browsers cut line ends from a text field, and hold no empty one against its pattern.
        assert bool(re.fullmatch(pattern, value)) == any(rule.fullmatch(value) for rule in rules), value


def test_every_option_is_a_pair_of_texts_and_the_default_is_one_of_them(form: dict[str, Any]) -> None:
    selects = {name: each for name, each in shown(form).items() if each.get("widget") == "select"}
    assert {"model", "gpu_type", "context_length", "quantization", "preset"} <= set(selects)
    for name, attribute in selects.items():
        values = [value for _, value in attribute["options"]]
        assert all(isinstance(part, str) for option in attribute["options"] for part in option)
        assert all(len(option) == 2 and option[0] for option in attribute["options"])
        assert len(set(values)) == len(values)
        assert attribute["value"] in values
        # Only that of the QoS stands for a choice that Launch makes.
        assert ("" in values) == (name == "qos")


@pytest.mark.parametrize("app_name", ["alpine_app", "local_app"])
def test_whoever_only_presses_launch_gets_a_session(request: pytest.FixtureRequest, app_name: str) -> None:
    app: Path = request.getfixturevalue(app_name)
    attributes = load_yaml((app / "form.yml").read_text())["attributes"]
    fixed = {name: value if isinstance(value, str) else value.get("value", "") for name, value in attributes.items()}
    answer = submit(app, fixed)
    assert answer["error"] is None
    assert answer["yaml"]["script"]["wall_time"] == 3600


def test_the_form_needs_no_dynamic_directive(form: dict[str, Any]) -> None:
    for attribute in shown(form).values():
        assert not [key for key in attribute if key.startswith("data")]


def test_labels_tell_what_it_is_good_for_size_licence_and_price(alpine_app: Path) -> None:
    attributes = load_yaml((alpine_app / "form.yml").read_text())["attributes"]
    models, types, qos = (
        {value: label for label, value in attributes[name]["options"]} for name in ("model", "gpu_type", "qos")
    )
    assert models["llama-3.1-8b"].startswith("Everyday chat: Llama 3.1 8B Instruct, 15 GiB; ")
    assert models["llama-3.1-8b"].endswith("; licence Llama 3.1, ask first")
    assert list(models)[-1] == "other"
    assert "GiB of memory, 118.6 SU per hour, partition aa100, up to 168 h" in types["a100_80gb"]
    assert "MIG slice" in types["h200_3g.71gb"] and "MIG" not in types["h200"]
    assert "6.4 SU per hour, partition aa100, up to 1 h, one session at a time" in types["a100_3g.20gb"]
    assert "one session at a time" in types["gh200"]
    assert qos["gpu-testing"] == "gpu-testing: up to 1 h, at 10 % of the price"
    assert qos[""] == "Choose for me"


def test_a_model_of_unknown_size_names_none(local_app: Path) -> None:
    attributes = load_yaml((local_app / "form.yml").read_text())["attributes"]
    assert attributes["model"]["options"][0] == ["Demo: Tiny model; demo and tests; licence MIT", "tiny"]


def test_models_of_one_group_stand_together(alpine_app: Path) -> None:
    attributes = load_yaml((alpine_app / "form.yml").read_text())["attributes"]
    groups = [label.split(":")[0] for label, _ in attributes["model"]["options"]]
    assert len([group for group, _ in itertools.groupby(groups)]) == len(set(groups))


def test_the_context_length_is_told_in_words(alpine_app: Path) -> None:
    attributes = load_yaml((alpine_app / "form.yml").read_text())["attributes"]
    labels = {value: label for label, value in attributes["context_length"]["options"]}
    assert labels["auto"] == "As long as fits"
    assert labels["32768"] == "32,768 tokens, about 25,000 words"


def test_the_portal_reads_the_form_and_checks_a_launch_in_less_than_a_tenth_of_a_second(alpine_app: Path) -> None:
    form = {"file": str(alpine_app / "form.yml"), "kind": "form", "values": {}}
    sent = form_values(form_id=load(alpine_app).form_id)
    launch = {"file": str(alpine_app / SUBMIT), "kind": "submit", "values": sent}
    answers = render_all([form, launch] * 5)
    assert not [answer["error"] for answer in answers if answer["error"]]
    # The best of five: the machine may be busy with other tests.
    assert min(answer["ms"] for answer in answers[::2]) < LARGEST_FORM_MS
    assert min(answer["ms"] for answer in answers[1::2]) < LARGEST_FORM_MS


def test_the_first_line_says_what_wrote_the_file() -> None:
    first_line = (REPOSITORY / "form.yml").read_text().splitlines()[0]
    assert first_line.startswith("# Written by `llm-hoster configure` from config/site.yml and config/models.yml.")


def test_the_manifest_puts_the_app_into_the_menu() -> None:
    manifest = load_yaml((REPOSITORY / "manifest.yml").read_text())
    assert manifest["role"] == "batch_connect"
    for key in ("name", "category", "subcategory", "description", "icon"):
        assert manifest[key]
