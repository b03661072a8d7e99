"""`llm-hoster serve` with small programs in vLLM's place that behave as vLLM does on its worst days."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from llm_hoster.engine.job.balance import read_balance
from llm_hoster.settings import WebSettings
from tests.engine.conftest import RunningSession, wait_until
from tests.engine.test_adapter import make_adapter
from tests.engine.test_typed_model import LLAMA

# Writes its arguments where the test finds them.
TELLS_ARGUMENTS = """
import json, os, sys, time
with open(os.environ["HOME"] + "/arguments", "w") as file:
    json.dump(sys.argv[1:], file)
time.sleep(600)
"""

SLEEPER = "import time; time.sleep(600)"

TRACEBACK = """
import sys
print("Traceback (most recent call last):")
sys.exit("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`")
"""

# Neither it nor its grandchild, which has left its session, ends when asked.
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
time.sleep(600)
"""


def status_of(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return int(answer.status)


def assert_nothing_is_left(session) -> None:
    wait_until(lambda: not session.processes(), timeout_s=5)
    assert list(session.node_dir.iterdir()) == []


def test_the_page_answers_while_vllm_still_starts(start_session):
    session = start_session(SLEEPER)
    port = session.wait_for_port()
    assert status_of(port) == 204
    assert session.state().state == "starting"
    assert [(step.name, step.status) for step in session.state().steps][:2] == [
        ("start", "running"),
        ("weights", "waiting"),
    ]


def test_the_card_tells_where_the_session_is_and_no_secret(start_session):
    session = start_session(SLEEPER)
    port = session.wait_for_port()
    assert session.card() == {
        "host": "localhost",
        "port": port,
        "base_url": f"http://localhost:{port}/v1",
        "model": "tiny",
        "endpoint_file": str(session.staged_root / "endpoint.json"),
        "connect_path": f"/rnode/localhost/{port}/login",
    }


@pytest.mark.parametrize("audit_prompts", [True, False])
def test_the_site_says_whether_what_is_asked_is_kept_and_the_model_names_chats(start_session, audit_prompts):
    session = start_session(SLEEPER, site={"audit_prompts": audit_prompts, "chat_titles": not audit_prompts})
    session.wait_for_port()
    (settings,) = session.node_dir.glob("*/settings.json")
    assert WebSettings.from_file(settings).audit_prompts is audit_prompts
    assert WebSettings.from_file(settings).chat_titles is not audit_prompts


def test_only_the_owner_can_read_what_a_session_writes(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()
    endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
    assert endpoint["api_key"].startswith("sk-llmh-")
    written = ["endpoint.json", "card", "port", "vllm.log", "web.log", "outcome.json"]
    files = [session.staged_root / name for name in written]
    files += [path for path in session.node_dir.rglob("*") if not path.is_symlink()]
    assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_no_secret_is_in_an_argument_or_a_log(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()
    endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
    seen = "".join(session.processes().values())
    for name in ("output.log", "web.log", "vllm.log", "card", "outcome.json"):
        seen += (session.staged_root / name).read_text()
    assert endpoint["api_key"] not in seen
    assert (session.staged_root / "secret").read_text() not in seen


def test_a_dead_start_is_told_by_the_page_and_ends_when_stopped(start_session):
    session = start_session(TRACEBACK)
    port = session.wait_for_port()
    state = session.wait_for_state("failed")
    assert state.cause.startswith("The model leaves no memory for conversations.")
    assert state.deciding_line.startswith("ValueError: No available memory")
    assert state.steps[0].status == "failed"
    assert state.ends_at > state.since + 800
    assert status_of(port) == 204
    assert session.stop() == 0
    assert session.outcome()["reason"] == f"{state.cause} Then: The session was ended by the signal SIGTERM."
    assert session.outcome()["deciding_line"] == state.deciding_line
    assert_nothing_is_left(session)


def test_a_dead_start_ends_the_job_after_a_while_to_spare_the_allocation(start_session):
    session = start_session(TRACEBACK, arguments=("--failed-stay", "1"))
    assert session.process.wait(timeout=20) == 1
    assert session.outcome()["reason"].startswith("The model leaves no memory for conversations.")
    assert_nothing_is_left(session)


def test_an_engine_that_is_not_installed_is_a_failed_start(start_session, tmp_path):
    session = start_session(engine={"target": str(tmp_path / "nowhere")})
    state = session.wait_for_state("failed")
    assert "nowhere/bin/vllm" in state.cause


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(start_session, number):
    session = start_session(SLEEPER)
    session.wait_for_port()
    assert session.stop(number) == 0
    assert session.outcome()["ended_at"] is not None
    assert session.outcome()["reason"] == f"The session was ended by the signal {number.name}."
    assert_nothing_is_left(session)


def test_a_deaf_vllm_and_its_hidden_grandchild_are_killed(start_session):
    session = start_session(DEAF)
    session.wait_for_port()
    assert session.stop() == 0
    assert_nothing_is_left(session)


def test_a_killed_supervisor_leaves_no_process_and_no_folder(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()
    session.process.kill()
    session.process.wait()
    assert_nothing_is_left(session)
    assert session.outcome()["reason"].startswith("The session ended without a word")


def test_a_chat_page_that_cannot_live_ends_the_session(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()

    def kill_pages() -> bool:
        for pid, command in session.processes().items():
            if "gunicorn" in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return session.process.poll() is not None

    wait_until(kill_pages, timeout_s=40)
    assert session.process.returncode == 1
    assert session.outcome()["reason"].startswith("The chat page's server ended by itself")
    assert_nothing_is_left(session)


def test_a_missing_secret_is_a_sentence_and_an_outcome(start_session, staged_root):
    (staged_root / "secret").unlink()
    session = start_session(SLEEPER)
    assert session.process.wait(timeout=20) == 1
    assert "the login secret is missing" in session.output.read_text()
    assert "the login secret is missing" in session.outcome()["reason"]


def test_a_session_that_cannot_be_read_is_a_sentence_and_an_outcome(staged_root, short_dir):
    (staged_root / "session.json").write_text('{"context": {}}')
    session = RunningSession(staged_root, short_dir)
    assert session.process.wait(timeout=20) == 1
    assert "session.json: not a session of LLM Hoster" in session.output.read_text()
    assert "session.json: not a session of LLM Hoster" in session.outcome()["reason"]


def test_a_data_dir_that_cannot_be_written_is_told_before_anything_starts(start_session, tmp_path):
    (tmp_path / "file").write_text("")
    session = start_session(SLEEPER, site={"data_dir": str(tmp_path / "file" / "data")})
    assert session.process.wait(timeout=20) == 1
    assert "data_dir of site.yml cannot be written on this node" in session.outcome()["reason"]
    assert not (session.staged_root / "vllm.log").exists()
    assert_nothing_is_left(session)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"site": {"cache_dir": "/proc/self"}}, "cache_dir of site.yml cannot be written", id="cache"),
        pytest.param({"engine": {"target": "/opt/$NO_SUCH/vllm"}}, "a variable in this path of site.yml", id="engine"),
        pytest.param(
            {"engine": {"kind": "apptainer", "target": "/x.sif"}, "model": {"source": "/m/a,b"}},
            "cannot be bound into an Apptainer image",
            id="comma",
        ),
    ],
)
def test_a_session_that_cannot_be_started_leaves_no_folder_on_the_node(start_session, changes, sentence):
    session = start_session(**changes)
    assert session.process.wait(timeout=20) == 1
    assert sentence in session.outcome()["reason"]
    assert_nothing_is_left(session)


def arguments_of(session) -> list[str]:
    path = session.home / "arguments"
    wait_until(lambda: path.exists() and path.read_text().endswith("]"))
    return json.loads(path.read_text())


def model_of(session, arguments: list[str]) -> Path:
    """Follow the link by which vLLM finds its model: it has the same path in every session."""
    (runtime_dir,) = session.node_dir.glob("llmh-*")
    assert arguments[0] == "serve" and arguments[1].startswith("./model-")
    return (runtime_dir / "t" / arguments[1]).resolve(strict=True)


def test_what_was_chosen_arrives_at_vllm(start_session, tmp_path):
    adapter = make_adapter(tmp_path / "law")
    chosen = {"context_length": "1024", "quantization": "fp8_per_tensor", "preset": "throughput"}
    session = start_session(TELLS_ARGUMENTS, context=chosen | {"lora_folder": str(adapter)}, model={"args": ["--last"]})
    arguments = arguments_of(session)
    expected = ["--max-model-len", "1024", "--quantization", "fp8_per_tensor", "--load-format", "safetensors"]
    start = arguments.index("--max-model-len")
    assert arguments[start : start + 8] == [*expected, "--performance-mode", "throughput"]
    assert json.loads(arguments[arguments.index("--lora-modules") + 1]) == {"name": "law", "path": str(adapter)}
    assert arguments[-1] == "--last"


def test_a_typed_folder_is_served_as_it_is_named(start_session, tmp_path):
    folder = tmp_path / "a $HOME 'model'"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    session = start_session(TELLS_ARGUMENTS, context={"model": "other", "typed_model": str(folder)})
    arguments = arguments_of(session)
    assert arguments[2:4] == ["--served-model-name", "a-home-model-"]
    assert model_of(session, arguments) == folder


def test_the_balance_of_the_account_is_asked_for(start_session, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ACCOUNT", "417")
    session = start_session(SLEEPER, site={"balance_command": ["/bin/echo", "{account}"]})
    session.wait_for_port()
    (runtime_dir,) = session.node_dir.glob("llmh-*")
    wait_until(lambda: read_balance(runtime_dir) == 417.0)


def test_without_slurm_no_balance_is_asked_for(start_session, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ACCOUNT", raising=False)
    session = start_session(SLEEPER, site={"balance_command": ["/usr/bin/touch", str(tmp_path / "asked")]})
    session.wait_for_port()
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("context", "changes", "sentence"),
    [
        pytest.param(
            {}, {"offer": {"nodes": 2}}, "site.yml names no network for sessions on several nodes", id="nodes"
        ),
        pytest.param(
            {"lora_folder": "/no/such"}, {}, "/no/such: this LoRA folder cannot be read on the node", id="lora"
        ),
        pytest.param(
            {"model": "other", "typed_model": "/no/such"}, {}, "/no/such: the model's folder does not exist", id="typed"
        ),
        pytest.param({"preset": "fast"}, {}, 'Preset "fast" is not known', id="preset"),
    ],
)
def test_what_cannot_be_served_ends_at_once(start_session, context, changes, sentence):
    session = start_session(SLEEPER, context=context, **changes)
    assert session.process.wait(timeout=20) == 1
    assert sentence in session.outcome()["reason"]
    assert not (session.staged_root / "vllm.log").exists()
    assert_nothing_is_left(session)


def test_a_typed_model_that_does_not_fit_ends_at_once(start_session, tmp_path):
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "config.json").write_text(json.dumps(LLAMA))
    session = start_session(
        SLEEPER,
        context={"model": "other", "typed_model": str(tmp_path / "large")},
        engine={"accelerator": "cuda"},
        gpu_type={"memory_gib": 8.0, "compute_capability": 9.0},
    )
    assert session.process.wait(timeout=20) == 1
    assert f"Model {tmp_path}/large " in session.outcome()["reason"]
    assert "No choice of this site holds it" in session.outcome()["reason"]
    assert not (session.staged_root / "vllm.log").exists()


def test_an_error_that_nobody_expected_is_a_sentence_on_the_card(start_session, tmp_path, monkeypatch):
    """A damaged installation in the place of whatever else will go wrong in that step."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "requests.py").write_text("raise RuntimeError('of the test')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    session = start_session(SLEEPER, context={"model": "other", "typed_model": "org/model"})
    assert session.process.wait(timeout=20) == 1
    assert "org/model: looking at this model ended with an error that nobody expected" in session.outcome()["reason"]
    assert session.outcome()["ended_at"] is not None
    assert "RuntimeError: of the test" in session.output.read_text()


@pytest.mark.parametrize("index", ['{"weight_map": [1]}', '{"weight_map": {"a": {}}}', "pipe"])
def test_a_typed_folder_with_odd_files_is_left_to_vllm(start_session, tmp_path, index):
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    if index == "pipe":
        os.mkfifo(folder / "model.safetensors")
    else:
        (folder / "model.safetensors.index.json").write_text(index)
    session = start_session(TELLS_ARGUMENTS, context={"model": "other", "typed_model": str(folder)})
    assert model_of(session, arguments_of(session)) == folder
    assert f"Nobody knows yet whether {folder} fits" in session.output.read_text()


def test_a_container_sees_the_files_that_a_model_and_an_adapter_only_link_to(start_session, tmp_path, monkeypatch):
    """A version in the Hugging Face cache, named by a link, and an adapter that lies in one as well."""
    repository = tmp_path / "hub" / "models--org--model"
    snapshot, blobs = repository / "snapshots" / "abc", repository / "blobs"
    for folder in (snapshot, blobs, tmp_path / "elsewhere", tmp_path / "programs"):
        folder.mkdir(parents=True)
    (tmp_path / "elsewhere" / "x").write_text(json.dumps(LLAMA))
    (blobs / "1234").symlink_to(tmp_path / "elsewhere" / "x")
    (snapshot / "config.json").symlink_to("../../blobs/1234")
    (snapshot / "passwords").symlink_to("/etc/passwd")
    (tmp_path / "my model").symlink_to(snapshot)
    adapter = make_adapter(tmp_path / "deep" / "law")
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "law").symlink_to(adapter)
    apptainer = tmp_path / "programs" / "apptainer"
    apptainer.write_text(f"#!{sys.executable}\n{TELLS_ARGUMENTS}")
    apptainer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apptainer.parent}:{os.environ['PATH']}")
    session = start_session(
        engine={"kind": "apptainer", "target": "/images/vllm.sif"},
        context={
            "model": "other",
            "typed_model": str(tmp_path / "my model"),
            "lora_folder": str(tmp_path / "adapters"),
        },
    )
    arguments = arguments_of(session)
    start = arguments.index("/images/vllm.sif")
    bound = [arguments[i + 1] for i in range(start) if arguments[i] == "--bind"]
    assert bound[2:] == [
        str(path) for path in (snapshot, blobs, tmp_path / "elsewhere", adapter, tmp_path / "adapters")
    ]
    assert arguments[start + 1 : start + 3] == ["vllm", "serve"]
    assert model_of(session, arguments[start + 2 :]) == snapshot
    module = json.loads(arguments[arguments.index("--lora-modules") + 1])
    assert module == {"name": "law", "path": str(adapter)}


def test_nothing_slow_is_loaded_before_vllm_starts():
    slow = {"yaml", "requests", "urllib3", "flask", "jinja2", "http.client", "llm_hoster.fit.fit"}
    script = f"import sys; import llm_hoster.engine.serve; print(*sorted({slow!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def test_a_node_dir_that_is_too_long_for_sockets_is_refused(start_session, tmp_path):
    session = start_session(SLEEPER, site={"node_dir": str(tmp_path)})
    assert session.process.wait(timeout=20) == 1
    assert "too long for node_dir in site.yml" in session.output.read_text()
