"""The session's states, with a small server in vLLM's place that dies, hangs and refuses on request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.order import Order, give
from llm_hoster.engine.record.state import Adjustment, Transition
from llm_hoster.engine.supervision.restart_policy import RestartPolicy
from llm_hoster.engine.vllm.figures import parse_figures, read_figures
from llm_hoster.errors import EngineError
from tests.conftest import CATALOGUE
from tests.engine.conftest import RunningSession, wait_until
from tests.engine.test_serve import assert_nothing_is_left

SMALL_ENGINE = Path(__file__).with_name("small_engine.py").read_text()


class SmallSession:
    """A session on the small engine."""

    def __init__(self, session: RunningSession) -> None:
        self.session = session
        self.folder = session.home / "engine"
        self.folder.mkdir(exist_ok=True)

    @property
    def runtime_dir(self) -> Path:
        (folder,) = self.session.node_dir.glob("llmh-*")
        return folder

    def order(self, kind: Any, **values: Any) -> None:
        give(self.runtime_dir / "control.sock", Order(kind, values))

    def starts(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "starts").read_text().splitlines()]

    def pid_of(self, word: str) -> int:
        return next(pid for pid, command in self.session.processes().items() if word in command)

    def has_guard_but(self, former: int) -> bool:
        guards = [pid for pid, command in self.session.processes().items() if "llm-hoster-guard" in command]
        return guards not in ([], [former])

    def kill_engine(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid_of("bin/vllm"), number)

    def shared_memory(self) -> set[Path]:
        return set(Path("/dev/shm").glob(f"llmt-{zlib.crc32(bytes(self.folder)):08x}-*"))

    def transitions(self) -> list[Transition]:
        state = self.session.state()
        return [] if state is None else list(state.transitions)

    def wait_for_path(self, *states: str, timeout_s: float = 20) -> None:
        """Wait until the states of the session, one after the other, were these."""
        wait_until(lambda: tuple(each.after for each in self.transitions()) == states, timeout_s)

    def ask(self, prompt: str = "one") -> dict[str, Any]:
        endpoint = json.loads((self.session.staged_root / "endpoint.json").read_text())
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.session.wait_for_port()}/v1/completions",
            data=json.dumps({"model": endpoint["model"], "prompt": prompt}).encode(),
            headers={"Authorization": f"Bearer {endpoint['api_key']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)  # type: ignore[no-any-return]


@pytest.fixture
def small(start_session: Callable[..., RunningSession]) -> Callable[..., SmallSession]:
    def start(**changes: Any) -> SmallSession:
        return SmallSession(start_session(SMALL_ENGINE, **changes))

    return start


def test_a_crash_is_followed_by_a_start_at_once(small):
    small = small()
    small.session.wait_for_state("ready")
    small.kill_engine()
    small.wait_for_path("ready", "restarting", "ready")
    _, crashed, ready = small.transitions()
    assert crashed.cause is not None and "killed from outside" in crashed.cause
    assert ready.at - crashed.at < 3.0
    assert small.ask()["choices"][0]["text"] == "one"
    assert small.session.state().restarts == 1


def test_what_crashes_again_and_again_is_given_up_with_its_cause(small):
    """The waiting times between the starts are part of it, so this takes as long as they do."""
    small = small()
    small.session.wait_for_state("ready")
    (small.folder / "refuse").write_text("RuntimeError: CUDA error: an illegal memory access was encountered")
    small.kill_engine()
    small.wait_for_path("ready", "restarting", "restarting", "restarting", "failed", timeout_s=60)
    assert len(small.starts()) == 4
    assert small.session.state().deciding_line == "RuntimeError: CUDA error: an illegal memory access was encountered"
    waits = [each.at for each in small.transitions()]
    assert waits[3] - waits[2] > 2.9 and waits[4] - waits[3] > 9.9


def test_an_engine_that_hangs_is_seen_when_idle_and_started_again(small):
    small = small(arguments=("--hang", "3"))
    small.session.wait_for_state("ready")
    small.kill_engine(signal.SIGSTOP)
    small.wait_for_path("ready", "degraded", "restarting", "ready")
    assert small.transitions()[2].cause.startswith("The engine hangs. vLLM has not answered for")
    assert small.ask()["choices"][0]["text"] == "one"


def test_what_a_killed_vllm_has_shared_is_removed(small):
    small = small()
    small.session.wait_for_state("ready")
    (first,) = small.shared_memory()
    small.kill_engine()
    small.wait_for_path("ready", "restarting", "ready")
    (second,) = small.shared_memory()
    assert second != first
    small.session.process.kill()
    wait_until(lambda: not small.shared_memory())


def test_what_its_workers_have_shared_since_is_removed_too(small):
    small = small()
    small.session.wait_for_state("ready")
    small.ask("share")
    assert len(small.shared_memory()) == 2
    small.kill_engine()
    small.wait_for_path("ready", "restarting", "ready")
    assert len(small.shared_memory()) == 1


def test_of_an_engine_that_dies_while_another_model_is_waited_for_nothing_is_left_beside_that(small):
    small = small(more_models=[two_models("other-one", "/good")])
    small.session.wait_for_state("ready")
    small.ask("share")
    (small.folder / "hold").touch()
    asking = threading.Thread(target=ask_in_vain, args=(small,))
    asking.start()
    wait_until(lambda: figures_running(small) == 1)
    small.order("switch", model="other-one")
    small.kill_engine()
    small.wait_for_path("ready", "switching", "ready")
    asking.join()
    assert len(small.shared_memory()) == 1


def test_a_killed_guard_is_replaced(small):
    small = small()
    small.session.wait_for_state("ready")
    guard = small.pid_of("llm-hoster-guard")
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: small.has_guard_but(guard), timeout_s=2)
    time.sleep(0.5)  # It is told whom to end.
    small.session.process.kill()
    small.session.process.wait()
    assert_nothing_is_left(small.session)


def ask_in_vain(small: SmallSession) -> None:
    with pytest.raises(OSError):
        small.ask("hold")


def test_an_engine_that_brings_no_token_is_seen_by_its_figures(small):
    small = small(arguments=("--hang", "3"))
    small.session.wait_for_state("ready")
    (small.folder / "hold").touch()
    threading.Thread(target=ask_in_vain, args=[small], daemon=True).start()
    small.wait_for_path("ready", "degraded", "restarting", "ready")
    assert "1 open question(s)" in small.transitions()[1].cause


def show_replicas(small: SmallSession, **tokens: int) -> None:
    """Let vLLM tell of more replicas, each with two questions and so many tokens."""
    text = "".join(
        f'vllm:num_requests_running{{engine="{name}"}} 2.0\nvllm:generation_tokens_total{{engine="{name}"}} {count}\n'
        for name, count in tokens.items()
    )
    replace_file(small.folder / "figures", text)


def test_a_replica_that_hangs_is_seen_beside_one_that_works(small):
    small = small(arguments=("--hang", "4"))
    small.session.wait_for_state("ready")
    count = 0
    while [each.after for each in small.transitions()] != ["ready", "degraded", "restarting"]:
        count += 1
        assert count < 200
        show_replicas(small, stuck=7, works=count)
        time.sleep(0.05)
    (small.folder / "figures").unlink()
    assert small.transitions()[1].cause.startswith("Replica stuck of vLLM has 2 open question(s)")
    small.wait_for_path("ready", "degraded", "restarting", "ready")


def test_replicas_that_work_by_turns_are_well(small):
    small = small(arguments=("--hang", "2"))
    small.session.wait_for_state("ready")
    for turn in range(30):
        show_replicas(small, one=turn // 2, other=(turn + 1) // 2)
        time.sleep(0.15)
    assert [each.after for each in small.transitions()] == ["ready"]


def test_a_slow_engine_is_degraded_and_then_well_again(small):
    small = small(arguments=("--hang", "6"))
    small.session.wait_for_state("ready")
    small.kill_engine(signal.SIGSTOP)
    small.session.wait_for_state("degraded")
    small.kill_engine(signal.SIGCONT)
    small.wait_for_path("ready", "degraded", "ready")
    assert len(small.starts()) == 1


def test_a_failed_start_is_tried_again_with_another_setting(small):
    small = small(model={"source": "/broken"})
    small.session.wait_for_state("failed")
    small.order("restart", max_model_len=512)
    wait_until(lambda: len(small.starts()) == 2)
    assert small.starts()[1][-2:] == ["--max-model-len", "512"]
    small.wait_for_path("failed", "restarting", "failed")


def test_an_order_that_makes_no_sense_is_refused_with_a_sentence(small):
    small = small()
    small.session.wait_for_state("ready")
    with pytest.raises(EngineError, match="max_model_len: '0' cannot be set"):
        small.order("restart", max_model_len=0)
    with pytest.raises(EngineError, match=r'Model "nope" is not known|nope'):
        small.order("switch", model="nope")
    with pytest.raises(EngineError, match="gpu_type: this cannot be changed"):
        small.order("switch", gpu_type="h200")
    assert small.session.state().state == "ready"


def two_models(name: str, source: str) -> dict[str, Any]:
    return {**CATALOGUE["models"][0], "name": name, "title": name.title(), "source": source}


def test_a_switch_lets_running_answers_end_and_then_serves_the_other_model(small):
    small = small(more_models=[two_models("other-one", "/good")])
    small.session.wait_for_state("ready")
    (small.folder / "hold").touch()
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(small.ask("hold")))
    asking.start()
    wait_until(lambda: figures_running(small) == 1)
    small.order("switch", model="other-one")
    assert small.session.state().state == "switching"
    time.sleep(0.5)
    assert len(small.starts()) == 1
    (small.folder / "hold").unlink()
    small.wait_for_path("ready", "switching", "ready")
    asking.join()
    assert answers[0]["model"] == "tiny"
    assert small.starts()[1][:4] == ["serve", "/good", "--served-model-name", "other-one"]
    assert small.session.state().model.name == "other-one"
    assert small.ask()["model"] == "other-one"


def figures_running(small: SmallSession) -> int:
    figures = read_figures(small.runtime_dir / "vllm.sock")
    return -1 if figures is None else figures.requests_running


def test_a_model_that_cannot_be_started_gives_way_to_the_former_one(small):
    small = small(more_models=[two_models("other-one", "/broken")])
    small.session.wait_for_state("ready")
    small.order("switch", model="other-one")
    small.wait_for_path("ready", "switching", "switching", "ready")
    cause = small.transitions()[2].cause
    assert cause.startswith("Other-One could not be started. The model leaves no memory for conversations.")
    assert cause.endswith("Tiny model comes back.")
    assert small.ask()["model"] == "tiny"


def test_the_session_ends_when_its_page_says_so(small):
    small = small()
    small.session.wait_for_state("ready")
    small.order("stop")
    assert small.session.process.wait(timeout=20) == 0
    assert small.session.outcome()["reason"] == "The session was ended from its page."
    assert_nothing_is_left(small.session)


def test_a_stale_socket_does_not_stop_the_next_start(small):
    """vLLM leaves its socket behind when it is killed."""
    small = small()
    small.session.wait_for_state("ready")
    assert (small.runtime_dir / "vllm.sock").exists()
    small.kill_engine()
    small.wait_for_path("ready", "restarting", "ready")


def test_a_killed_page_server_comes_back_at_the_same_address(small):
    small = small()
    port = small.session.wait_for_port()
    small.session.wait_for_state("ready")
    master = small.pid_of("gunicorn")
    for pid, command in small.session.processes().items():
        if "gunicorn" in command:
            os.kill(pid, signal.SIGKILL)
    assert small.ask()["choices"][0]["text"] == "one"
    assert small.session.wait_for_port() == port
    assert small.pid_of("gunicorn") != master


def test_the_next_session_on_the_node_clears_away_what_a_killed_one_left(small, start_session, staged_root, tmp_path):
    """The guard is killed too, as when the node's memory runs out or Slurm kills all at once."""
    small = small()
    small.session.wait_for_state("ready")
    left = small.runtime_dir
    os.kill(small.pid_of("llm-hoster-guard"), signal.SIGKILL)
    small.session.process.kill()
    small.session.process.wait()
    assert left.exists() and small.session.processes()
    shared = small.shared_memory()
    script = (
        f"from pathlib import Path\nfrom llm_hoster.engine.process.folders import runtime_dir_in\n"
        f"with runtime_dir_in(Path({str(left.parent)!r})): pass"
    )
    subprocess.run([os.sys.executable, "-c", script], check=True)
    assert_nothing_is_left(small.session)
    assert len(shared - small.shared_memory()) == 1


