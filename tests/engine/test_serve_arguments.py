"""What vLLM is asked for, from each field of the form. Whether it takes it: test_vllm_arguments.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.run.session_planner import SessionPlanner
from llm_hoster.engine.vllm.adapter import Adapter
from llm_hoster.engine.vllm.serve_arguments import base_arguments, choice_arguments, source_of
from llm_hoster.session import Session

CONTEXT = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
GPU = {"accelerator": "cuda"}


@pytest.fixture
def choose(make_catalogue):
    """Make a session; keyword arguments are values of the form, and `catalogue` those of make_catalogue."""

    def make(catalogue=None, **context):
        document = make_catalogue(**({"engine": {"args": []}, "model": {"args": []}} | (catalogue or {})))
        return Session.from_context(Catalogue.model_validate_json(json.dumps(document)), CONTEXT | context)

    return make


def value_of(option, arguments):
    return arguments[arguments.index(option) + 1]


def test_vllm_listens_on_the_sessions_socket_alone():
    arguments = base_arguments("/m/it's", "tiny", Folders(Path("/tmp/llmh-abcdefgh"), Path("/scratch")))
    assert arguments == [
        "serve", "/m/it's", "--served-model-name", "tiny", "--uds", "/tmp/llmh-abcdefgh/vllm.sock",
        "--disable-fastapi-docs", "--disable-uvicorn-access-log", "--scheduling-policy", "priority",
        "--enable-prompt-tokens-details",
        "--sse-keep-alive-interval", "15", "--allowed-media-domains", "nowhere.invalid",
    ]  # fmt: skip


def test_the_defaults_of_the_form_ask_for_little(choose):
    assert choice_arguments(choose(), []) == [
        "--load-format", "safetensors", "--performance-mode", "interactivity", "--max-cudagraph-capture-size", "128",
    ]  # fmt: skip


def test_a_model_that_embeds_is_asked_to(choose):
    assert choice_arguments(choose({"model": {"args": [], "task": "embed"}}), [])[:4] == [
        "--runner", "pooling", "--convert", "embed",
    ]  # fmt: skip


def test_several_gpus_share_the_model(choose, make_catalogue):
    document = make_catalogue()
    document["offers"]["cpu"]["4"] = document["offers"]["cpu"]["1"]
    document["fits"]["tiny"]["cpu"]["4"] = document["fits"]["tiny"]["cpu"]["1"]
    session = Session.from_context(Catalogue.model_validate_json(json.dumps(document)), CONTEXT | {"num_gpus": "4"})
    assert value_of("--tensor-parallel-size", choice_arguments(session, [])) == "4"


def test_replicas_share_the_gpus_and_not_the_model(make_catalogue, tmp_path):
    document = make_catalogue()
    document["offers"]["cpu"]["4"] = document["offers"]["cpu"]["1"]
    document["fits"]["tiny"]["cpu"]["4"] = {"none/throughput": {"max_model_len": 2048, "replicas": 2}}
    values = CONTEXT | {"num_gpus": "4", "preset": "throughput"}
    session = Session.from_context(Catalogue.model_validate_json(json.dumps(document)), values)
    asked = ["--tensor-parallel-size", "2", "--data-parallel-size", "2"]
    assert choice_arguments(session, [])[:4] == asked
    plan = SessionPlanner(session, Folders(tmp_path, tmp_path), tmp_path, []).plan({}, Adjustment())
    assert " ".join(asked) in " ".join(plan.command)
    assert plan.model.replicas == "2 replicas, each on 2 GPUs"


@pytest.mark.parametrize(
    ("args", "parsers", "expected"),
    [([], [], ""), (["--reasoning-parser", "qwen3"], [], "qwen3"), ([], ["--reasoning-parser", "glm45"], "glm45")],
    ids=["it does not", "as the catalogue says", "as a typed model needs"],
)
def test_the_page_is_told_what_reads_the_models_thoughts(choose, tmp_path, args, parsers, expected):
    session = choose({"model": {"args": args}})
    plan = SessionPlanner(session, Folders(tmp_path, tmp_path), tmp_path, parsers).plan({}, Adjustment())
    assert plan.model.reasoning_parser == expected


@pytest.mark.parametrize(
    ("engine", "max_model_len", "chosen", "expected"),
    [
        pytest.param(GPU, 2000, "1024", "1024", id="chosen"),
        pytest.param(GPU, 2000, "auto", "2000", id="of the model"),
        pytest.param(GPU, None, "auto", "auto", id="as long as fits"),
        pytest.param(GPU | {"args": ["--max-model-len=512"]}, None, "auto", None, id="of the site"),
        pytest.param(GPU | {"args": ["--max_model_len", "512"]}, None, "auto", None, id="of the site, underscores"),
        pytest.param({}, None, "auto", None, id="no GPU"),
        pytest.param({}, None, "1024", "1024", id="chosen without a GPU"),
    ],
)
def test_the_context_length(choose, engine, max_model_len, chosen, expected):
    catalogue = {"engine": {"args": []} | engine, "model": {"args": [], "max_model_len": max_model_len}}
    arguments = choice_arguments(choose(catalogue, context_length=chosen), [])
    assert (value_of("--max-model-len", arguments) if "--max-model-len" in arguments else None) == expected


def test_a_length_of_models_yml_is_cut_to_what_the_place_has_room_for(choose):
    catalogue = {"engine": GPU | {"args": []}, "model": {"args": [], "max_model_len": 100000}}
    assert value_of("--max-model-len", choice_arguments(choose(catalogue), [])) == "2048"


def test_a_length_in_models_yml_alone_is_left_to_it(choose):
    catalogue = {"engine": GPU | {"args": []}, "model": {"args": ["--max-model-len", "512"]}}
    assert choice_arguments(choose(catalogue), []).count("--max-model-len") == 1


def test_a_quantisation_is_asked_for(choose):
    assert value_of("--quantization", choice_arguments(choose(quantization="fp8_per_tensor"), [])) == "fp8_per_tensor"
    assert "--quantization" not in choice_arguments(choose(quantization="none"), [])


@pytest.mark.parametrize(
    ("preset", "option", "value"),
    [
        ("interactive", "--performance-mode", "interactivity"),
        ("throughput", "--performance-mode", "throughput"),
        ("long-context", "--kv-cache-dtype", "fp8"),
        ("long-context", "--max-cudagraph-capture-size", "128"),
    ],
)
def test_a_preset_is_arguments(choose, preset, option, value):
    assert value_of(option, choice_arguments(choose(preset=preset), [])) == value


def test_the_site_and_the_model_have_the_last_word(choose):
    catalogue = {"engine": {"args": ["--site"]}, "model": {"args": ["--model"], "max_model_len": 2000}}
    session = choose(catalogue, preset="throughput")
    arguments = choice_arguments(session, [Adapter("a", Path("/a"), 8)], ["--tool-call-parser", "hermes"])
    assert arguments[-4:] == ["--tool-call-parser", "hermes", "--site", "--model"]
    assert arguments.index("--enable-lora") < arguments.index("--site")


def test_a_variable_in_a_folder_of_models_yml_is_expanded_and_an_id_is_left_alone(choose, monkeypatch):
    monkeypatch.setenv("USER", "ann")
    assert source_of(choose({"model": {"source": "/projects/$USER/model"}})) == "/projects/ann/model"
    assert source_of(choose({"model": {"source": "org/$USER"}})) == "org/$USER"


def test_what_a_person_types_is_not_expanded(choose, monkeypatch):
    """It would put a variable of the job, such as a token, into arguments that everyone on the node can read."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert source_of(choose(model="other", typed_model="/m/$HF_TOKEN")) == "/m/$HF_TOKEN"
