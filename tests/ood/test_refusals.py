"""Thousands of launches, sensible and hostile: Ruby says of each what Python says, and submits nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest

from llm_hoster.catalogue.choice import Choice
from llm_hoster.catalogue.compiled import OTHER_MODEL, Catalogue
from llm_hoster.catalogue.sentences import CHOICE_SENTENCES, PLACE
from tests.ood.hostile import HOSTILE, HOSTILE_FOLDERS, MARK
from tests.ood.launches import expected_script, form_values, launch_all, load, python_choice, submit_all

CHOICES = 6000
TYPED = ["Qwen/Qwen3-8B", "/projects/jo/o'neil", "/", "owner/name/more", "owner", "a/" + "b" * 97, "/é", "", "../x"]
FIELDS = [name for name in form_values() if name != "bc_email_on_started"]


def offered(catalogue: Catalogue) -> dict[str, list[str]]:
    """Give values of each field that the form offers, and some beside them."""
    hours = {qos.max_hours for offers in catalogue.offers.values() for offer in offers.values() for qos in offer.qos}
    names = {qos.name for offers in catalogue.offers.values() for offer in offers.values() for qos in offer.qos}
    return {
        "model": [*(each.name for each in catalogue.models), OTHER_MODEL, "no-such-model"],
        "typed_model": TYPED,
        "gpu_type": [each.name for each in catalogue.gpu_types],
        "num_gpus": ["1", "1", "2", "3", "4", "8", "0"],
        "bc_num_hours": ["1", "2", "0", *(str(each + more) for each in sorted(hours) for more in (0, 1))],
        "qos": ["", "", *sorted(name for name in names if name), "no-such-qos"],
        "auto_accounts": ["ucb-general", "", "a" * 63, "a" * 64, "-A", "a b", "a\n"],
        "reservation": ["", "course.2026_A", "x" * 63, "x" * 64, ".hidden", "a,b"],
        "context_length": ["auto", *map(str, catalogue.context_lengths), "0", "1000"],
        "quantization": [*(each.name for each in catalogue.quantizations), "awq"],
        "preset": [*(each.name for each in catalogue.presets), "fast"],
        "lora_folder": ["", "/scratch/lora", "lora", "~/lora", "/" + "x" * 1023, "/" + "x" * 1024],
        "idle_minutes": ["0", "60", "1440", "1441", "", "1.0"],
        "chain_length": ["1", "2", "3", "4", "5", "0", "", "02"],
    }


def random_choices(catalogue: Catalogue, seed: int) -> list[dict[str, str]]:
    """Start from what the form sends by itself, and change, spoil or leave out a few fields."""
    random, values = Random(seed), offered(catalogue)
    choices = []
    for _ in range(CHOICES):
        gpu_type, num_gpus = random.choice(catalogue.places)
        sent = form_values(model=random.choice(values["model"]), gpu_type=gpu_type, num_gpus=num_gpus)
        for field in random.sample(FIELDS, random.randrange(4)):
            sent[field] = random.choice(values[field])
        if random.random() < 0.2:
            sent[random.choice(FIELDS)] = random.choice([*HOSTILE, *HOSTILE_FOLDERS])
        if random.random() < 0.1:
            del sent[random.choice(FIELDS)]
        choices.append(sent)
    return choices


def sentence_pattern(template: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(re.escape(part) for part in PLACE.split(template)[::2]))


@pytest.mark.parametrize("seed", [1, 2])
def test_ruby_and_python_agree_on_every_choice(alpine_app: Path, seed: int) -> None:
    catalogue = load(alpine_app)
    choices = random_choices(catalogue, seed)
    answers = launch_all(alpine_app, choices)
    sentences, accepted = [], 0
    for sent, answer in zip(choices, answers, strict=True):
        choice = python_choice(catalogue, sent)
        if isinstance(choice, Choice):
            accepted += 1
            assert (answer["error"], answer["yaml"]) == (None, expected_script(choice, sent)), sent
        else:
            sentences.append(choice)
            assert (answer["error"], answer["text"]) == (choice, None), sent
    assert accepted > CHOICES / 10
    # Each kind of refusal has come up, so the agreement says something of each.
    # "hours" is for sites without QoS; what is left out beside it is no refusal, or part of others.
    others = {"hours", "other_model", "replicas", "replicas_of_one"}
    kinds = {kind for kind in CHOICE_SENTENCES if "advice" not in kind} - others
    met = {kind for kind in kinds for each in sentences if sentence_pattern(CHOICE_SENTENCES[kind]).match(each)}
    assert met == kinds


def test_the_demo_agrees_too(local_app: Path) -> None:
    catalogue = load(local_app)
    choices = random_choices(catalogue, 3)[:1000]
    for sent, answer in zip(choices, launch_all(local_app, choices), strict=True):
        choice = python_choice(catalogue, sent)
        assert answer["error"] == (None if isinstance(choice, Choice) else choice), sent


def test_a_model_that_was_typed_is_not_forgotten_beside_one_that_is_chosen(alpine_app: Path) -> None:
    sent = form_values(typed_model="owner/name")
    assert submit_all(alpine_app, [sent])[0]["error"] == python_choice(load(alpine_app), sent)
    assert python_choice(load(alpine_app), sent) == (
        'You wrote "owner/name" as a model of your own, but Qwen3 4B is chosen: choose Other, or leave the field empty.'
    )


def test_people_read_titles_as_in_the_selects(alpine_app: Path) -> None:
    catalogue = load(alpine_app)
    refusals = {
        "Model Llama 3.3 70B Instruct on 1 x NVIDIA A100 40 GB does not fit": {"model": "llama-3.3-70b"},
        'Number of GPUs "3" is not offered for NVIDIA A100 40 GB:': {"num_gpus": "3"},
        'GPU type "a" is not offered: choose one of NVIDIA A100 slice, ': {"gpu_type": "a"},
        'Quantisation "a" is not known: choose one of As published, FP8 while loading.': {"quantization": "a"},
        'QoS "gpu-testing" does not serve 1 x NVIDIA A100 40 GB:': {"qos": "gpu-testing"},
    }
    for beginning, values in refusals.items():
        refusal = python_choice(catalogue, form_values(**{"gpu_type": "a100-40gb"} | values))
        assert isinstance(refusal, str)
        assert refusal.startswith(beginning), refusal
    models = python_choice(catalogue, form_values(model="a"))
    assert isinstance(models, str)
    assert models.endswith(", Other.")


def test_hours_that_are_refused_name_the_qos_that_refuses_them(alpine_app: Path, local_app: Path) -> None:
    sent = form_values(gpu_type="a100_3g.20gb", bc_num_hours="4")
    assert python_choice(load(alpine_app), sent) == (
        'Number of hours "4" is not possible on 1 x NVIDIA A100 slice: QoS gpu-testing allows 1 to 1, whole hours only.'
    )
    sent = form_values(model="tiny", gpu_type="cpu", bc_num_hours="999")
    refusal = python_choice(load(local_app), sent)
    assert isinstance(refusal, str)
    assert "QoS" not in refusal
    assert re.search(r"choose a whole number from 1 to \d+\.$", refusal)
    assert launch_all(local_app, [sent])[0]["error"] == refusal


def test_a_hostile_value_in_any_field_is_refused_in_one_sentence_or_stays_out_of_sbatch(alpine_app: Path) -> None:
    catalogue = load(alpine_app)
    choices = [form_values(**{field: value}) for field in FIELDS for value in HOSTILE]
    choices += [form_values(lora_folder=value) for value in HOSTILE_FOLDERS]
    choices += [form_values(model=OTHER_MODEL, typed_model=value) for value in (*HOSTILE, *HOSTILE_FOLDERS)]
    plain = submit_all(alpine_app, [form_values()])[0]["yaml"]
    taken = set()
    for sent, answer in zip(choices, submit_all(alpine_app, choices), strict=True):
        choice = python_choice(catalogue, sent)
        if answer["error"] is None:
            # A value that its field may have, or of a field that does not count.
            assert isinstance(choice, Choice), sent
            (field,) = {name for name in sent if sent[name] != form_values()[name]} - {"model"}
            taken.add(field)
            expected = expected_script(choice, sent)
            if field in ("typed_model", "lora_folder"):
                assert answer["yaml"] == plain
            assert answer["yaml"]["script"] == expected
            continue
        assert answer["error"] == choice
        assert len(answer["error"]) < 1200
        assert not re.search(r"[\x00-\x1f]", answer["error"])
    # "null" and the like are names that Slurm itself must refuse, "1" and the like are numbers.
    assert taken == {"typed_model", "lora_folder", "auto_accounts", "reservation"}
    assert not MARK.exists()


def test_a_refusal_quotes_the_first_sixty_characters(alpine_app: Path) -> None:
    choices = [form_values(idle_minutes=value) for value in HOSTILE]
    for sent, answer in zip(choices, launch_all(alpine_app, choices), strict=True):
        assert f" {json.dumps(sent['idle_minutes'][:60], ensure_ascii=False)} " in answer["error"]
