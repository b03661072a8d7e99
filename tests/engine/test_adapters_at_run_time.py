"""LoRA adapters that come, change and go while the engine serves, with a small server in vLLM's place."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.record.state import AdapterLook
from llm_hoster.engine.vllm import adapter_loading
from llm_hoster.engine.vllm.adapter import look_for_adapters
from llm_hoster.engine.vllm.adapter_loading import LoadedAdapters
from llm_hoster.errors import EngineError
from tests.engine.conftest import RunningSession, wait_until
from tests.engine.small_adapter import write_adapter
from tests.engine.test_supervisor import SMALL_ENGINE, SmallSession

VARIABLE = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"


class AdapterSession(SmallSession):
    """A session on the small engine with a folder of adapters."""

    def __init__(self, session: RunningSession, loras: Path) -> None:
        super().__init__(session)
        self.loras = loras

    def look(self) -> AdapterLook:
        """Give the order, and wait for what comes of it."""
        self.order("adapters")
        return self.wait_for_look()

    def wait_for_look(self) -> AdapterLook:
        def is_done() -> bool:
            look = self.session.state().adapter_look  # type: ignore[union-attr]
            return look is not None and look.ended_at is not None

        wait_until(is_done)
        return self.session.state().adapter_look  # type: ignore[union-attr,return-value]

    def names(self) -> list[str]:
        """What scripts see."""
        _, answer = self.call("/v1/models")
        return [model["id"] for model in answer["data"]][1:]

    def call(self, path: str, body: object = None) -> tuple[int, Any]:
        """Ask with the session's key; give status and answer."""
        key = json.loads((self.session.staged_root / "endpoint.json").read_text())["api_key"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.session.wait_for_port()}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def loads(self) -> list[str]:
        return (self.folder / "loads").read_text().splitlines() if (self.folder / "loads").exists() else []


@pytest.fixture
def serve(start_session: Callable[..., RunningSession], tmp_path: Path) -> Callable[..., AdapterSession]:
    """Start with the adapter `law`, and wait until it is served."""

    def start(**changes: Any) -> AdapterSession:
        write_adapter(tmp_path / "loras" / "law")
        context = {"lora_folder": str(tmp_path / "loras")}
        session = AdapterSession(start_session(SMALL_ENGINE, context=context, **changes), tmp_path / "loras")
        session.session.wait_for_state("ready")
        return session

    return start


def test_what_has_come_changed_or_gone_is_followed(serve):
    session = serve()
    assert (session.session.state().adapters, session.names()) == (("law",), ["law"])
    assert session.look().sentence == "No adapter has changed."
    assert session.loads() == []

    write_adapter(session.loras / "physics", 4)
    look = session.look()
    assert (look.sentence, look.is_whole) == ("Loaded: physics.", True)
    assert session.names() == ["law", "physics"]

    write_adapter(session.loras / "law", 16)
    assert session.look().sentence == "Loaded anew: law."
    assert session.session.state().adapters == ("law", "physics")
    assert sorted(session.names()) == ["law", "physics"]
    shutil.rmtree(session.loras / "law")
    assert session.look().sentence == "Taken away: law."
    assert (session.session.state().adapters, session.names()) == (("physics",), ["physics"])
    notes = [each.cause for each in session.transitions() if each.before == each.after]
    assert notes[-1] == "LoRA adapters were looked for. Taken away: law."


def test_new_weights_never_come_from_a_path_that_vllm_has_cached_for(serve):
    """vLLM tells cached conversations apart by an adapter's name and path."""
    session = serve()
    for rank in (4, 16):
        write_adapter(session.loras / "law", rank)
        session.look()
    shutil.rmtree(session.loras / "law")
    session.look()
    write_adapter(session.loras / "law")
    session.look()
    paths = session.loads()
    assert len({str(session.loras / "law"), *paths}) == 4
    assert {Path(path).resolve() for path in paths} == {session.loras / "law"}


