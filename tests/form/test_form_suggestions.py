"""Each suggestion of the preview: what it says, and that one click takes it."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from playwright.sync_api import Route, expect

from tests.form.form_page import PANEL, FormPage

pytestmark = pytest.mark.browser


class Case(NamedTuple):
    name: str
    values: dict[str, str]
    what: str
    sentence: str
    taken: dict[str, str]


CASES = [
    Case(
        "cheaper",
        {"gpu_type": "h200", "context_length": "32768", "bc_num_hours": "4"},
        "1 x NVIDIA L40",
        "1 x NVIDIA L40 holds it too: 118.6 instead of 402.4 SU an hour.",
        {"gpu_type": "l40", "num_gpus": "1", "bc_num_hours": "4", "context_length": "32768"},
    ),
    Case(
        "quantisation",
        {"model": "large"},
        "FP8 while loading",
        "FP8 while loading: half the memory, nearly the same answers. Then it fits here, with up to 14000 tokens.",
        {"quantization": "fp8_per_tensor", "gpu_type": "l40"},
    ),
    Case(
        "cheapest place",
        {"model": "large"},
        "2 x NVIDIA L40",
        "2 x NVIDIA L40 holds it: 237.2 SU an hour.",
        {"gpu_type": "l40", "num_gpus": "2", "quantization": "none"},
    ),
    Case(
        "cheapest place with a quantisation",
        {"model": "huge"},
        "2 x NVIDIA H200",
        '2 x NVIDIA H200 holds it with "FP8 while loading": 804.8 SU an hour.',
        {"gpu_type": "h200", "num_gpus": "2", "quantization": "fp8_per_tensor"},
    ),
    Case(
        "longest context",
        {"context_length": "65536"},
        "as long as fits",
        "Up to 40960 tokens fit here.",
        {"context_length": "auto"},
    ),
    Case(
        "preset",
        {"context_length": "65536"},
        "Long context",
        "Long context: room for twice as many tokens, at a slightly lower precision. "
        "Then it fits here, with up to 81920 tokens.",
        {"preset": "long-context", "context_length": "65536"},
    ),
    Case(
        "a place for the context",
        {"context_length": "65536"},
        "2 x NVIDIA L40",
        "2 x NVIDIA L40 holds it: 237.2 SU an hour.",
        {"gpu_type": "l40", "num_gpus": "2"},
    ),
    Case(
        "one slice",
        {"gpu_type": "slice", "num_gpus": "3"},
        "1 x NVIDIA H200 slice",
        "1 x NVIDIA H200 slice holds it: 48.0 SU an hour.",
        {"gpu_type": "slice", "num_gpus": "1"},
    ),
    Case(
        "another number",
        {"gpu_type": "h200", "num_gpus": "3"},
        "1 x NVIDIA H200",
        "1 x NVIDIA H200 holds it: 402.4 SU an hour.",
        {"gpu_type": "h200", "num_gpus": "1"},
    ),
    Case(
        "fewer hours",
        {"gpu_type": "h200", "num_gpus": "2", "bc_num_hours": "48"},
        "24 hours",
        "Up to 24 hours here.",
        {"bc_num_hours": "24", "num_gpus": "2"},
    ),
    Case(
        "fewer GPUs for the hours",
        {"num_gpus": "4", "bc_num_hours": "48"},
        "1 x NVIDIA L40",
        "1 x NVIDIA L40 holds it: 118.6 SU an hour.",
        {"num_gpus": "1", "bc_num_hours": "48"},
    ),
    Case(
        "another QoS for the hours",
        {"qos": "normal", "bc_num_hours": "48"},
        "QoS long",
        "QoS long gives it up to 168 hours: 118.6 SU an hour.",
        {"qos": "long", "bc_num_hours": "48"},
    ),
    Case(
        "a QoS of the place",
        {"qos": "testing", "gpu_type": "h200"},
        "QoS normal",
        "QoS normal gives it up to 24 hours: 402.4 SU an hour.",
        {"qos": "normal", "gpu_type": "h200"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_click_takes_a_suggestion(form: FormPage, case: Case) -> None:
    form.open(**case.values)
    assert form.preview.suggestions[f"Take {case.what}"] == case.sentence
    form.take(case.what)
    assert {name: form.value(name) for name in case.taken} == case.taken
    assert form.preview.verdict.startswith(("Fits", "Tight"))


def test_a_suggestion_can_be_taken_straight_from_the_field_that_brought_it(form: FormPage) -> None:
    form.open(gpu_type="h200", num_gpus="2")
    form.field("bc_num_hours").press_sequentially("8")  # After the 1 that is there.
    form.field("bc_num_hours").press_sequentially("0")
    form.take("24 hours")
    assert form.value("bc_num_hours") == "24"


def test_a_shorter_context_of_a_cheaper_place_is_named(form: FormPage) -> None:
    suggestions = form.open(gpu_type="h200", bc_num_hours="30").preview.suggestions
    sentence = "1 x NVIDIA L40 holds it too: 118.6 instead of 402.4 SU an hour. Its longest context is 40960 tokens."
    assert suggestions == {"Take 1 x NVIDIA L40": sentence}


def test_the_place_that_is_chosen_is_not_suggested_a_second_time(form: FormPage) -> None:
    suggestions = form.open(model="huge", gpu_type="h200", num_gpus="2").preview.suggestions
    assert list(suggestions) == ["Take FP8 while loading"]


def test_a_preset_that_a_context_needs_is_taken_with_its_place(form: FormPage) -> None:
    form.open(model="huge", gpu_type="l40", context_length="65536")
    sentence = '2 x NVIDIA H200 holds it with "FP8 while loading" and "Long context": 804.8 SU an hour.'
    assert form.preview.suggestions == {"Take 2 x NVIDIA H200": sentence}
    form.take("2 x NVIDIA H200")
    assert (form.value("quantization"), form.value("preset")) == ("fp8_per_tensor", "long-context")
    assert form.preview.verdict.startswith("Fits")


def test_the_cheapest_place_is_not_told_of_a_cheaper_one(form: FormPage) -> None:
    assert form.open(gpu_type="slice").preview.suggestions == {}


def test_a_tight_place_is_not_suggested_instead_of_a_roomy_one(form: FormPage) -> None:
    # The slice holds the small model at a lower price, but tightly.
    assert form.open(gpu_type="l40").preview.suggestions == {}


def test_a_typed_model_is_told_of_no_cheaper_place(form: FormPage) -> None:
    assert form.open(model="other", typed_model="owner/name", gpu_type="h200").preview.suggestions == {}


def test_hours_that_are_no_number_get_no_suggestion(form: FormPage) -> None:
    assert form.open(bc_num_hours="").preview.suggestions == {}


def test_a_field_that_the_site_left_out_is_not_set(form: FormPage) -> None:
    def leave_out(route: Route) -> None:
        text = route.fetch().text()
        route.fulfill(
            body=text.replace('id="batch_connect_session_context_quantization"', ""), content_type="text/html"
        )

    form.page.route(form.url, leave_out)
    assert list(form.open(model="large").preview.suggestions) == ["Take 2 x NVIDIA L40"]


def test_other_scripts_of_the_page_hear_of_what_was_taken(form: FormPage) -> None:
    form.open(model="large")
    form.page.evaluate(
        "() => { window.heard = []; for (const kind of ['input', 'change']) document.addEventListener(kind, "
        "(event) => heard.push(`${kind} ${event.target.id.replace('batch_connect_session_context_', '')}`)); }"
    )
    form.take("2 x NVIDIA L40")
    heard = form.page.evaluate("window.heard")
    assert heard == ["input gpu_type", "change gpu_type", "input num_gpus", "change num_gpus"]


def test_the_focus_stays_in_the_panel_when_its_button_goes(form: FormPage) -> None:
    form.open(model="large").take("2 x NVIDIA L40")
    expect(form.page.locator(PANEL)).to_be_focused()


def test_a_field_below_more_comes_to_light_when_it_is_set(form: FormPage) -> None:
    form.open(model="large")
    expect(form.field("quantization")).not_to_be_visible()
    form.take("FP8 while loading")
    expect(form.field("quantization")).to_be_visible()
