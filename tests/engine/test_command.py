"""vLLM's command line and environment for each kind of engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_hoster.catalogue.compiled import Engine
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.vllm.command import CACHE_FOLDERS, build_command, build_environment, lasting_environment
from llm_hoster.errors import EngineError

FOLDERS = Folders(Path("/tmp/llmh-abcdefgh"), Path("/scratch/ann/llm hoster"))


ARGUMENTS = ["serve", "/m/a b'; touch ~/x; '", "--enforce-eager"]


@pytest.fixture
def make_engine(make_catalogue):
    """Make the engine of the catalogue; keyword arguments replace its values."""
    return lambda **values: Engine.model_validate(make_catalogue(engine=values)["engines"][0])


def command_of(engine, bound=()):
    environment = build_environment({}, engine, FOLDERS, hf_offline=False)
    return build_command(engine, ARGUMENTS, bound, FOLDERS, environment)


def test_a_venv_runs_its_own_vllm(make_engine):
    assert command_of(make_engine(target="/opt/my engines/vllm")) == ["/opt/my engines/vllm/bin/vllm", *ARGUMENTS]


def test_a_module_engine_gets_every_value_as_an_argument(make_engine, tmp_path):
    """Run it: a shell function in the place of Lmod's `module`, and a program in vLLM's."""
    engine = make_engine(kind="module", target="cuda/12 vllm/0.32")
    program = tmp_path / "vllm"
    program.write_text('#!/bin/bash\nprintf "%s\\0" "$TMPDIR" "$LOADED" "$@"\n')
    program.chmod(0o755)
    (tmp_path / ".bash_profile").write_text(
        'export PATH="$HOME:/usr/bin:/bin" TMPDIR=/elsewhere\nmodule() { export LOADED="$*"; }\n'
    )
    run = subprocess.run(command_of(engine), env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True)
    tmp_dir, loaded, *arguments = run.stdout.split("\0")[:-1]
    assert tmp_dir == "/tmp/llmh-abcdefgh/t"
    assert loaded == "load cuda/12 vllm/0.32"
    assert arguments == ARGUMENTS
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("accelerator", "flags"), [("cuda", ["--nv"]), ("rocm", ["--rocm"]), ("cpu", [])])
def test_an_apptainer_engine_sees_the_gpu_our_folders_and_those_of_the_choice(make_engine, accelerator, flags):
    engine = make_engine(kind="apptainer", target="/images/vllm 0.32.sif", accelerator=accelerator)
    assert command_of(engine, [Path("/m/llama"), Path("/home/ann/adapters")]) == [
        "apptainer", "exec", *flags,
        "--bind", "/tmp/llmh-abcdefgh", "--bind", "/scratch/ann/llm hoster",
        "--bind", "/m/llama", "--bind", "/home/ann/adapters",
        "/images/vllm 0.32.sif", "vllm", *ARGUMENTS,
    ]  # fmt: skip


def test_a_path_that_apptainer_would_split_is_refused(make_engine):
    with pytest.raises(EngineError, match="cannot be bound"):
        command_of(make_engine(kind="apptainer", target="/vllm.sif"), [Path("/m/a,b")])


def test_all_caches_lie_below_cache_dir_and_temporary_files_in_the_short_folder(make_engine):
    engine = make_engine()
    environment = build_environment({"HOME": "/home/ann"}, engine, FOLDERS, hf_offline=True)
    assert all(environment[name].startswith("/scratch/ann/llm hoster/") for name in CACHE_FOLDERS)
    assert environment["TMPDIR"] == environment["VLLM_RPC_BASE_PATH"] == "/tmp/llmh-abcdefgh/t"
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["HOME"] == "/home/ann"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "1"  # of the engine in site.yml


def test_the_libraries_of_one_node_listen_on_loopback_unless_the_site_says_otherwise(make_engine):
    names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    environment = build_environment({}, make_engine(), FOLDERS, hf_offline=False)
    assert [environment[name] for name in names] == ["lo", "lo"]
    engine = make_engine(env=dict.fromkeys(names, "ib0"))
    environment = build_environment({}, engine, FOLDERS, hf_offline=False)
    assert [environment[name] for name in names] == ["ib0", "ib0"]


def test_the_jobs_gpus_and_the_users_token_stay_and_our_own_variables_go(make_engine):
    base = {
        "CUDA_VISIBLE_DEVICES": "1",
        "SLURM_JOB_ID": "7",
        "HF_TOKEN": "hf_x",
        "LLM_HOSTER_HOST": "n1",
        "PYTHONPATH": "/home/ann/lib",
        "VLLM_API_KEY": "k",
        "password": "p",
    }
    environment = build_environment(base, make_engine(), FOLDERS, hf_offline=False)
    assert {name: environment.get(name) for name in base} == {
        "CUDA_VISIBLE_DEVICES": "1",
        "SLURM_JOB_ID": "7",
        "HF_TOKEN": "hf_x",
        "LLM_HOSTER_HOST": None,
        "PYTHONPATH": None,
        "VLLM_API_KEY": None,
        "password": None,
    }


def test_the_users_hugging_face_login_is_still_found(make_engine):
    environment = build_environment({"HOME": "/home/ann"}, make_engine(), FOLDERS, hf_offline=False)
    assert environment["HF_TOKEN_PATH"] == "/home/ann/.cache/huggingface/token"


def test_what_lasts_is_known_before_the_session_has_a_folder(make_engine):
    base = {"HOME": "/home/ann", "HF_TOKEN": "hf_x", "PYTHONPATH": "/x"}
    engine = make_engine(env={"HF_ENDPOINT": "https://mirror.example.org"})
    lasting = lasting_environment(base, engine, FOLDERS.cache_dir, hf_offline=True)
    whole = build_environment(base, engine, FOLDERS, hf_offline=True)
    assert lasting.items() <= whole.items()
    assert lasting["HF_HOME"] == "/scratch/ann/llm hoster/huggingface"
    assert (lasting["HF_TOKEN"], lasting["HF_HUB_OFFLINE"]) == ("hf_x", "1")


def test_a_site_that_is_offline_stays_so_whatever_its_engine_says(make_engine):
    environment = build_environment({}, make_engine(env={"HF_HUB_OFFLINE": "0"}), FOLDERS, hf_offline=True)
    assert environment["HF_HUB_OFFLINE"] == "1"
