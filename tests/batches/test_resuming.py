"""Batches that outlive the session in which they were asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from llm_hoster.batches.batch import Batch, BatchOrder, Progress, new_batch_id
from llm_hoster.batches.batch_store import BatchStore
from llm_hoster.batches.stored_file import FileStore, StoredFile, new_id
from llm_hoster.engine.record.state import write_state
from tests.batches.batch_engine import BatchEngine
from tests.batches.conftest import (
    CHAT,
    LightServer,
    MakeClient,
    MakeServer,
    answers,
    chat_lines,
    start_batch,
    wait_for_end,
)
from tests.live_engine import wait_for
from tests.web_session import ready_state


def completed(client: openai.OpenAI, batch_id: str) -> int:
    counts = client.batches.retrieve(batch_id).request_counts
    return 0 if counts is None else counts.completed


def test_after_a_kill_the_next_session_asks_only_what_was_not_answered(
    make_server: MakeServer, make_openai: MakeClient, engine: BatchEngine, tmp_path: Path
) -> None:
    first = make_server()
    client = make_openai(first)
    questions = [f"{number}" for number in range(50)] + ["hold one", "hold two"]
    batch = start_batch(client, chat_lines(*questions))
    wait_for(lambda: completed(client, batch.id) == 50 and engine.in_flight == 2, "all but two are answered")
    first.kill()
    (part,) = (tmp_path / "data" / "batches" / "batches" / batch.id).glob("output-*.jsonl")
    with part.open("ab") as file:
        file.write(f'{{"id": "batch_req_{batch.id[6:]}_51", "custom_id": "hold o'.encode())  # A kill may leave this.
    engine.go_on.set()

    client = make_openai(make_server())
    batch = wait_for_end(client, batch)

    assert batch.status == "completed"
    assert answers(client, batch.output_file_id).keys() == set(questions)
    assert sorted(engine.asked) == sorted([*questions, "hold one", "hold two"])


def test_two_sessions_at_once_share_the_work_and_the_sight(
    make_server: MakeServer, make_openai: MakeClient, engine: BatchEngine, tmp_path: Path
) -> None:
    here = make_openai(make_server())
    batch = start_batch(here, chat_lines("one", "hold two"))
    wait_for(lambda: completed(here, batch.id) == 1, "the first works at it")
    other_dir = Path(f"{engine.path.parent}/other")
    other_dir.mkdir()
    there = make_openai(make_server(runtime_dir=other_dir, session_id="session-2", engine=engine.path))

    seen = there.batches.retrieve(batch.id)
    cancelled = there.batches.cancel(batch.id)
    wait_for(lambda: engine.aborted == ["hold two"], "the first hears of it")

    assert (seen.status, cancelled.status) == ("in_progress", "cancelling")
    assert wait_for_end(there, batch).status == "cancelled"
    assert sorted(engine.asked) == ["hold two", "one"]


def test_a_session_that_ends_leaves_its_batch_to_the_next(
    make_server: MakeServer, make_openai: MakeClient, engine: BatchEngine
) -> None:
    first = make_server()
    client = make_openai(first)
    batch = start_batch(client, chat_lines("one", "hold two"))
    wait_for(lambda: engine.in_flight == 1 and completed(client, batch.id) == 1, "it works at it")
    other_dir = Path(f"{engine.path.parent}/other")
    other_dir.mkdir()
    there = make_openai(make_server(runtime_dir=other_dir, session_id="session-2", engine=engine.path))

    write_state(first.settings.state_path, ready_state(state="stopping"))
    wait_for(lambda: engine.aborted == ["hold two"], "the first lets go")
    engine.go_on.set()

    batch = wait_for_end(there, batch)
    assert answers(there, batch.output_file_id).keys() == {"one", "hold two"}
    assert engine.times_asked("one") == 1


@pytest.fixture
def leave(tmp_path: Path) -> Callable[..., Batch]:
    """Leave a batch of so many lines in the folder, as an ended session does."""

    def make(lines: int, *, age_s: float = 0.0, **progress: object) -> Batch:
        root = tmp_path / "data" / "batches"
        files, batches, now = FileStore(root), BatchStore(root), time.time()
        file = StoredFile(
            id=new_id(), filename="in", purpose="batch", bytes=1, created_at=now, expires_at=None, caller="owner"
        )
        with files.new_content() as content:
            content.write(chat_lines(*map(str, range(lines))))
            files.add(content, file)
        order = BatchOrder(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        batch = Batch(id=new_batch_id(), caller="owner", created_at=now - age_s, order=order, models=("tiny",))
        batches.add(batch)
        batches.write_progress(batch, Progress(model="tiny", total=lines, **progress))  # type: ignore[arg-type]
        return batch

    return make


def test_what_was_not_answered_in_time_is_told(
    leave: Callable[..., Batch], make_light_server: Callable[..., LightServer], make_openai: MakeClient
) -> None:
    batch = leave(3, status="in_progress", age_s=86401)
    client = make_openai(make_light_server(state=ready_state(state="starting")))
    ended = wait_for_end(client, batch)

    assert ended.status == "expired" and ended.expired_at and ended.output_file_id is None
    errors = answers(client, ended.error_file_id)
    assert errors.keys() == {"0", "1", "2"}
    assert errors["0"]["response"] is None and errors["0"]["error"]["code"] == "batch_expired"


def test_a_batch_whose_input_is_gone_fails(
    leave: Callable[..., Batch], engine: BatchEngine, client: openai.OpenAI, tmp_path: Path
) -> None:
    batch = leave(1, status="in_progress")
    for path in (tmp_path / "data" / "batches" / "files").iterdir():
        path.unlink()

    ended = wait_for_end(client, batch)
    assert ended.status == "failed" and ended.errors is not None
    assert [fault.code for fault in ended.errors.data or []] == ["file_not_found"]


def test_a_session_that_died_while_it_finished_has_it_finished(
    leave: Callable[..., Batch], engine: BatchEngine, client: openai.OpenAI, tmp_path: Path
) -> None:
    batch = leave(1, status="finalizing", finalizing_at=1)
    folder = tmp_path / "data" / "batches" / "batches" / batch.id
    line = {"id": f"batch_req_{batch.hex}_1", "custom_id": "0", "response": None, "error": None}
    for name in ("output-a.jsonl", "output-b.jsonl", "error-b.jsonl"):
        (folder / name).write_text(json.dumps(line) + "\n")

    ended = wait_for_end(client, batch)

    assert ended.status == "completed" and ended.error_file_id is None
    assert answers(client, ended.output_file_id).keys() == {"0"}
    assert sorted(path.name for path in folder.iterdir()) == ["batch.json", "progress.json"]
