"""No attack of the corpus leaves anything in a reply that acts or loads: whole, unfinished, and cut anywhere."""

from __future__ import annotations

import json

import pytest

from llm_hoster.chat.delta import parse_stream
from llm_hoster.chat.growing_prose import GrowingProse
from llm_hoster.chat.markdown import parse_markdown, render_markdown, sanitise
from llm_hoster.chat.open_block import OpenBlock
from tests.chat.attack_corpus import ATTACKS, find_faults

DANGEROUS = [(name, attack) for name, attack in ATTACKS if len(attack) < 160]

each_attack = pytest.mark.parametrize("attack", [attack for _, attack in ATTACKS], ids=[name for name, _ in ATTACKS])
each_dangerous = pytest.mark.parametrize(
    "attack", [attack for _, attack in DANGEROUS], ids=[name for name, _ in DANGEROUS]
)


def streamed(text: str) -> str:
    """Take the text as a reply gets it: half of a pair of surrogates does not come so far."""
    event = b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"
    return "".join(delta.content for delta in parse_stream([event]))


@pytest.mark.parametrize("number", [200])
def test_there_are_enough_attacks(number: int) -> None:
    assert len(ATTACKS) == len({attack for _, attack in ATTACKS}) >= number


@each_attack
def test_an_attack_leaves_nothing_that_acts_or_loads(attack: str) -> None:
    assert find_faults(render_markdown(streamed(attack))) == []


@each_attack
def test_the_parser_alone_lets_no_attack_through(attack: str) -> None:
    assert find_faults(parse_markdown(streamed(attack))) == []


@each_attack
def test_the_sanitiser_alone_lets_no_attack_through(attack: str) -> None:
    """As if the parser had left all of it as it is."""
    assert find_faults(sanitise(streamed(attack))) == []


@each_dangerous
def test_no_beginning_of_an_attack_and_no_rest_of_it_does_either(attack: str) -> None:
    text = streamed(attack)
    for cut in range(1, len(text)):
        html, _ = OpenBlock().render_unfinished(text[:cut])
        assert find_faults(html) == []
        assert find_faults(render_markdown(text[cut:])) == []


@each_dangerous
def test_an_attack_that_comes_letter_by_letter_after_other_text_does_not_either(attack: str) -> None:
    prose = GrowingProse()
    for letter in "Words.\n\n- an item\n" + streamed(attack) + "\n\n| a | b |\n|---|---|\n" + streamed(attack) + "\n\n":
        growth = prose.add(letter)
        if growth is not None:
            assert find_faults(growth.parts) + find_faults(growth.html) + find_faults(growth.tail) == []


@each_dangerous
def test_a_stream_that_is_cut_in_the_middle_of_a_letter_is_read_the_same(attack: str) -> None:
    event = b"data: " + json.dumps({"choices": [{"delta": {"content": streamed(attack)}}]}, ensure_ascii=False).encode()
    whole = list(parse_stream([event + b"\n\n"]))

    for cut in range(1, len(event)):
        assert list(parse_stream([event[:cut], event[cut:] + b"\n\n"])) == whole
