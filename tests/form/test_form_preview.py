"""Each sentence of the preview, brought about in the browser."""

from __future__ import annotations

import pytest

from llm_hoster.catalogue.choice import FormValues, choose
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.errors import ChoiceError
from tests.form.form_page import FormPage

pytestmark = pytest.mark.browser
DEFAULTS = {"model": "small", "gpu_type": "l40", "num_gpus": "1", "bc_num_hours": "1"}
UNTOUCHED = DEFAULTS | {"typed_model": "", "qos": "", "reservation": "", "context_length": "auto", "lora_folder": "",
                        "idle_minutes": "60", "chain_length": "1"}  # fmt: skip


def refusal(catalogue: Catalogue, **values: str) -> str:
    """Give the sentence of Launch."""
    with pytest.raises(ChoiceError) as refused:
        choose(catalogue, FormValues(**DEFAULTS | values))
    return str(refused.value)


def test_a_choice_that_fits_is_shown_with_all_its_numbers(form: FormPage) -> None:
    preview = form.open(bc_num_hours="4").preview
    assert preview.verdict == "Fits: Small 4B on 1 x NVIDIA L40."
    assert preview.facts == {
        "Memory": "7.5 GiB weights, 2.5 GiB working memory, 31.0 GiB room for conversations, of 44.5 GiB",
        "Context": "up to 40960 tokens, for 6 people at once",
        "Price": "118.6 SU an hour, 474.4 SU for 4 hours; 23.7 % of the account's 2000 SU per month",
        "Runs in": "partition al40, QoS normal, up to 24 hours",
    }


def test_sessions_in_a_row_are_priced_with_their_overlap(form: FormPage) -> None:
    preview = form.open(bc_num_hours="4", chain_length="3").preview
    assert preview.facts["Price"] == (
        "118.6 SU an hour, 1423.2 SU for 3 x 4 hours, of which at least 20 minutes (39.5 SU) overlap; "
        "71.2 % of the account's 2000 SU per month"
    )


def test_the_memory_is_that_of_each_gpu(form: FormPage) -> None:
    memory = form.open(num_gpus="2").preview.facts["Memory"]
    assert memory == "3.8 GiB weights, 2.6 GiB working memory, 34.6 GiB room for conversations, of 44.5 GiB on each GPU"


@pytest.mark.parametrize(
    ("context_length", "expected"),
    [
        ("4096", "4096 tokens, for 62 people at once; up to 40960 would fit"),
        ("32768", "32768 tokens, for 7 people at once; up to 40960 would fit"),
    ],
)
def test_people_are_counted_at_the_context_length_that_was_chosen(
    form: FormPage, context_length: str, expected: str
) -> None:
    assert form.open(context_length=context_length).preview.facts["Context"] == expected


def test_the_longest_context_itself_can_be_chosen(form: FormPage) -> None:
    facts = form.open(gpu_type="h200", context_length="131072").preview.facts
    assert facts["Context"] == "131072 tokens, for 7 people at once; up to 131072 would fit"


@pytest.mark.parametrize(
    ("num_gpus", "preset", "replicas", "context"),
    [
        ("2", "throughput", "2 replicas, each on 1 GPU", "up to 40960 tokens, for 12 people at once"),
        ("4", "throughput", "2 replicas, each on 2 GPUs", "up to 131072 tokens, for 8 people at once"),
        ("4", "interactive", None, "up to 131072 tokens, for 9 people at once"),
    ],
)
def test_replicas_are_told(form: FormPage, num_gpus: str, preset: str, replicas: str | None, context: str) -> None:
    facts = form.open(num_gpus=num_gpus, preset=preset).preview.facts
    assert (facts.get("Replicas"), facts["Context"]) == (replicas, context)


def test_one_person_is_no_people(form: FormPage) -> None:
    facts = form.open(model="large", gpu_type="h200").preview.facts
    assert facts["Context"] == "up to 131072 tokens, for 1 person at once"


def test_a_tight_choice_says_what_to_expect(form: FormPage) -> None:
    verdict = form.open(gpu_type="slice").preview.verdict
    assert verdict == "Tight: Small 4B on 1 x NVIDIA H200 slice. Expect short conversations, or few people at once."


def test_a_place_without_a_gpu_shows_no_memory(form: FormPage) -> None:
    preview = form.open(gpu_type="cpu").preview
    assert preview.verdict == "Fits: Small 4B on 1 x No GPU."
    assert preview.facts["Context"] == "up to 131072 tokens"
    assert preview.facts["Runs in"] == "partition al40, up to 24 hours"
    assert "Memory" not in preview.facts


def test_the_note_of_a_gpu_type_is_shown_with_every_model(form: FormPage) -> None:
    for values in ({}, {"model": "large"}, {"model": "other", "typed_model": "owner/name"}):
        assert form.open(gpu_type="cpu", **values).preview.facts["GPU type"] == "for trying things out"
    assert "GPU type" not in form.open(gpu_type="l40").preview.facts


def test_adapters_are_said_not_to_be_counted(form: FormPage) -> None:
    words = "The adapters of the LoRA folder take memory that is not counted here."
    assert form.open(lora_folder="/adapters").preview.facts["LoRA"] == words
    for values in ({"lora_folder": ""}, {"model": "large", "lora_folder": "/adapters"}):
        assert "LoRA" not in form.set(**values).preview.facts


