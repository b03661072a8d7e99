"""The staged session as the node reads it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from llm_hoster.catalogue.choice import FormValues
from llm_hoster.errors import ChoiceError, SessionError
from llm_hoster.session import Session, form_values

CONTEXT = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "3"}


@pytest.fixture
def stage(tmp_path, make_catalogue):
    def write(**context):
        path = tmp_path / "session.json"
        path.write_text(json.dumps({"context": CONTEXT | context, "catalogue": make_catalogue()}))
        return path

    return write


def test_a_session_is_the_choice_with_its_price_and_its_catalogue(stage):
    session = Session.from_file(stage(context_length="1024", preset="long-context", idle_minutes="60"))
    assert (session.model.name, session.hours, session.su_estimate) == ("tiny", 3, 6.0)
    assert (session.context_length, session.preset, session.idle_minutes) == (1024, "long-context", 60)
    assert session.catalogue.site.cluster == "local"
    assert not session.is_typed


def test_what_the_context_lacks_has_its_default(stage):
    assert form_values({"model": "tiny", "qos": None, "unknown": "x"}) == FormValues(model="tiny")
    session = Session.from_file(stage(context_length=None))
    assert (session.context_length, session.quantization, session.preset) == (None, "none", "interactive")
    assert (session.lora_folder, session.idle_minutes) == ("", 0)


def test_every_field_of_the_form_arrives(stage):
    values = {field.name: f"value of {field.name}" for field in dataclasses.fields(FormValues)}
    assert dataclasses.asdict(form_values(values)) == values


def test_a_typed_model_needs_no_fits(stage, make_catalogue, tmp_path):
    path = tmp_path / "typed.json"
    context = CONTEXT | {"model": "other", "typed_model": "Qwen/Qwen3-8B"}
    path.write_text(json.dumps({"context": context, "catalogue": make_catalogue() | {"fits": {}}}))
    session = Session.from_file(path)
    assert session.is_typed
    assert (session.model.source, session.model.name) == ("Qwen/Qwen3-8B", "qwen3-8b")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"context": {}, "catalogue": {"format": 1}}', '{"context": 1}', "\x00", "[" * 100000]
)
def test_a_file_that_is_no_session_is_told(tmp_path, text):
    (tmp_path / "session.json").write_text(text)
    with pytest.raises(SessionError, match=r"session\.json: not a session of LLM Hoster(.|\n)* Launch again"):
        Session.from_file(tmp_path / "session.json")


@pytest.mark.parametrize(
    "value", [["tiny"], {"a": 1}, 7, True, "x" * 10_000, "tiny\n", "τiny", "'; rm -rf ~", "<%= 1 %>"]
)
def test_a_hostile_value_is_a_refusal(stage, value):
    with pytest.raises(ChoiceError):
        Session.from_file(stage(model=value))