def test_the_routes_are_open_for_sessions_with_a_folder_and_never_through_the_endpoint(serve):
    session = serve()
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
        assert session.call(path, {"lora_name": "law", "lora_path": "/etc"})[0] == 404
    assert session.names() == ["law"]
    environment = Path(f"/proc/{session.pid_of('bin/vllm')}/environ").read_bytes()
    assert f"{VARIABLE}=1".encode() in environment.split(b"\0")


def test_without_a_folder_the_routes_are_closed_and_the_order_is_refused(start_session):
    small = SmallSession(start_session(SMALL_ENGINE, environment={VARIABLE: "1"}))
    small.session.wait_for_state("ready")
    with pytest.raises(EngineError, match=r"no folder of LoRA adapters\. Name one in the form"):
        small.order("adapters")
    assert small.session.state().adapters is None
    assert VARIABLE.encode() not in Path(f"/proc/{small.pid_of('bin/vllm')}/environ").read_bytes()


def test_one_that_is_too_large_is_told_and_the_others_are_served(serve):
    session = serve()
    write_adapter(session.loras / "large", 64)
    write_adapter(session.loras / "small", 4)
    look = session.look()
    assert look.sentence == (
        "Loaded: small. large has the rank 64, and the engine was started for ranks up to 16. Restart the engine: "
        "a start makes room for all adapters in the folder."
    )
    assert not look.is_whole
    session.order("restart")
    session.wait_for_path("ready", "ready", "restarting", "ready")
    assert session.names() == ["large", "law", "small"]
    assert "64" in session.starts()[-1]


def test_one_that_is_being_written_leaves_the_old_one_in_service(serve):
    session = serve()
    weights = session.loras / "law" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    look = session.look()
    assert look.sentence.endswith("not whole: it is being written, or is damaged. Look again when it is done.")
    (session.loras / "law" / "adapter_config.json").write_text("{")
    assert "not the description of a LoRA adapter" in session.look().sentence
    assert session.names() == ["law"]


def test_a_folder_that_cannot_be_read_changes_nothing(serve):
    session = serve()
    session.loras.rename(session.loras.with_name("away"))
    look = session.look()
    assert "this LoRA folder cannot be read" in look.sentence
    assert session.names() == ["law"]


def test_a_refusal_of_vllm_is_told_in_its_own_words(serve):
    session = serve()
    (session.folder / "refuse_load").write_text(
        "Call to add_lora method failed: expected target modules in ['q_proj'] but got ['x'].\n" + "x" * 1000
    )
    write_adapter(session.loras / "physics")
    look = session.look()
    assert look.sentence == "physics: vLLM refuses it: expected target modules in ['q_proj'] but got ['x']."
    (session.folder / "refuse_load").unlink()
    assert session.look().sentence == "Loaded: physics."


def test_a_slow_load_keeps_nobody_waiting_and_a_second_order_is_refused(serve):
    session = serve()
    (session.folder / "hold_load").touch()
    write_adapter(session.loras / "physics")
    session.order("adapters")
    with pytest.raises(EngineError, match="being looked for already"):
        session.order("adapters")
    assert session.session.state().adapter_look.ended_at is None
    assert session.ask()["choices"][0]["text"] == "one"
    began = time.monotonic()
    session.order("stay")
    assert time.monotonic() - began < 1.0
    (session.folder / "hold_load").unlink()
    assert session.wait_for_look().sentence == "Loaded: physics."


def test_after_a_crash_all_are_served_again_but_those_that_have_gone(serve):
    session = serve()
    for name in ("physics", "history"):
        write_adapter(session.loras / name)
    session.look()
    shutil.rmtree(session.loras / "law")
    session.kill_engine()
    wait_until(lambda: session.session.state().restarts == 1)
    session.session.wait_for_state("ready")
    assert session.names() == ["history", "physics"]
    assert session.session.state().adapters == ("history", "physics")
    notes = [each.cause for each in session.transitions() if each.before == each.after]
    assert notes[-1] == "Adapters that have gone or cannot be read are left out: law."
    for name in ("physics", "history"):
        shutil.rmtree(session.loras / name)
    session.kill_engine()
    wait_until(lambda: session.session.state().restarts == 2)
    session.session.wait_for_state("ready")
    assert session.names() == []
    write_adapter(session.loras / "new")
    assert session.look().sentence == "Loaded: new."
    rooms = [each[each.index("--enable-lora") : each.index("--enable-lora") + 7] for each in session.starts()]
    assert rooms == [["--enable-lora", "--max-lora-rank", "16", "--max-loras", "2", "--max-cpu-loras", "64"]] * 3


