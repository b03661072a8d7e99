"""The preview by keyboard alone, and before axe-core, with both Bootstraps, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.form.form_app import REPOSITORY, serve_form
from tests.form.form_page import PANEL, FormPage

pytestmark = pytest.mark.browser
AXE = REPOSITORY / "tests" / "vendor" / "axe.min.js"
# One after the other.
STATES = [
    {"bc_num_hours": "4"},
    {"gpu_type": "slice"},
    {"model": "large", "gpu_type": "l40", "context_length": "8192"},
    {"model": "small", "num_gpus": "4", "bc_num_hours": "48"},
    {"model": "other", "typed_model": "owner/name", "bc_num_hours": "4"},
]


@pytest.fixture(scope="module")
def bootstrap_4(app: Path) -> Iterator[str]:
    with serve_form(app, bootstrap=4) as url:
        yield url


@pytest.fixture(params=[(5, "light"), (5, "dark"), (4, "light")], ids=lambda param: f"bootstrap {param[0]} {param[1]}")
def looks(request: pytest.FixtureRequest, page: Page, form_url: str, bootstrap_4: str) -> FormPage:
    bootstrap, theme = request.param
    page.add_init_script(f"addEventListener('load', () => {{ document.documentElement.dataset.bsTheme = '{theme}'; }})")
    return FormPage(page, form_url if bootstrap == 5 else bootstrap_4)


def find_faults(page: Page) -> list[str]:
    found = page.evaluate("axe.run()")
    return [f"{fault['id']}: {node['html']}" for fault in found["violations"] for node in fault["nodes"]]


def test_axe_finds_nothing(looks: FormPage) -> None:
    looks.open().page.locator("details").evaluate("details => { details.open = true; }")
    looks.page.add_script_tag(path=AXE)
    for values in STATES:
        looks.set(**values)
        assert find_faults(looks.page) == [], values


def test_nothing_is_wider_than_a_phone(looks: FormPage) -> None:
    looks.page.set_viewport_size({"width": 320, "height": 700})
    looks.open(model="large")
    assert looks.page.evaluate("document.documentElement.scrollWidth") <= 320


def press_until_focused(page: Page, selector: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"Tab never reaches {selector}")


def test_everything_can_be_done_by_keyboard(form: FormPage) -> None:
    page = form.open().page
    press_until_focused(page, "#batch_connect_session_context_model")
    page.keyboard.press("ArrowDown")
    assert form.value("model") == "large"
    press_until_focused(page, "summary")
    page.keyboard.press("Enter")
    expect(form.field("preset")).to_be_visible()
    press_until_focused(page, f"{PANEL} button")
    assert page.evaluate("document.activeElement.textContent") == "Take FP8 while loading"
    page.keyboard.press("Enter")
    assert form.preview.verdict.startswith("Tight")
    expect(page.locator(PANEL)).to_be_focused()
    press_until_focused(page, "[type=submit]")
    page.keyboard.press("Enter")
    assert "fp8_per_tensor" in page.locator(".alert-danger pre").inner_text()


def test_the_panel_comes_after_the_fields_and_before_launch(form: FormPage) -> None:
    order = form.open(model="large").page.evaluate(
        "[...document.querySelectorAll('summary, #llm_hoster_preview button, [type=submit]')].map(e => e.localName)"
    )
    assert order == ["summary", "button", "button", "input"]


def test_the_verdict_is_not_told_by_colour_alone(form: FormPage) -> None:
    form.open()
    words = {form.set(**values).preview.verdict.split(":")[0] for values in STATES}
    assert words == {"Fits", "Tight", "Does not fit", "Not possible", "Not checked yet"}
