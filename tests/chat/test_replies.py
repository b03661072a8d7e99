"""Replies on their way to the disk."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.replies import Replies
from tests.gateway.small_upstream import SmallUpstream
from tests.web_session import MakeSettings, ready_state


@pytest.fixture
def engine(short_dir: Path) -> Iterator[Path]:
    """Hangs up on everybody."""
    path = short_dir / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_nobody_is_told_of_an_end_that_is_not_on_disk(
    make_settings: MakeSettings, tmp_path: Path, engine: Path
) -> None:
    store = ConversationStore(tmp_path / "history" / "job.sqlite3")
    replies = Replies(make_settings(state=ready_state(), engine=engine), store)
    found = []
    with contextlib.closing(sqlite3.connect(f"file:{store.path}?vfs=unix-none", uri=True)) as disk:
        for _ in range(20):
            _, reply = replies.start("c", "Hello?")
            told = next(event for event in reply.read(0, heartbeat_s=5.0) if event is not None)
            found += [told.name, *disk.execute("SELECT state FROM messages WHERE id = ?", (reply.id,)).fetchone()]

    assert found == ["done", "failed"] * 20
    store.close()


@pytest.mark.parametrize(("reason", "state"), [("stop", "done"), ("abort", "failed")])
def test_a_reply_that_an_ending_engine_has_cut_off_is_not_done(
    make_settings: MakeSettings, tmp_path: Path, short_dir: Path, reason: str, state: str
) -> None:
    chunk = f'{{"choices":[{{"delta":{{"content":"Hel"}},"finish_reason":"{reason}"}}]}}'
    body = f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    upstream = SmallUpstream(short_dir / "engine.sock", head + body)
    store = ConversationStore(tmp_path / "history" / "job.sqlite3")
    replies = Replies(make_settings(state=ready_state(), engine=short_dir / "engine.sock"), store)
    _, reply = replies.start("c", "Hello?")
    assert [event.name for event in reply.read(0, heartbeat_s=5.0) if event is not None][-1] == "done"
    assert (store.messages("c")[-1].state, store.messages("c")[-1].content) == (state, "Hel")
    upstream.close()
    store.close()
