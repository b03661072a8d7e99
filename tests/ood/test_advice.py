"""What a refusal for want of room advises: Launch accepts it, and nothing that comes before it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from llm_hoster.catalogue.choice import AUTO, Choice
from llm_hoster.catalogue.compiled import Catalogue, Option
from tests.ood.launches import form_values, launch_all, load, python_choice

CHOICES = 4000
PARTS = {
    "quantization": re.compile(r"the quantisation «([^»]+)»"),
    "preset": re.compile(r"the preset «([^»]+)»"),
    "place": re.compile(r"(?:Choose|and) (\d+) x ([^,.]+)"),
}


@pytest.fixture(scope="module")
def catalogue(alpine_app: Path) -> Catalogue:
    return load(alpine_app)


def all_choices(catalogue: Catalogue, hours: str) -> list[dict[str, str]]:
    """Give every combination of what decides on memory."""
    return [
        form_values(
            model=model.name,
            gpu_type=place[0],
            num_gpus=place[1],
            context_length=length,
            quantization=quantization.name,
            preset=preset.name,
            bc_num_hours=hours,
        )
        for model, place, length, quantization, preset in itertools.product(
            catalogue.models,
            catalogue.places,
            [AUTO, *map(str, catalogue.context_lengths)],
            catalogue.quantizations,
            catalogue.presets,
        )
    ]


def advised(catalogue: Catalogue, refusal: str) -> dict[str, str]:
    """Read the fields that the advice at the end of a refusal names; none where there is no advice."""
    advice = refusal[refusal.rindex("Choose") :] if "Choose" in refusal else ""
    named = {}
    for field, options in (("quantization", catalogue.quantizations), ("preset", catalogue.presets)):
        if found := PARTS[field].search(advice):
            named[field] = name_of(options, found[1])
    if found := PARTS["place"].search(advice):
        named["num_gpus"] = found[1]
        named["gpu_type"] = next(each.name for each in catalogue.gpu_types if each.title == found[2])
    return named


def name_of(options: list[Option], short_title: str) -> str:
    (name,) = (each.name for each in options if each.title.partition(":")[0] == short_title)
    return name


def accepted_places(catalogue: Catalogue, sent: dict[str, str]) -> Iterator[Choice]:
    for gpu_type, num_gpus in catalogue.places:
        choice = python_choice(catalogue, sent | {"gpu_type": gpu_type, "num_gpus": num_gpus})
        if isinstance(choice, Choice):
            yield choice


@pytest.mark.parametrize("hours", ["4", "100"])
def test_launch_accepts_what_is_advised(alpine_app: Path, catalogue: Catalogue, hours: str) -> None:
    choices = Random(1).sample(all_choices(catalogue, hours), CHOICES)
    counts = {"place": 0, "variant": 0, "none": 0}
    for sent, answer in zip(choices, launch_all(alpine_app, choices), strict=True):
        refusal = python_choice(catalogue, sent)
        if isinstance(refusal, Choice) or refusal.startswith("Number of hours"):
            continue
        assert answer["error"] == refusal
        named = advised(catalogue, refusal)
        if named:
            assert isinstance(python_choice(catalogue, sent | named), Choice), (sent, refusal)
        else:
            assert refusal.endswith(catalogue.sentences["no_advice"])
        counts["none" if not named else "variant" if {"quantization", "preset"} & set(named) else "place"] += 1
    assert min(counts.values()) > 20, counts


def together(catalogue: Catalogue, sent: dict[str, str]) -> list[dict[str, str]]:
    """Give the presets that hold it where it is replicas that do not."""
    variant = f"{sent['quantization']}/{sent['preset']}"
    if catalogue.verdict(sent["model"], sent["gpu_type"], sent["num_gpus"], variant).replicas == 1:
        return []
    presets = [{"preset": each.name} for each in catalogue.presets]
    return [each for each in presets if isinstance(python_choice(catalogue, sent | each), Choice)]


def test_what_is_advised_is_the_cheapest_and_as_wished_where_that_is_possible(catalogue: Catalogue) -> None:
    variants = [
        {"quantization": quantization.name, "preset": preset.name}
        for quantization in catalogue.quantizations
        for preset in catalogue.presets
    ]
    for sent in Random(2).sample(all_choices(catalogue, "4"), 300):
        refusal = python_choice(catalogue, sent)
        if isinstance(refusal, Choice) or refusal.startswith("Number of hours"):
            continue
        named = advised(catalogue, refusal)
        if shared := together(catalogue, sent):
            assert named in shared, refusal
            continue
        prices = [choice.qos.su_per_hour for choice in accepted_places(catalogue, sent)]
        if prices:
            assert set(named) == {"gpu_type", "num_gpus"}, refusal
            taken = python_choice(catalogue, sent | named)
            assert isinstance(taken, Choice)
            assert taken.qos.su_per_hour == min(prices), refusal
        elif not named:
            assert not [each for variant in variants for each in accepted_places(catalogue, sent | variant)], refusal


@pytest.mark.parametrize(
    ("values", "ending"),
    [
        pytest.param(
            {"model": "llama-3.1-405b", "gpu_type": "h200", "num_gpus": "4"},
            "Choose the quantisation «FP8 while loading»: then it fits here.",
            id="here, quantised",
        ),
        pytest.param(
            {"model": "gpt-oss-20b", "quantization": "fp8_per_tensor"},
            "Choose the quantisation «As published»: then it fits here.",
            id="here, as published",
        ),
        pytest.param(
            {"model": "llama-3.1-405b"},
            "Choose the quantisation «FP8 while loading» and 4 x NVIDIA H200.",
            id="elsewhere, quantised",
        ),
        pytest.param(
            {
                "model": "devstral-small-2-24b",
                "gpu_type": "l40",
                "num_gpus": "2",
                "preset": "throughput",
                "context_length": "131072",
            },
            "Choose the preset «Interactive»: then it fits here.",
            id="together instead of in replicas",
        ),
        pytest.param(
            {"model": "llama-3.3-70b", "gpu_type": "a100-40gb", "qos": "gpu-long", "bc_num_hours": "100"},
            "Choose 2 x NVIDIA RTX Pro 6000, the cheapest that holds it.",
            id="in the hours",
        ),
        pytest.param(
            {"model": "llama-3.1-405b", "gpu_type": "h200", "num_gpus": "4", "bc_num_hours": "100"},
            "No choice of this site holds it for these hours, in this QoS and with this context: change one of them, "
            "or the model.",
            id="not for so many hours",
        ),
    ],
)
def test_the_advice_is(alpine_app: Path, catalogue: Catalogue, values: dict[str, str], ending: str) -> None:
    sent = form_values(**values)
    refusal = python_choice(catalogue, sent)
    assert isinstance(refusal, str)
    assert refusal.endswith(f". {ending}"), refusal
    assert launch_all(alpine_app, [sent])[0]["error"] == refusal
