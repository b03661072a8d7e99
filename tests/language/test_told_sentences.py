"""Sentences that the code made in English, told in another language: by what stands around their values."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from llm_hoster.engine.failures.failure import explain
from llm_hoster.language import COOKIE, init_app, number, translated

LOGS = sorted((Path(__file__).parents[1] / "engine" / "logs").glob("*.log"))


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    init_app(app)
    return app


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("No chat came in.", "Kein Chat wurde importiert."),
        ("1,234 chats came in.", "1.234 Chats wurden importiert."),
        ("started again twice", "zweimal neu gestartet"),
        ("Still there? · ", "Noch da? · "),
        # Several in a row, and one of a value.
        (
            "Qwen 3 could not be started. The GPU's memory is too small for this model. Small model comes back.",
            "Qwen 3 konnte nicht gestartet werden. Der GPU-Speicher ist zu klein für dieses Modell. "
            "Small model kommt zurück.",
        ),
        ("48,000 tokens: 5 conversations of 8,192", "48.000 Token: 5 Unterhaltungen mit 8.192"),
        # What is not known stays, word by word; so do words that only look like the beginning of known ones.
        ("ValueError: it broke.\n  At line 3.", "ValueError: it broke.\n  At line 3."),
        ("ready for nothing", "ready for nothing"),
        ("Nobody knows. Small model comes back.", "Nobody knows. Small model kommt zurück."),
        # Values are told as they are.
        ("vLLM is not allowed to use <b>{1}</b> {name}.", "vLLM darf <b>{1}</b> {name} nicht benutzen."),
        ("The engine refused this: %(x)s %d \\1", "Die Engine hat das abgelehnt: %(x)s %d \\1"),
        ("", ""),
    ],
)
def test_a_sentence_is_known_by_what_stands_around_its_values(app: Flask, english: str, german: str) -> None:
    with app.test_request_context(headers={"Cookie": f"{COOKIE}=de"}):
        assert translated(english) == german
    with app.test_request_context():
        assert translated(english) == english
    assert translated(english) == english


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_no_reason_of_a_failure_is_left_in_english(app: Flask, log: Path) -> None:
    cause = explain(log.read_text().splitlines(), 1).cause
    with app.test_request_context(headers={"Cookie": f"{COOKIE}=de"}):
        told = translated(cause)
    sentences = [sentence for sentence in cause.replace("? ", ". ").split(". ") if len(sentence.split()) > 2]
    assert [sentence for sentence in sentences if sentence in told] == []


def test_what_a_stranger_wrote_is_looked_at_in_no_more_time_than_it_takes_to_read(app: Flask) -> None:
    hostile = ["a (b) : " * 240, '"' * 1900, "{name} " * 280, "1 " * 900, ". " * 900, "x" * 100_000]
    with app.test_request_context(headers={"Cookie": f"{COOKIE}=de"}):
        assert [translated(text) for text in hostile] == hostile


def test_numbers_are_written_as_the_reader_writes_them(app: Flask) -> None:
    with app.test_request_context(headers={"Cookie": f"{COOKIE}=de"}):
        assert (number(8192), number(1234.56, 1)) == ("8.192", "1.234,6")
    assert (number(8192), number(1234.56, 1)) == ("8,192", "1,234.6")
