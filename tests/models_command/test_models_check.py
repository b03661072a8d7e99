"""`llm-hoster models check`: a line for each model, and the exit status says whether all is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.catalogue.small_site import MODELS, changed
from tests.models_command.conftest import App, Run

REPOSITORY = Path(__file__).resolve().parents[2]


def test_models_without_a_fault_are_right_and_placed(app: App, run: Run) -> None:
    done = run("check")
    assert (done.status, done.output) == (0, "m: right; 1 x g, 18.0 SU per hour\n")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('    config: "m.json"\n', "", "m: wrong; has no `config`, write one with llm-hoster models add"),
        ('"m.json"', '"nowhere.json"', "nowhere.json: cannot be read"),
        ('"m.json"', '"models.yml"', "models.yml: not JSON"),
        ('"MIT"', '"unknown, look it up"', "m: wrong; its licence is not known, write it down"),
        ("_len: null", '_len: null\n    args: ["--tool-call-parser", "hermess"]', "vLLM 0.32 has no parser 'hermess'"),
        ("_len: null", '_len: null\n    args: ["--tool_call_parser=x"]', "has no parser 'x' for --tool-call-parser"),
        ("_len: null", '_len: null\n    args: ["--reasoning-parser"]', "has no parser '' for --reasoning-parser"),
    ],
)
def test_what_is_wrong_is_told_and_counts(app: App, run: Run, old: str, new: str, sentence: str) -> None:
    app.models.write_text(changed(MODELS, old, new))
    done = run("check")
    assert done.status == 1
    assert sentence in done.output


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "_len: null",
            '_len: null\n    args: ["--tool-call-parser", "x", "--tool-parser-plugin", "/p.py"]',
            "m: right",
        ),
        ('"owner/m"', '"/only/on/nodes"', "m: right; /only/on/nodes is not seen from here"),
        ("_len: null", '_len: null\n    accelerators: ["rocm"]', "m: right; fits on no GPU type of this site"),
    ],
)
def test_what_only_deserves_a_word_does_not_count(app: App, run: Run, old: str, new: str, sentence: str) -> None:
    app.models.write_text(changed(MODELS, old, new) + MODELS.removeprefix("models:\n").replace('"m"', '"n"'))
    site = app.folder / "config" / "site.yml"
    site.write_text(changed(site.read_text(), 'model: "m"', 'model: "n"'))
    done = run("check")
    assert done.status == 0, done.output
    assert done.output.startswith(sentence)


def test_an_estimate_is_told(app: App, run: Run) -> None:
    data = json.loads((app.folder / "config" / "m.json").read_text())
    data["config"]["model_type"] = "new_kind"
    (app.folder / "config" / "m.json").write_text(json.dumps(data))
    assert "not known layer by layer" in run("check").output


def test_a_form_that_cannot_be_written_is_told(app: App, run: Run) -> None:
    site = app.folder / "config" / "site.yml"
    site.write_text(changed(site.read_text(), "hours: 1}", "hours: 99}"))
    done = run("check")
    assert done.status == 1
    assert "The form cannot be written" in done.output


def test_the_shipped_models_are_right(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    done = run("check")
    assert done.status == 0, done.output


def test_as_json_it_says_the_same(app: App, run: Run) -> None:
    [model] = run("check", "--json").document["models"]
    assert model == {"name": "m", "faults": [], "remarks": ["1 x g, 18.0 SU per hour"], "is_right": True}
    app.models.write_text(changed(MODELS, '"MIT"', '"unknown, look it up"'))
    done = run("check", "--json")
    assert (done.status, done.document["models"][0]["is_right"]) == (1, False)
