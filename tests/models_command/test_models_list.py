"""`llm-hoster models list`: all models, aligned, from what `configure` compiled where that is fresh."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from llm_hoster.launch.configure import configure
from tests.catalogue.small_site import MODELS
from tests.models_command.conftest import App, Run

LARGE = """
  - name: "large-one"
    title: "Large"
    source: "owner/large"
    licence: "MIT"
    group: "Tests"
    good_for: "tests"
    config: "large.json"
    max_model_len: null
    args: ["--tool_call_parser=hermes", "--reasoning-parser", "qwen3"]
"""


def write_large(app: App, gib: int = 100) -> None:
    data = json.loads((app.folder / "config" / "m.json").read_text())
    data["weights_bytes"] = gib * 2**30
    (app.folder / "config" / "large.json").write_text(json.dumps(data))
    app.models.write_text(MODELS + LARGE)


def test_each_model_is_a_row_of_aligned_columns(app: App, run: Run) -> None:
    write_large(app)
    lines = run("list").output.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["NAME", "m", "large-one"]
    assert lines[1].split() == ["m", "M", "2.1", "32768", "MIT", "1", "x", "g", "18.0", "-"]
    assert "fits nowhere" in lines[2]
    assert lines[2].endswith("hermes, qwen3")
    assert len({line.index(word) for line, word in zip(lines, ["LICENCE", "MIT", "MIT"], strict=True)}) == 1
    ends = {line.index(word) + len(word) for line, word in zip(lines, ["GIB", "2.1", "100.0"], strict=True)}
    assert len(ends) == 1


def test_as_json_it_is_one_list_with_numbers(app: App, run: Run) -> None:
    write_large(app)
    first, second = json.loads(run("list", "--json").output)
    assert first == {
        "name": "m",
        "title": "M",
        "weights_gib": pytest.approx(2.06, abs=0.02),
        "max_model_len": 32768,
        "licence": "MIT",
        "cheapest_place": "1 x g",
        "su_per_hour": 18.0,
        "tool_parser": None,
        "reasoning_parser": None,
    }
    assert (second["weights_gib"], second["cheapest_place"], second["su_per_hour"]) == (100.0, None, None)
    assert (second["tool_parser"], second["reasoning_parser"]) == ("hermes", "qwen3")


def test_a_fresh_catalogue_is_taken_and_a_stale_one_is_not(app: App, run: Run) -> None:
    CliRunner().invoke(configure, [], catch_exceptions=False)
    catalogue = app.folder / "catalogue.json"
    catalogue.write_text(catalogue.read_text().replace('"su_per_hour": 18.0', '"su_per_hour": 7.0'))
    assert json.loads(run("list", "--json").output)[0]["su_per_hour"] == 7.0
    app.models.write_text(MODELS + "# changed\n")
    assert json.loads(run("list", "--json").output)[0]["su_per_hour"] == 18.0


def test_the_catalogue_of_another_site_is_not_taken(app: App, run: Run) -> None:
    CliRunner().invoke(configure, [], catch_exceptions=False)
    site = app.folder / "config" / "site.yml"
    other = site.with_name("other.yml")
    other.write_text(site.read_text().replace("su_weight: 10", "su_weight: 20"))
    assert json.loads(run("list", "--json", "--site", str(other)).output)[0]["su_per_hour"] == 28.0


def test_a_catalogue_that_is_none_does_not_matter(app: App, run: Run) -> None:
    (app.folder / "catalogue.json").write_text("{")
    assert run("list").status == 0


@pytest.mark.parametrize(
    ("gib", "place", "su"), [(3, "1 x g", 18.0), (30, "2 x g", 36.0), (60, "2 x g with fp8_per_tensor", 36.0)]
)
def test_the_cheapest_place_is_one_that_holds_the_model(app: App, run: Run, gib: int, place: str, su: float) -> None:
    write_large(app, gib)
    row = json.loads(run("list", "--json").output)[1]
    assert (row["cheapest_place"], row["su_per_hour"]) == (place, su)