@pytest.mark.parametrize(
    ("account", "share"),
    [
        ("ucb-general", "; 5.9 % of the account's 2000 SU per month"),
        ("big1_lab", "; less than 0.1 % of the account's 7500000 SU per year"),
        ("private", ""),
    ],
)
def test_the_share_is_that_of_the_chosen_account(form: FormPage, account: str, share: str) -> None:
    facts = form.open(auto_accounts=account).preview.facts
    assert facts["Price"] == f"118.6 SU an hour, 118.6 SU for 1 hour{share}"


def test_a_qos_changes_the_price_and_the_hours(form: FormPage) -> None:
    facts = form.open(qos="testing").preview.facts
    assert facts["Price"].startswith("11.9 SU an hour, 11.9 SU for 1 hour; 0.6 %")
    assert facts["Runs in"] == "partition al40, QoS testing, up to 1 hour"


DOES_NOT_FIT = [
    {"model": "large"},
    {"model": "large", "gpu_type": "slice"},
    {"model": "huge", "gpu_type": "h200"},
    {"context_length": "65536"},
    {"context_length": "262144"},
    {"gpu_type": "slice", "num_gpus": "3"},
]
NOT_POSSIBLE = [
    {"num_gpus": "3"},
    {"model": "other", "typed_model": "no id"},
    {"model": "other", "typed_model": ""},
    {"bc_num_hours": "169"},
    {"bc_num_hours": "0"},
    {"bc_num_hours": ""},
    {"qos": "testing", "gpu_type": "h200"},
    {"reservation": "two words"},
    {"lora_folder": "relative/folder"},
    {"idle_minutes": "1441"},
    {"idle_minutes": ""},
    {"chain_length": "4"},
    {"chain_length": "0"},
    {"chain_length": "2", "gpu_type": "h200"},
]


def test_what_does_not_fit_is_refused_in_the_words_of_launch(form: FormPage, catalogue: Catalogue) -> None:
    form.open()
    for values in DOES_NOT_FIT:
        assert form.set(**UNTOUCHED | values).preview.verdict == f"Does not fit: {refusal(catalogue, **values)}"


def test_what_is_not_possible_is_refused_in_the_words_of_launch(form: FormPage, catalogue: Catalogue) -> None:
    form.open()
    for values in NOT_POSSIBLE:
        preview = form.set(**UNTOUCHED | values).preview
        assert preview.verdict == f"Not possible: {refusal(catalogue, **values)}"
        assert "Price" not in preview.facts


def test_slices_cannot_hold_a_model_together(form: FormPage) -> None:
    verdict = form.open(gpu_type="slice", num_gpus="3").preview.verdict
    assert "3 slices cannot hold a model together" in verdict


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        ({"num_gpus": "4", "bc_num_hours": "48"}, ("long", "168 hours", "2 x NVIDIA L40")),
        ({"qos": "testing", "num_gpus": "2"}, ("testing", "1 hour", "1 x NVIDIA L40")),
        ({"qos": "long", "gpu_type": "h200", "num_gpus": "2"}, ("long", "168 hours", "1 x NVIDIA H200")),
    ],
)
def test_a_limit_of_a_qos_is_named(
    form: FormPage, catalogue: Catalogue, values: dict[str, str], limit: tuple[str, str, str]
) -> None:
    qos, hours, most = limit
    words = f"QoS {qos} allows {hours}, but to one person no more than {most}."
    assert form.open(**values).preview.verdict == f"Not possible: {refusal(catalogue, **values)} {words}"


@pytest.mark.parametrize("typed", ["owner/name", "/projects/a b/model"])
def test_a_typed_model_is_said_to_be_checked_later(form: FormPage, typed: str) -> None:
    preview = form.open(model="other", typed_model=typed).preview
    words = "The node checks whether it fits, in seconds, before vLLM starts."
    assert preview.verdict == f"Not checked yet: {typed} on 1 x NVIDIA L40. {words}"
    assert set(preview.facts) == {"Price", "Runs in"}


def test_values_are_shown_as_text(form: FormPage) -> None:
    typed = "<img src=x onerror=alert(1)>"
    assert typed in form.open(model="other", typed_model=typed).preview.verdict
    assert form.page.locator("#llm_hoster_preview img").count() == 0


def test_the_preview_speaks_once_a_person_has_stopped_typing(form: FormPage) -> None:
    form.open()
    status = form.page.get_by_role("status")
    assert status.text_content() == ""
    status.evaluate(
        "node => { window.spoken = []; new MutationObserver(() => spoken.push(node.textContent))"
        ".observe(node, { childList: true }); }"
    )
    form.field("bc_num_hours").press_sequentially("23")
    assert form.preview.verdict.startswith("Not possible")
    form.field("bc_num_hours").fill("12")
    form.page.wait_for_function("window.spoken.length > 0")
    form.page.wait_for_timeout(1000)
    price = "118.6 SU an hour, 1423.2 SU for 12 hours; 71.2 % of the account's 2000 SU per month."
    assert form.page.evaluate("window.spoken") == [f"Fits: Small 4B on 1 x NVIDIA L40. {price}"]