def test_one_that_was_being_replaced_in_a_crash_is_served_after_it(serve):
    session = serve()
    (session.folder / "hold_load").touch()
    write_adapter(session.loras / "law", 4)
    session.order("adapters")
    wait_until(lambda: session.names() == [])
    session.kill_engine()
    session.wait_for_look()
    (session.folder / "hold_load").unlink()
    wait_until(lambda: session.session.state().restarts == 1)
    session.session.wait_for_state("ready")
    assert session.names() == ["law"]
    assert session.session.state().adapters == ("law",)


def test_an_engine_that_ends_while_it_loads_is_told(serve):
    session = serve()
    (session.folder / "hold_load").touch()
    write_adapter(session.loras / "physics")
    session.order("adapters")
    session.kill_engine(signal.SIGKILL)
    look = session.wait_for_look()
    assert (look.sentence.endswith("Look again when it is ready."), look.is_whole) == (True, False)
    (session.folder / "hold_load").unlink()
    wait_until(lambda: session.session.state().restarts == 1)
    session.session.wait_for_state("ready")
    assert session.names() == ["law"]
    assert session.look().sentence == "Loaded: physics."


def test_an_engine_that_does_not_serve_is_not_asked(serve):
    session = serve()
    (session.folder / "wait").touch()
    session.order("restart")
    session.session.wait_for_state("restarting")
    with pytest.raises(EngineError, match="does not serve now"):
        session.order("adapters")
    (session.folder / "wait").unlink()


def test_a_path_in_the_order_is_not_looked_at(serve, tmp_path):
    session = serve()
    write_adapter(tmp_path / "others" / "evil")
    session.order("adapters", lora_folder=str(tmp_path / "others"))
    assert session.wait_for_look().sentence == "No adapter has changed."


def test_what_is_not_known_of_an_adapter_is_tried_again(serve):
    """The engine has unloaded the old one, and not said what became of the new one."""
    session = serve()
    loaded = LoadedAdapters(session.runtime_dir / "vllm.sock", look_for_adapters(session.loras, "tiny").adapters, 16)
    write_adapter(session.loras / "law", 4)
    (session.folder / "hold_load").touch()
    errors = []

    def follow() -> None:
        with pytest.raises(EngineError) as caught:
            loaded.follow(look_for_adapters(session.loras, "tiny"))
        errors.append(str(caught.value))

    thread = threading.Thread(target=follow)
    thread.start()
    wait_until(lambda: session.names() == [])
    session.kill_engine()
    thread.join(10)
    assert errors == ["The engine did not answer while it loaded adapters. Look again when it is ready."]
    assert [(each.name, each.stamp) for each in loaded.served] == [("law", "")]
    (session.folder / "hold_load").unlink()


def test_as_many_as_vllm_keeps_are_loaded_and_no_more(serve, monkeypatch):
    """What it drops it would read again from a folder that may have changed since."""
    session = serve()
    monkeypatch.setattr(adapter_loading, "KEPT_MAX", 2)
    loaded = LoadedAdapters(session.runtime_dir / "vllm.sock", look_for_adapters(session.loras, "tiny").adapters, 16)
    for name in ("physics", "history"):
        write_adapter(session.loras / name)
    change = loaded.follow(look_for_adapters(session.loras, "tiny"))
    assert change.loaded == ["history"]
    assert change.sentence.startswith("Loaded: history. physics: the engine has loaded 2 adapters since its start")
