"""How the model is asked in one conversation: what people may write, what is kept, what the engine is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_hoster.chat.conversation_settings import SETTINGS, ConversationSettings, SettingsForm
from llm_hoster.chat.engine_request import engine_request
from llm_hoster.chat.failure import sentence_of_message
from llm_hoster.chat.message import Message
from llm_hoster.chat.turn import Turn, next_turn

SCHEMA = {"type": "object", "properties": {"year": {"type": "integer"}}}
FUNCTION = {"name": "find_paper", "description": "Finds it", "parameters": {"type": "object"}}
# What people write, what is kept, and what the engine is asked.
VALUES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "temperature": ("0,7", 0.7, {"temperature": 0.7}),
    "max_tokens": ("12,000", 12000, {"max_tokens": 12000}),
    "thinking": ("off", False, {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
    "reasoning_effort": ("high", "high", {"reasoning_effort": "high"}),
    "top_p": ("0.9", 0.9, {"top_p": 0.9}),
    "top_k": ("0", 0, {"top_k": 0}),
    "min_p": ("0", 0.0, {"min_p": 0.0}),
    "repetition_penalty": ("1.1", 1.1, {"repetition_penalty": 1.1}),
    "presence_penalty": ("-2", -2.0, {"presence_penalty": -2.0}),
    "frequency_penalty": ("2", 2.0, {"frequency_penalty": 2.0}),
    "seed": ("42", 42, {"seed": 42}),
    "stop": ("END\n\\n\\n\n\\\\n", ["END", "\n\n", "\\n"], {"stop": ["END", "\n\n", "\\n"]}),
    "json_schema": (
        json.dumps(SCHEMA),
        SCHEMA,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    "tools": (
        json.dumps([FUNCTION]),
        [{"type": "function", "function": FUNCTION}],
        {"tools": [{"type": "function", "function": FUNCTION}]},
    ),
}
NOTHING = ConversationSettings()


def read(**written: str) -> SettingsForm:
    return SettingsForm.read(written, NOTHING)


def asked(settings: ConversationSettings, turn: Turn | None = None) -> dict[str, Any]:
    return engine_request(turn or next_turn("c", [], "q"), settings, lambda message: message.content)


def test_each_setting_has_a_case_here() -> None:
    assert VALUES.keys() | {"system_prompt"} == SETTINGS.keys()


@pytest.mark.parametrize("name", VALUES)
def test_what_is_written_is_kept_and_reaches_the_engine(name: str) -> None:
    written, kept, request = VALUES[name]
    form = read(**{name: written})
    assert form.errors == {}
    assert form.settings.to_json() == {name: kept}

    again = ConversationSettings.from_json(json.loads(json.dumps(form.settings.to_json())))
    assert again == form.settings and again.changed == [name]
    bare = asked(NOTHING)
    assert asked(again) == bare | request
    # And is shown as it can be written again.
    assert SettingsForm.read(SettingsForm.of(again).texts, NOTHING).settings == again


def test_a_form_without_a_field_leaves_it_and_an_empty_field_takes_it_away() -> None:
    former = ConversationSettings(temperature=0.5, thinking=True)
    form = SettingsForm.read({"temperature": " "}, former)
    assert form.settings == ConversationSettings(thinking=True)


@pytest.mark.parametrize(
    ("name", "written", "sentence"),
    [
        ("temperature", "warm", "Expected a number from 0 to 2, or nothing; “warm” came."),
        ("temperature", "2.1", "Expected a number from 0 to 2, or nothing; “2.1” came."),
        ("temperature", "nan", "Expected a number from 0 to 2, or nothing; “nan” came."),
        ("temperature", "1e999", "Expected a number from 0 to 2, or nothing; “inf” came."),
        ("top_p", "0", "Expected a number above 0, at most 1, or nothing; “0.0” came."),
        ("top_k", "1.5", "Expected a whole number from 0 to 1,000,000, or nothing; “1.5” came."),
        ("max_tokens", "0", "Expected a whole number from 1 to 10,000,000, or nothing; “0” came."),
        ("seed", "9" * 5000, f"Expected a whole number from 0 to 4,294,967,295, or nothing; “{'9' * 40}…” came."),
        ("thinking", "perhaps", "Expected one of on, off; “perhaps” came."),
        ("system_prompt", "x" * 100_001, "Expected at most 100,000 characters; 100,001 came."),
        ("stop", "a\nb\nc\nd\ne", "Expected at most 4 texts, one a line; 5 came."),
        ("stop", "x" * 201, "Expected texts of at most 200 characters; one has 201."),
        (
            "json_schema",
            '{"type": object}',
            "Expected JSON; this is none from line 1, column 10 on: Expecting value.",
        ),
        ("json_schema", "[1]", 'Expected a JSON Schema, such as {"type": "object"}; a list came.'),
        ("json_schema", "{}", 'Expected a JSON Schema, such as {"type": "object"}; an empty one came.'),
        ("json_schema", '{"a": NaN}', "Expected JSON; this has what JSON has not: NaN."),
        ("json_schema", "[" * 99_000, "Expected JSON of fewer levels; this is nested too deeply."),
        ("json_schema", f'{{"a": "{"é" * 60_000}"}}', "Expected at most 100 kB of JSON; 120 kB came."),
        ("json_schema", '{"a": "\\ud800"}', "Expected text; a half of a character came."),
        ("tools", "{}", 'Expected a list such as [{"name": "find_paper", "parameters": {"type": "object"}}]; '),
        ("tools", '[{"name": "a b"}]', "Tool 1: expected a name of at most 64 letters, digits, “_” and “-”; “a b”"),
        ("tools", '[{"name": "a"}, 7]', "Tool 2: expected an object such as "),
        ("tools", '[{"name": "a", "parameters": []}]', "Tool 1: expected a JSON Schema, an object, as “parameters”; "),
        ("tools", '[{"name": "a"}, {"name": "a"}]', "Expected tools of different names; “a” came twice."),
        ("tools", json.dumps([{"name": f"t{number}"} for number in range(65)]), "Expected at most 64 tools; 65 came."),
    ],
)
def test_what_means_nothing_is_told_and_the_words_stay(name: str, written: str, sentence: str) -> None:
    form = read(**{name: written, "top_p": "0.5"} if name != "top_p" else {name: written})
    assert form.errors[name].startswith(sentence), form.errors
    assert form.texts[name] == written
    assert list(form.errors) == [name]


def test_tools_may_come_in_the_words_of_the_api() -> None:
    wrapped = [{"type": "function", "function": FUNCTION}]
    assert read(tools=json.dumps(wrapped)).settings.tools == wrapped
    assert read(tools=json.dumps(FUNCTION)).settings.tools == wrapped


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": "0.7"}, {"temperature": True}, {"temperature": 10**400}, {"temperature": float("nan")},
        {"system_prompt": 7}, {"system_prompt": "\ud800"}, {"stop": "END"}, {"stop": [""]}, {"thinking": 1},
        {"json_schema": "x"}, {"tools": [{"name": "\ud800"}]}, {"tools": {"name": ["a"]}}, {"unknown": 1},
    ],
)  # fmt: skip
def test_what_a_hostile_history_has_is_left_out(values: dict[str, Any]) -> None:
    assert ConversationSettings.from_json(values | {"seed": 1}) == ConversationSettings(seed=1)


def test_what_others_keep_with_a_conversation_stays() -> None:
    former = {"cut": "m1", "temperature": 0.1}
    assert ConversationSettings(seed=1).to_json(former) == {"cut": "m1", "seed": 1}


def test_a_reply_that_goes_on_begins_no_json() -> None:
    turn = next_turn("c", [], "q")
    turn.reply.content = '{"year": 19'
    request = asked(ConversationSettings(json_schema=SCHEMA, seed=1), turn)
    assert "response_format" not in request and request["seed"] == 1


def test_what_the_model_has_asked_of_a_tool_stands_before_its_result() -> None:
    question, call = Message("c", "user", "Where?"), Message("c", "assistant")
    call.tool_calls = [{"name": "find_paper", "arguments": '{"title": "X"}'}]
    request = asked(NOTHING, next_turn("c", [question, call], "In volume 3"))
    assert request["messages"] == [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": '{"name": "find_paper", "arguments": {"title": "X"}}'},
        {"role": "user", "content": "In volume 3"},
    ]


def test_a_refusal_of_a_setting_is_told_as_one() -> None:
    told = sentence_of_message('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    assert told.startswith("This model was started without anything that reads its tool calls.")
    told = sentence_of_message("The provided JSON schema contains features not supported by xgrammar.")
    assert "of this chat: features not supported by xgrammar. Change it there" in told
    assert sentence_of_message("Something else") == "The engine refused this: Something else"