def test_a_living_session_on_the_node_is_left_alone(small):
    small = small()
    small.session.wait_for_state("ready")
    script = (
        f"from pathlib import Path\nfrom llm_hoster.engine.process.folders import runtime_dir_in\n"
        f"with runtime_dir_in(Path({str(small.session.node_dir)!r})): pass"
    )
    subprocess.run([os.sys.executable, "-c", script], check=True)
    assert small.ask()["choices"][0]["text"] == "one"


def test_the_adjustment_of_an_order_is_what_vllm_gets():
    assert Adjustment.parse({"max_num_seqs": 8, "enforce_eager": True}).arguments() == [
        "--max-num-seqs", "8", "--enforce-eager",
    ]  # fmt: skip


SQUEUE = """#!/bin/sh
for argument; do format=$argument; done
[ "$format" = %r ] && echo TimeLimit || cat "{folder}/end"
"""


def test_a_minute_before_the_end_that_slurm_tells_nothing_new_is_taken_and_the_rest_may_end(
    small, tmp_path, monkeypatch
):
    """Slurm's answer counts, not the hours of the form: an administrator may have changed the limit."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "squeue").write_text(SQUEUE.format(folder=programs))
    (programs / "squeue").chmod(0o755)
    # It is ready before that minute begins, also where the machine is slow.
    ends_at = int(time.time()) + 85
    (programs / "end").write_text(time.strftime("%Y-%m-%dT%H:%M:%S\n", time.localtime(ends_at)))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    small = small(environment={"SLURM_JOB_ID": "417"})
    small.session.wait_for_state("ready")
    (small.folder / "hold").touch()
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(small.ask("hold")))
    time.sleep(max(0.0, ends_at - 65 - time.time()))
    asking.start()
    small.session.wait_for_state("stopping")
    assert 55 < ends_at - time.time() <= 60
    with pytest.raises(urllib.error.HTTPError) as refused:
        small.ask()
    refused.value.close()
    assert refused.value.code == 503
    (small.folder / "hold").unlink()
    assert small.session.process.wait(timeout=20) == 0
    asking.join()
    assert answers[0]["model"] == "tiny"
    assert small.session.outcome()["reason"] == "The time limit of the job was reached."
    assert_nothing_is_left(small.session)


def test_the_next_start_knows_what_the_last_one_took(small, tmp_path):
    small = small()
    assert {step.expected_s for step in small.session.wait_for_state("ready").steps} == {None}
    assert len(list((tmp_path / "cache" / "starts").iterdir())) == 1
    small.kill_engine()
    small.wait_for_path("ready", "restarting", "ready")
    assert None not in {step.expected_s for step in small.session.state().steps}


def test_a_model_of_the_hub_is_fetched_before_vllm_starts(small):
    """Here the site is offline, so that the download says so in a sentence, in place of vLLM after minutes."""
    small = small(model={"source": "org/model"})
    state = small.session.wait_for_state("failed")
    assert (state.steps[0].name, state.steps[0].status) == ("download", "failed")
    assert "org/model" in state.cause
    assert not (small.folder / "starts").exists()


def test_a_second_order_does_not_cut_the_answers_that_may_still_end(small):
    small = small(more_models=[two_models("other-one", "/good"), two_models("third-one", "/better")])
    small.session.wait_for_state("ready")
    (small.folder / "hold").touch()
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(small.ask("hold")))
    asking.start()
    wait_until(lambda: figures_running(small) == 1)
    small.order("switch", model="other-one")
    small.order("switch", model="third-one")
    time.sleep(0.5)
    (small.folder / "hold").unlink()
    asking.join()
    assert answers[0]["model"] == "tiny"
    wait_until(lambda: small.session.state().state == "ready")
    assert small.session.state().model.name == "third-one"
    assert len(small.starts()) == 2


def test_a_setting_with_which_it_cannot_start_gives_way_to_what_has_served(small):
    small = small()
    small.session.wait_for_state("ready")
    (small.folder / "refuse_with").write_text("--max-num-seqs")
    small.order("restart", max_num_seqs=8)
    small.wait_for_path("ready", "restarting", "switching", "ready")
    back = small.transitions()[2]
    assert back.cause.startswith("Tiny model could not be started. ")
    assert back.cause.endswith("It comes back as it was before.")
    assert "--max-num-seqs" not in small.starts()[-1]


def test_an_order_for_a_model_that_cannot_even_be_looked_at_is_refused(small):
    """The system says no to such a path before anything of vLLM's runs."""
    small = small(more_models=[two_models("other-one", "/" + "a" * 300)])
    small.session.wait_for_state("ready")
    with pytest.raises(EngineError, match="File name too long"):
        small.order("switch", model="other-one")
    assert small.ask()["choices"][0]["text"] == "one"


def test_a_locale_without_the_letters_of_the_log_does_no_harm(small):
    small = small(environment={"PYTHONIOENCODING": "ascii"})
    small.session.wait_for_state("ready")
    (small.folder / "refuse").write_text("RuntimeError: █ of the model")
    small.kill_engine()
    wait_until(lambda: len(small.transitions()) >= 3)
    assert small.session.process.poll() is None


def test_who_has_served_long_enough_does_not_crash_in_a_loop():
    policy = RestartPolicy()
    assert [policy.delay_after_crash(400.0) for _ in range(4)] == [0.0, 3.0, 10.0, None]
    assert policy.delay_after_crash(20 * 60.0) == 0.0


@pytest.mark.parametrize("value", ["NaN", "+Inf", "1.2.3"])
def test_figures_that_are_no_numbers_are_none(value):
    assert parse_figures(f"vllm:num_requests_running 0.0\nvllm:generation_tokens_total {value}\n") is None
