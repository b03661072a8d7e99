"""A change of model that lays the former one down: it comes back without a start."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.vllm import sleep
from llm_hoster.engine.vllm.figures import read_figures
from llm_hoster.errors import EngineError
from tests.engine.conftest import RunningSession, wait_until
from tests.engine.small_adapter import write_adapter
from tests.engine.test_serve import assert_nothing_is_left
from tests.engine.test_supervisor import SMALL_ENGINE, SmallSession, two_models

MakeSession = Callable[..., RunningSession]
TOO_LARGE = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"


@pytest.fixture
def models(prefix: Path, tmp_path: Path) -> list[dict[str, Any]]:
    folders = [shutil.copytree(prefix / "models" / "tiny", tmp_path / name) for name in ("second", "third")]
    return [two_models(folder.name, str(folder)) for folder in folders]


@pytest.fixture
def session(start_session: MakeSession, models: list[dict[str, Any]]) -> SmallSession:
    """Serves the tiny model, and has two others that may sleep as well."""
    session = SmallSession(start_session(SMALL_ENGINE, engine={"sleep_mode": True}, more_models=models))
    session.session.wait_for_state("ready")
    return session


def change(session: SmallSession, model: str, timeout_s: float = 20.0) -> None:
    """Return when the other model serves."""
    session.order("switch", model=model)
    wait_until(lambda: serves(session, model), timeout_s)
    assert session.ask()["model"] == model


def serves(session: SmallSession, model: str) -> bool:
    state = session.session.state()
    return state is not None and (state.state, state.model.name) == ("ready", model)


def engines(session: SmallSession) -> list[int]:
    return [pid for pid, command in session.session.processes().items() if "bin/vllm" in command]


def notes(session: SmallSession) -> str:
    return " ".join(each.cause or "" for each in session.transitions())


def test_the_former_model_comes_back_without_a_start(session: SmallSession) -> None:
    (first,) = engines(session)
    change(session, "second")
    assert first in engines(session)
    assert session.session.state().asleep == "tiny"
    for model in ("tiny", "second", "tiny"):
        change(session, model)
    assert len(session.starts()) == 2
    assert len(engines(session)) == 2
    # Its socket and its temporary files have gone back to their place, and those of the other one are aside.
    assert [path.name for path in session.runtime_dir.glob("asleep-*")] == ["asleep-4"]
    assert "Tiny model sleeps: its weights are in the job's memory." in notes(session)
    assert "Tiny model has woken up after" in notes(session)


def test_only_one_sleeps(session: SmallSession) -> None:
    (first,) = engines(session)
    change(session, "second")
    change(session, "third")
    assert first not in engines(session)
    assert len(engines(session)) == 2
    change(session, "tiny")
    assert len(session.starts()) == 4
    assert len(list(session.runtime_dir.glob("asleep-*"))) == 1


def test_one_that_does_not_fall_asleep_is_ended(session: SmallSession) -> None:
    (first,) = engines(session)
    (session.folder / "refuse_sleep").touch()
    change(session, "second")
    assert first not in engines(session)
    assert "Tiny model did not fall asleep and is ended. vLLM answers 500" in notes(session)


def test_one_that_does_not_wake_up_is_started_anew(session: SmallSession) -> None:
    change(session, "second")
    (session.folder / "refuse_wake").touch()
    change(session, "tiny")
    assert len(session.starts()) == 3
    assert notes(session).count("Tiny model did not wake up and is started anew.") == 1


def test_one_that_ends_asleep_is_started_anew(session: SmallSession) -> None:
    (first,) = engines(session)
    change(session, "second")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: "Tiny model, which slept, has ended." in notes(session))
    change(session, "tiny")
    assert len(session.starts()) == 3
    assert "did not wake up" not in notes(session)


def switching_to(session: SmallSession, model: str) -> bool:
    state = session.session.state()
    return state is not None and (state.state, state.model.name) == ("switching", model)


def test_what_is_asked_for_while_one_is_woken_in_vain_is_served(session: SmallSession) -> None:
    (first,) = engines(session)
    change(session, "second")
    (session.folder / "hold_wake").touch()
    session.order("switch", model="tiny")
    wait_until(lambda: switching_to(session, "tiny"))
    session.order("switch", model="third")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: serves(session, "third"))
    assert [arguments[3] for arguments in session.starts()] == ["tiny", "second", "third"]


def lying_down(session: SmallSession, model: str) -> None:
    """Ask for another model, and return while the present one is being laid down."""
    (session.folder / "hold_sleep").touch()
    session.order("switch", model=model)
    wait_until(lambda: any(path.exists() for path in session.runtime_dir.glob("asleep-*/vllm.sock")))


def test_no_question_comes_to_one_that_is_about_to_sleep(session: SmallSession) -> None:
    lying_down(session, "second")
    assert not (session.runtime_dir / "vllm.sock").exists()
    (session.folder / "hold_sleep").unlink()
    wait_until(lambda: serves(session, "second"))


def test_a_question_that_came_late_is_answered_before_the_sleep(
    session: SmallSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleep, "LATE_MAX_S", 1.0)
    socket_path = session.runtime_dir / "vllm.sock"
    (session.folder / "hold").touch()
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(session.ask("hold")))
    asking.start()
    wait_until(lambda: (figures := read_figures(socket_path)) is not None and figures.are_requests_open)
    with pytest.raises(EngineError, match="still writes answers"):
        sleep.fall_asleep(socket_path)
    (session.folder / "hold").unlink()
    sleep.fall_asleep(socket_path)
    asking.join()
    assert answers[0]["model"] == "tiny"


def test_another_wish_while_one_lies_down_leaves_only_one_asleep(session: SmallSession) -> None:
    change(session, "second")
    lying_down(session, "tiny")
    session.order("switch", model="third")
    (session.folder / "hold_sleep").unlink()
    wait_until(lambda: serves(session, "third"))
    assert len(engines(session)) == 2
    assert session.session.state().asleep == "second"


def test_who_changes_their_mind_while_one_lies_down_has_it_back(session: SmallSession) -> None:
    (first,) = engines(session)
    lying_down(session, "second")
    session.order("switch", model="tiny")
    (session.folder / "hold_sleep").unlink()
    wait_until(lambda: serves(session, "tiny"))
    assert engines(session) == [first]
    assert session.ask()["model"] == "tiny"


def test_one_that_lies_down_is_ended_for_the_same_model_with_another_setting(session: SmallSession) -> None:
    (first,) = engines(session)
    lying_down(session, "second")
    session.order("restart", max_num_seqs=8)
    (session.folder / "hold_sleep").unlink()
    wait_until(lambda: serves(session, "tiny"))
    assert first not in engines(session)
    assert [arguments[3] for arguments in session.starts()] == ["tiny", "tiny"]


def test_one_that_dies_while_it_lies_down_is_ended_whole(session: SmallSession) -> None:
    (first,) = engines(session)
    lying_down(session, "second")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: serves(session, "second"))
    assert len(engines(session)) == 1
    assert list(session.runtime_dir.glob("asleep-*")) == []
    assert notes(session).count("Tiny model did not fall asleep and is ended.") == 1
    assert "which slept" not in notes(session)


def test_waiting_for_a_move_takes_no_time_of_a_core(session: SmallSession) -> None:
    change(session, "second")
    (session.folder / "hold_wake").touch()
    session.order("switch", model="tiny")
    wait_until(lambda: switching_to(session, "tiny"))
    session.order("switch", model="third")
    before = cpu_s(session.session.process.pid)
    time.sleep(2)
    assert cpu_s(session.session.process.pid) - before < 0.5
    (session.folder / "hold_wake").unlink()
    wait_until(lambda: serves(session, "third"))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_one_that_makes_no_tokens_is_not_asked_to_lie_down(
    start_session: MakeSession, models: list[dict[str, Any]]
) -> None:
    session = SmallSession(
        start_session(SMALL_ENGINE, ("--hang", "8"), engine={"sleep_mode": True}, more_models=models)
    )
    session.session.wait_for_state("ready")
    (first,) = engines(session)
    (session.folder / "hold").touch()
    asking = threading.Thread(target=lambda: session.ask("hold"))
    asking.start()
    session.session.wait_for_state("degraded")
    session.order("switch", model="second")
    (session.folder / "hold").unlink()
    asking.join()
    wait_until(lambda: serves(session, "second"))
    assert first not in engines(session)
    assert session.session.state().asleep is None


def test_adapters_of_now_are_what_a_sleeping_model_is_known_by(
    start_session: MakeSession, models: list[dict[str, Any]], tmp_path: Path
) -> None:
    """One that was loaded at run time is still there when the other model fails and this one comes back."""
    write_adapter(tmp_path / "loras" / "law")
    context = {"lora_folder": str(tmp_path / "loras")}
    session = SmallSession(
        start_session(SMALL_ENGINE, engine={"sleep_mode": True}, more_models=models, context=context)
    )
    session.session.wait_for_state("ready")
    write_adapter(tmp_path / "loras" / "tax")
    session.order("adapters")
    wait_until(lambda: session.session.state().adapters == ("law", "tax"))
    (session.folder / "refuse_once").write_text("ValueError: the weights are of no use")
    session.order("switch", model="second")
    wait_until(lambda: "Second could not be started." in notes(session) and serves(session, "tiny"))
    assert len(session.starts()) == 2
    assert session.session.state().adapters == ("law", "tax")


def test_one_that_dies_while_it_is_woken_is_started_anew_and_only_once(session: SmallSession) -> None:
    (first,) = engines(session)
    change(session, "second")
    (session.folder / "hold_wake").touch()
    session.order("switch", model="tiny")
    wait_until(lambda: len(engines(session)) == 2 and session.session.state().state == "switching")
    wait_until(lambda: session.session.state().model.name == "tiny")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: serves(session, "tiny"))
    assert len(session.starts()) == 3
    assert session.session.state().restarts == 0
    assert len(engines(session)) == 2


def test_a_model_that_cannot_be_started_gives_way_to_the_one_that_sleeps(session: SmallSession) -> None:
    (session.folder / "refuse_once").write_text("ValueError: the weights are of no use")
    session.order("switch", model="second")
    wait_until(lambda: "Second could not be started." in notes(session) and serves(session, "tiny"))
    assert session.ask()["model"] == "tiny"
    assert len(session.starts()) == 2
    assert len(engines(session)) == 1


def test_what_sleeps_is_ended_where_the_other_one_needs_its_memory(session: SmallSession) -> None:
    (first,) = engines(session)
    (session.folder / "refuse_once").write_text(TOO_LARGE)
    change(session, "second")
    assert first not in engines(session)
    assert "Tiny model, which slept, is ended to make room, and it is tried once more." in notes(session)


def test_another_setting_is_no_reason_to_lie_down(session: SmallSession) -> None:
    (first,) = engines(session)
    session.order("restart", max_num_seqs=8)
    session.wait_for_path("ready", "restarting", "ready")
    assert first not in engines(session)


def test_another_preset_is_another_start(session: SmallSession) -> None:
    change(session, "second")
    session.order("switch", model="tiny", preset="throughput")
    wait_until(lambda: serves(session, "tiny"))
    assert [arguments[3] for arguments in session.starts()] == ["tiny", "second", "tiny"]


def test_what_serves_is_started_again_after_a_crash_while_the_other_one_sleeps(session: SmallSession) -> None:
    (first,) = engines(session)
    change(session, "second")
    (other,) = [pid for pid in engines(session) if pid != first]
    os.kill(other, signal.SIGKILL)
    wait_until(lambda: len(session.starts()) == 3 and serves(session, "second"))
    assert first in engines(session)
    change(session, "tiny")
    assert len(session.starts()) == 3


def test_nothing_sleeps_any_more_in_the_last_minute(start_session: MakeSession, models: list[dict[str, Any]]) -> None:
    environment = {"SLURM_JOB_END_TIME": str(int(time.time()) + 68)}
    session = SmallSession(
        start_session(SMALL_ENGINE, engine={"sleep_mode": True}, more_models=models, environment=environment)
    )
    session.session.wait_for_state("ready")
    (first,) = engines(session)
    change(session, "second")
    (session.folder / "hold").touch()
    asking = threading.Thread(target=lambda: session.ask("hold"))
    asking.start()
    session.session.wait_for_state("stopping")
    wait_until(lambda: first not in engines(session))
    assert len(engines(session)) == 1
    (session.folder / "hold").unlink()
    asking.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_the_sleeping_one_is_left(session: SmallSession, number: signal.Signals) -> None:
    change(session, "second")
    assert len(session.shared_memory()) == 2
    session.session.process.send_signal(number)
    session.session.process.wait(20)
    assert_nothing_is_left(session.session)
    wait_until(lambda: not session.shared_memory())


@pytest.mark.parametrize(
    ("sleep_mode", "environment"),
    [
        pytest.param(False, {}, id="the site does not want it"),
        pytest.param(True, {"SLURM_MEM_PER_NODE": "2048"}, id="the job's memory is too small"),
    ],
)
def test_where_it_cannot_sleep_it_is_ended(
    start_session: MakeSession, models: list[dict[str, Any]], sleep_mode: bool, environment: dict[str, str]
) -> None:
    engine = {"sleep_mode": sleep_mode}
    session = SmallSession(start_session(SMALL_ENGINE, engine=engine, more_models=models, environment=environment))
    session.session.wait_for_state("ready")
    (first,) = engines(session)
    change(session, "second")
    assert first not in engines(session)
