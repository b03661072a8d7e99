"""Which passages of long files go with a question, and how they stand in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_hoster.attachments.attachment import Attachment, Kind
from llm_hoster.attachments.content import Content
from llm_hoster.attachments.passages import (
    PASSAGE_CHARACTERS,
    Passage,
    estimated_tokens,
    fitting_passages,
    passages_block,
    passages_of,
    question_about,
)

FILLER = "The committee met again and nothing of note was decided on that day by those who had come. " * 10


def passages(*pages: str, kind: Kind = "pdf", name: str = "report.pdf", file: str = "a") -> list[Passage]:
    return passages_of(Attachment(file * 64, name, kind, 1), Content("text", pages))


def pages_of(chosen: list[Passage]) -> list[int | None]:
    return [each.page for each in chosen]


def test_a_page_is_cut_at_empty_lines_and_every_line_keeps_its_number() -> None:
    lines = [f"Line {number} of the text, which says one thing or another." for number in range(1, 101)]
    lines[17] = ""
    text = "\n".join(lines)
    cut = passages(text, kind="text", name="notes.txt")
    assert (cut[0].first_line, cut[0].last_line, cut[1].first_line) == (1, 17, 19)
    assert all(each.text == "\n".join(lines[each.first_line - 1 : each.last_line]) for each in cut)
    assert all(len(each.text) <= PASSAGE_CHARACTERS for each in cut)
    assert cut[-1].last_line == 100
    assert [each.page for each in cut] == [None] * len(cut)


@pytest.mark.parametrize("text", ["word " * 2_000, "x" * 10_000, "One sentence. " * 700, "字" * 5_000, "a\n" * 5_000])
def test_a_line_without_an_end_is_cut_and_nothing_of_it_is_lost(text: str) -> None:
    cut = passages(text, kind="text")
    assert all(len(each.text) <= PASSAGE_CHARACTERS for each in cut)
    assert "".join("".join(each.text for each in cut).split()) == "".join(text.split())


def test_what_has_no_text_has_no_passages() -> None:
    assert passages("", "  \n\n ") == []
    assert passages_of(Attachment("a" * 64, "p.png", "picture", 1), Content("picture")) == []
    assert fitting_passages("Why?", [], 1_000) == []


def test_the_passage_that_answers_is_found_by_its_words() -> None:
    pages = [FILLER] * 40
    pages[22] = "The reactor was shut down in March 2019 because two pumps were leaking."
    chosen = fitting_passages("When was the reactor shut down, and why were the pumps leaky?", passages(*pages), 150)
    assert pages_of(chosen) == [23]


def test_other_forms_of_a_word_and_of_its_letters_are_found() -> None:
    pages = [FILLER] * 9
    pages[3] = "Der Kühlkörper wurde getauscht."
    pages[6] = "Prices were rising."
    assert pages_of(fitting_passages("KUHLKORPER?", passages(*pages), 60)) == [4]
    assert pages_of(fitting_passages("price rises", passages(*pages), 60)) == [7]


def test_scripts_without_spaces_are_searched_by_pairs_of_letters() -> None:
    pages = ["我们今天讨论了天气和旅行。"] * 5 + ["反应堆在三月关闭。"]
    assert pages_of(fitting_passages("反应堆为什么关闭", passages(*pages), 30)) == [6]


def test_the_room_is_kept_to_and_what_stands_around_comes_after_what_fits() -> None:
    pages = [f"Page {number} is of nothing. {FILLER}" for number in range(1, 31)]
    pages[9] = pages[19] = f"The gooseberry harvest was good. {FILLER}"
    cut = passages(*pages)
    cost = estimated_tokens(passages_block(cut[9:10]))
    for budget in (cost - 1, 2 * cost, 5 * cost, 20 * cost):
        chosen = fitting_passages("How was the gooseberry harvest?", cut, budget)
        assert sum(estimated_tokens(passages_block([each])) for each in chosen) <= budget
    assert pages_of(fitting_passages("gooseberry harvest", cut, cost - 1)) == []
    assert pages_of(fitting_passages("gooseberry harvest", cut, 2 * cost)) == [10, 20]
    assert pages_of(fitting_passages("gooseberry harvest", cut, 20 * cost)) == [9, 10, 11, 19, 20, 21]


def test_words_that_stand_everywhere_bring_nothing_in() -> None:
    pages = [f"{FILLER}{number}" for number in range(30)]
    pages[4] = f"{FILLER} Gooseberries."
    chosen = fitting_passages("What did the committee decide on gooseberries on that day?", passages(*pages), 100_000)
    assert pages_of(chosen) == [4, 5, 6]


@pytest.mark.parametrize("question", ["Summarise it", "?!", '") OR (', "AND NOT NEAR"])
def test_a_question_without_a_word_of_theirs_has_the_beginnings_of_the_files(question: str) -> None:
    one = passages(*[FILLER] * 5)
    other = passages(*[FILLER] * 5, file="b", name="other.pdf")
    chosen = fitting_passages(question, one + other, 3 * estimated_tokens(passages_block(one[:1])))
    assert [(each.name, each.page) for each in chosen] == [("report.pdf", 1), ("report.pdf", 2), ("other.pdf", 1)]


def alpha_and_beta() -> list[Passage]:
    """Two files; most words of a question are in the first, and neither has the name of one."""
    alpha = [f"Say what the summary of the {number} results does in our files. {FILLER}" for number in range(20)]
    beta = [f"Cooling slowly, as on day {number}. {FILLER}" for number in range(20)]
    alpha[11] = beta[12] = f"Gooseberries like the cold. {FILLER}"
    return passages(*alpha, name="alpha.txt") + passages(*beta, file="b", name="beta.txt")


def taken(question: str, fallback: str = "", cut: list[Passage] | None = None) -> list[tuple[str, int | None]]:
    cut = cut or alpha_and_beta()
    budget = 4 * estimated_tokens(passages_block(cut[:1]))
    return [(each.name, each.page) for each in fitting_passages(question, cut, budget, fallback=fallback)]


@pytest.mark.parametrize(
    "question",
    [
        "Summarise beta.txt",
        "What does beta say?",
        "Summarise BETA",
        "What is the summary of beta.txt?",
        "What are beta's key results?",
        "Was steht in beta?",
        "Fasse die Datei beta.txt zusammen.",
        "Tell me of trees in beta.txt",
    ],
)
def test_a_question_that_names_a_file_has_its_beginning(question: str) -> None:
    assert taken(question, "How are gooseberries?") == [("beta.txt", page) for page in range(1, 5)]


def test_a_file_that_is_named_is_searched_alone() -> None:
    for question in ("What does beta say of gooseberries?", "Gooseberries in beta.txt?"):
        assert taken(question) == [("beta.txt", 12), ("beta.txt", 13), ("beta.txt", 14)]
    assert taken("And why?", "What does beta say of gooseberries?")[0] == ("beta.txt", 12)
    assert [name for name, _ in taken("How do alpha and beta.txt speak of trees?")] == ["alpha.txt"] * 2 + [
        "beta.txt"
    ] * 2


@pytest.mark.parametrize(
    "question",
    ["Summarise both", "Summarise both papers in 200 words", "Give me an overview of all files", "Was sagen beide?"],
)
def test_a_question_for_all_has_the_beginnings_whatever_was_asked_before(question: str) -> None:
    beginnings = [("alpha.txt", 1), ("alpha.txt", 2), ("beta.txt", 1), ("beta.txt", 2)]
    assert taken(question) == taken(question, "How are gooseberries?") == beginnings


def test_what_is_looked_for_in_all_files_is_still_found() -> None:
    both = {("alpha.txt", 12), ("beta.txt", 13)}
    for question in ("Summarise what both say of gooseberries", "Gooseberries?", "Do all of them like gooseberries?"):
        assert both < set(taken(question))
    assert both < set(taken("And why is that?", "Gooseberries?"))


def test_files_have_the_same_room_whatever_the_length_of_their_pages() -> None:
    short = passages(*["A title, and nothing else."] * 200, name="slides.pdf")
    long = passages(*[FILLER] * 20, file="b", name="report.pdf")
    chosen = fitting_passages("Summarise both", short + long, 2_000)
    slides = sum(len(each.text) for each in chosen if each.name == "slides.pdf")
    assert 0.7 < 2 * slides / sum(len(each.text) for each in chosen) < 1.3


def test_a_word_of_the_subject_is_no_name() -> None:
    cut = passages("The day was cold. " * 50, "id,value", name="data.csv")
    cut += passages("Nothing.", "We collected data on gooseberries.", "None.", file="b", name="notes.txt")
    assert ("notes.txt", 2) in taken("What data on gooseberries did we collect?", cut=cut)
    # A word that is in the names of both says nothing of which is meant.
    cut = passages(FILLER, "A tree.", name="survey a.txt") + passages(FILLER, file="b", name="survey b.txt")
    assert {name for name, _ in taken("What does the survey say of trees?", cut=cut)} == {"survey a.txt"}


def test_names_in_scripts_without_spaces_are_found() -> None:
    cut = passages("天气" * 20, name="天气.txt") + passages("反应堆在三月关闭。" * 20, file="b", name="反应堆.txt")
    assert {name for name, _ in taken("总结反应堆", cut=cut)} == {"反应堆.txt"}


def test_passages_that_follow_one_another_are_one_source() -> None:
    lines = [f"Line {number} on gooseberries and what becomes of them." for number in range(1, 101)]
    (chosen,) = fitting_passages("gooseberries", passages("\n".join(lines), kind="text"), 100_000)
    assert (chosen.text.split("\n"), chosen.first_line, chosen.last_line) == (lines, 1, 100)


def test_rows_of_a_table_come_with_the_names_of_their_columns() -> None:
    rows = [f"{number},{'Gooseberry' if number == 150 else 'Apple'},12.5 kilograms" for number in range(1, 301)]
    cut = passages("id,fruit,weight\n" + "\n".join(rows), kind="table", name="fruit.csv")
    (chosen,) = fitting_passages("Gooseberry", cut, 400)
    assert chosen.first_line > 1
    assert f"lines {chosen.first_line} to {chosen.last_line}\n```\nid,fruit,weight\n" in passages_block([chosen])
    assert passages_block(cut[:1]).count("id,fruit,weight") == 1


def test_the_model_reads_numbered_sources_and_then_the_question() -> None:
    text = question_about("Why?", [*passages("One", "```\nTwo"), *passages("Three", kind="text", name="n.txt")])
    assert "[1] report.pdf, page 1\n```\nOne\n```\n" in text
    assert "[2] report.pdf, page 2\n````\n```\nTwo\n````\n" in text
    assert "[3] n.txt, line 1\n```\nThree\n```\n" in text
    assert text.endswith("\n\nWhy?")


def test_a_passage_is_kept_as_json() -> None:
    for passage in [*passages("One"), *passages("a,b\n" + "1,2\n" * 1_000, kind="table")]:
        assert Passage.from_json(json.loads(json.dumps(passage.to_json()))) == passage


@pytest.mark.parametrize(
    "change", [{"text": None}, {"page": "1"}, {"page": True}, {"first_line": None}, {"name": 7}, {"file_id": []}]
)
def test_what_is_no_passage_is_refused(change: dict[str, Any]) -> None:
    (passage,) = passages("One")
    with pytest.raises(ValueError):
        Passage.from_json(passage.to_json() | change)
    with pytest.raises(ValueError):
        Passage.from_json({})
