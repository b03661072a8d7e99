"""The fields around the preview: More, groups of models, a model of one's own, QoS; and that none holds Launch back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.form.form_app import FIELDS, serve_form
from tests.form.form_page import PANEL, FormPage

pytestmark = pytest.mark.browser
MORE = (
    "context_length",
    "quantization",
    "preset",
    "lora_folder",
    "idle_minutes",
    "chain_length",
    "bc_email_on_started",
)


def sent(alert: str) -> dict[str, str]:
    """Read what the browser sent from the portal's alert; Ruby writes a list of texts as JSON does."""
    values: list[str] = json.loads(alert.removeprefix("save: ").strip())
    return dict(zip(FIELDS, values, strict=True))


def test_rare_fields_wait_below_more(form: FormPage) -> None:
    form.open()
    for name in MORE:
        expect(form.field(name)).not_to_be_visible()
    expect(form.field("reservation")).to_be_visible()
    form.page.get_by_text("More", exact=True).click()
    for name in MORE:
        expect(form.field(name)).to_be_visible()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context_length", "8192"),
        ("preset", "throughput"),
        ("lora_folder", "/a"),
        ("idle_minutes", "30"),
        ("chain_length", "2"),
    ],
)
def test_more_is_open_when_the_form_comes_back_with_something_unusual_in_it(
    form: FormPage, name: str, value: str
) -> None:
    form.open(**{name: value})
    form.launch()
    expect(form.field(name)).to_be_visible()
    assert form.value(name) == value


def test_more_stays_closed_when_the_form_comes_back_with_nothing_unusual(form: FormPage) -> None:
    form.open(model="large").launch()
    expect(form.field("idle_minutes")).not_to_be_visible()


def test_a_wrong_value_below_more_comes_to_light_at_launch(form: FormPage) -> None:
    form.open(idle_minutes="9999")
    form.page.get_by_role("button", name="Launch").click()
    expect(form.field("idle_minutes")).to_be_focused()


def test_what_is_sent_is_what_is_shown(form: FormPage) -> None:
    form.open(model="large", gpu_type="h200", num_gpus="2", bc_num_hours="3", qos="normal", preset="throughput")
    expected = {"model": "large", "gpu_type": "h200", "num_gpus": "2", "bc_num_hours": "3", "qos": "normal"}
    values = sent(form.launch())
    assert {name: values[name] for name in expected} == expected
    assert (values["preset"], values["context_length"], values["idle_minutes"]) == ("throughput", "auto", "60")


def test_launch_is_not_held_back_by_what_the_preview_says(form: FormPage) -> None:
    form.open(model="huge", gpu_type="slice")
    assert form.preview.verdict.startswith("Does not fit")
    assert sent(form.launch())["model"] == "huge"


def test_a_model_of_ones_own_is_asked_for_only_when_it_is_chosen(form: FormPage) -> None:
    form.open()
    expect(form.field("typed_model")).not_to_be_visible()
    form.enter("model", "other")
    expect(form.field("typed_model")).to_be_visible()
    form.enter("typed_model", "not an id")
    form.enter("model", "small")
    expect(form.field("typed_model")).not_to_be_visible()
    assert form.preview.verdict.startswith("Fits")
    form.enter("model", "other")
    assert form.value("typed_model") == "not an id"


def test_a_model_that_is_not_shown_is_neither_checked_nor_sent(form: FormPage) -> None:
    form.open(model="other", typed_model="not an id")
    form.enter("model", "small")
    assert sent(form.launch())["typed_model"] == ""


@pytest.mark.parametrize("model", ["small", "large", "huge"])
def test_models_are_grouped_and_the_chosen_one_stays(form: FormPage, model: str) -> None:
    form.open(model=model).launch()
    groups = form.field("model").evaluate(
        "select => [...select.children].map(child => "
        "[child.label, child.tagName === 'OPTGROUP' ? [...child.children].map(option => option.value) : child.value])"
    )
    other = groups.pop()
    assert groups == [["Everyday chat", ["small", "large"]], ["Reasoning", ["huge"]]]
    assert other[1] == "other"
    assert form.value("model") == model
    assert (form.field("model").locator("option").first.text_content() or "").startswith("Small 4B")


def test_a_qos_that_the_place_lacks_cannot_be_chosen(form: FormPage) -> None:
    form.open(gpu_type="h200", num_gpus="2")
    disabled = form.field("qos").evaluate("select => [...select.options].filter(o => o.disabled).map(o => o.value)")
    assert disabled == ["long", "testing"]


def test_a_qos_that_is_chosen_already_is_sent_even_where_the_place_lacks_it(form: FormPage) -> None:
    form.open(qos="testing", gpu_type="h200")
    assert form.preview.verdict.startswith("Not possible: QoS")
    assert sent(form.launch())["qos"] == "testing"


def check_without_script(form: FormPage) -> None:
    for name in FIELDS:
        expect(form.field(name)).to_be_visible()
    expect(form.page.locator(PANEL)).to_have_count(0)
    form.enter("model", "other")
    form.enter("typed_model", "owner/name")
    form.enter("idle_minutes", "5")
    values = sent(form.launch())
    assert (values["model"], values["typed_model"], values["idle_minutes"]) == ("other", "owner/name", "5")
    assert form.value("typed_model") == "owner/name"


def test_the_form_works_without_javascript(chromium: Browser, form_url: str) -> None:
    page = chromium.new_page(java_script_enabled=False)
    page.goto(form_url)
    for name in FIELDS:
        expect(page.locator(f"#batch_connect_session_context_{name}")).to_be_visible()
    expect(page.locator(PANEL)).to_have_count(0)
    page.locator("#batch_connect_session_context_model").select_option("other")
    page.locator("#batch_connect_session_context_typed_model").fill("owner/name")
    page.get_by_role("button", name="Launch").click()
    assert sent(page.locator(".alert-danger pre").inner_text())["typed_model"] == "owner/name"
    page.close()


@pytest.fixture
def blocked(chromium: Browser, app: Path) -> Iterator[tuple[FormPage, list[str]]]:
    """The form of a portal that blocks inline script, and what the browser says of it."""
    messages: list[str] = []

    def note(message: ConsoleMessage) -> None:
        messages.append(message.text)

    with serve_form(app, strict_csp=True) as url:
        page: Page = chromium.new_page()
        page.on("console", note)
        yield FormPage(page, url).open(), messages
        page.close()


def test_the_form_works_where_inline_script_is_blocked(blocked: tuple[FormPage, list[str]]) -> None:
    form, messages = blocked
    assert any("Content Security Policy" in message for message in messages)
    check_without_script(form)
