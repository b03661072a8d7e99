"""vLLM's command line and environment for each kind of engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.engine.command import CACHE_FOLDERS, build_command, build_environment
from llm_hoster.engine.folders import Folders
from llm_hoster.errors import EngineError

FOLDERS = Folders(Path("/tmp/llmh-abcdefgh"), Path("/scratch/ann/llm hoster"))


@pytest.fixture
def parts(make_catalogue):
    """Make engine and model; keyword arguments replace values of them."""

    def make(engine=None, **model):
        catalogue = Catalogue.model_validate(make_catalogue(engine=engine or {}, model=model))
        return catalogue.engines[0], catalogue.models[0]

    return make


def command_of(engine, model, num_gpus=1):
    environment = build_environment({}, engine, FOLDERS, hf_offline=False)
    return build_command(engine, model, num_gpus, FOLDERS, environment)


def test_a_venv_runs_its_own_vllm(parts):
    engine, model = parts(
        {"target": "/opt/my engines/vllm", "args": ["--enforce-eager"]}, source="/m/it's", args=["-x"]
    )
    assert command_of(engine, model) == [
        "/opt/my engines/vllm/bin/vllm",
        "serve",
        "/m/it's",
        "--served-model-name",
        "tiny",
        "--uds",
        "/tmp/llmh-abcdefgh/vllm.sock",
        "--disable-fastapi-docs",
        "--disable-uvicorn-access-log",
        "--enforce-eager",
        "-x",
    ]


def test_several_gpus_share_the_model(parts):
    command = command_of(*parts(), num_gpus=4)
    assert command[command.index("--tensor-parallel-size") + 1] == "4"


def test_the_context_length_of_the_catalogue_is_asked_for(parts):
    command = command_of(*parts(max_model_len=4096))
    assert command[command.index("--max-model-len") + 1] == "4096"


def test_a_variable_in_a_models_folder_is_expanded_and_a_hub_id_is_left_alone(parts, monkeypatch):
    monkeypatch.setenv("USER", "ann")
    assert "/projects/ann/model" in command_of(*parts(source="/projects/$USER/model"))
    assert "org/$USER" in command_of(*parts(source="org/$USER"))


def test_a_module_engine_gets_every_value_as_an_argument(parts, tmp_path):
    """Run it: a shell function in the place of Lmod's `module`, and a program in vLLM's."""
    engine, model = parts({"kind": "module", "target": "cuda/12 vllm/0.32"}, source="/m/a b'; touch ~/x; '")
    program = tmp_path / "vllm"
    program.write_text('#!/bin/bash\nprintf "%s\\0" "$TMPDIR" "$LOADED" "$@"\n')
    program.chmod(0o755)
    (tmp_path / ".bash_profile").write_text(
        'export PATH="$HOME:/usr/bin:/bin" TMPDIR=/elsewhere\nmodule() { export LOADED="$*"; }\n'
    )
    run = subprocess.run(
        command_of(engine, model), env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    tmp_dir, loaded, *arguments = run.stdout.split("\0")[:-1]
    assert tmp_dir == "/tmp/llmh-abcdefgh/t"
    assert loaded == "load cuda/12 vllm/0.32"
    assert arguments[:2] == ["serve", "/m/a b'; touch ~/x; '"]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("accelerator", "flags"), [("cuda", ["--nv"]), ("rocm", ["--rocm"]), ("cpu", [])])
def test_an_apptainer_engine_sees_the_gpu_and_our_folders(parts, accelerator, flags):
    engine, model = parts(
        {"kind": "apptainer", "target": "/images/vllm 0.32.sif", "accelerator": accelerator}, source="/m/llama"
    )
    assert command_of(engine, model)[: 11 + len(flags)] == [
        "apptainer",
        "exec",
        *flags,
        "--bind",
        "/tmp/llmh-abcdefgh",
        "--bind",
        "/scratch/ann/llm hoster",
        "--bind",
        "/m/llama",
        "/images/vllm 0.32.sif",
        "vllm",
        "serve",
    ]


def test_a_path_that_apptainer_would_split_is_refused(parts):
    engine, model = parts({"kind": "apptainer", "target": "/vllm.sif"}, source="/m/a,b")
    with pytest.raises(EngineError, match="cannot be bound"):
        command_of(engine, model)


def test_all_caches_lie_below_cache_dir_and_temporary_files_in_the_short_folder(parts):
    engine, _ = parts()
    environment = build_environment({"HOME": "/home/ann"}, engine, FOLDERS, hf_offline=True)
    assert all(environment[name].startswith("/scratch/ann/llm hoster/") for name in CACHE_FOLDERS)
    assert environment["TMPDIR"] == environment["VLLM_RPC_BASE_PATH"] == "/tmp/llmh-abcdefgh/t"
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["HOME"] == "/home/ann"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "1"  # of the engine in site.yml


def test_the_libraries_of_one_node_listen_on_loopback_unless_the_site_says_otherwise(parts):
    names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    environment = build_environment({}, parts()[0], FOLDERS, hf_offline=False)
    assert [environment[name] for name in names] == ["lo", "lo"]
    engine, _ = parts({"env": dict.fromkeys(names, "ib0")})
    environment = build_environment({}, engine, FOLDERS, hf_offline=False)
    assert [environment[name] for name in names] == ["ib0", "ib0"]


def test_the_jobs_gpus_and_the_users_token_stay_and_our_own_variables_go(parts):
    base = {
        "CUDA_VISIBLE_DEVICES": "1",
        "SLURM_JOB_ID": "7",
        "HF_TOKEN": "hf_x",
        "LLM_HOSTER_HOST": "n1",
        "PYTHONPATH": "/home/ann/lib",
        "VLLM_API_KEY": "k",
        "password": "p",
    }
    environment = build_environment(base, parts()[0], FOLDERS, hf_offline=False)
    assert {name: environment.get(name) for name in base} == {
        "CUDA_VISIBLE_DEVICES": "1",
        "SLURM_JOB_ID": "7",
        "HF_TOKEN": "hf_x",
        "LLM_HOSTER_HOST": None,
        "PYTHONPATH": None,
        "VLLM_API_KEY": None,
        "password": None,
    }


def test_the_users_hugging_face_login_is_still_found(parts):
    environment = build_environment({"HOME": "/home/ann"}, parts()[0], FOLDERS, hf_offline=False)
    assert environment["HF_TOKEN_PATH"] == "/home/ann/.cache/huggingface/token"
