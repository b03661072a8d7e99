"""form.js as a file: what it holds of the catalogue, and that no text in the catalogue leaves the <script>."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.launch.form_script import PARTS, render_form_script
from tests.form.form_app import REPOSITORY, make_app, serve_form
from tests.form.form_page import FormPage
from tests.form.small_form import SITE

SOURCES = REPOSITORY / "webapp" / "llm_hoster" / "launch" / "preview"
ENDINGS = "</script><script>window.escaped = 1</script><!--<script>\u2028\u2029'\"`${1}\\"


def data_of(script: str) -> dict[str, Any]:
    found = re.search(r"^const data = (.*);$", script, re.MULTILINE)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def hostile(catalogue: Catalogue) -> Catalogue:
    models = [catalogue.models[0].model_copy(update={"title": ENDINGS}), *catalogue.models[1:]]
    return catalogue.model_copy(update={"models": models})


def test_it_says_what_wrote_it_and_is_ascii(catalogue: Catalogue) -> None:
    script = render_form_script(SITE, hostile(catalogue))
    assert script.startswith("// Written by `llm-hoster configure`")
    assert script.isascii()


def test_nothing_in_it_ends_the_script_element(catalogue: Catalogue) -> None:
    script = render_form_script(SITE, hostile(catalogue))
    assert "</" not in script
    assert "<!--" not in script
    assert data_of(script)["models"][0]["title"] == ENDINGS


def test_it_knows_every_fit_and_no_engine(catalogue: Catalogue) -> None:
    data = data_of(render_form_script(SITE, catalogue))
    places = [(offer["gpu_type"], offer["num_gpus"]) for offer in data["offers"]]
    for model, rows in data["fits"].items():
        for (gpu_type, num_gpus), row in zip(places, rows, strict=True):
            for variant, number in zip(data["variants"], row, strict=True):
                verdict, packed = catalogue.verdict(model, gpu_type, num_gpus, variant), data["verdicts"][number]
                if verdict.refusal:
                    assert packed == [verdict.refusal.kind, verdict.refusal.values]
                else:
                    assert packed[:4] == [
                        verdict.weights_gib, verdict.overhead_gib, verdict.kv_cache_gib, verdict.max_model_len,
                    ]  # fmt: skip
                    assert packed[4:] == [verdict.people, verdict.tight, verdict.replicas]
    assert not {"engines", "made_from", "site"} & set(data)


def test_each_part_is_small_and_loads_nothing() -> None:
    assert {path.name for path in SOURCES.iterdir()} == {f"{name}.js" for name in PARTS}
    for path in SOURCES.iterdir():
        text = path.read_text()
        assert len(text.splitlines()) <= 150, path.name
        assert max(map(len, text.splitlines())) <= 120, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|https?://|\bimport\b|fetch\(", text), (
            path.name
        )


@pytest.mark.browser
def test_a_hostile_title_is_shown_as_text(page: Page, catalogue: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    with serve_form(make_app(folder, SITE, hostile(catalogue))) as url:
        assert FormPage(page, url).open().preview.verdict == f"Fits: {ENDINGS} on 1 x NVIDIA L40."
        assert page.evaluate("window.escaped") is None
