"""Replies on their way to the disk."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.api_keys.api_key import owner_key
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.failure import ENDED
from llm_hoster.chat.replies import Replies
from llm_hoster.chat.turn import next_turn
from llm_hoster.status.engine_notice import not_ready
from llm_hoster.usage.recorder import Recorder, make_recorder
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import wait_for
from tests.saved_chats import read_saved
from tests.usage.records import audit_lines
from tests.web_session import API_KEY, MakeSettings, WebServer, ready_state


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


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    with contextlib.closing(ConversationStore(tmp_path / "history" / "job.sqlite3")) as store:
        yield store


def test_nobody_is_told_of_an_end_that_is_not_on_disk(
    make_settings: MakeSettings, store: ConversationStore, engine: Path, recorder: Recorder
) -> None:
    replies = Replies(make_settings(state=ready_state(), engine=engine), store, recorder)
    found = []
    for _ in range(20):
        reply = replies.start(next_turn("c", store.messages("c", "owner"), "Hello?"), owner_key(API_KEY))
        told = next(event for event in reply.read(0, heartbeat_s=5.0) if event is not None)
        found.append((told.name, read_saved(store.path, "SELECT state FROM messages WHERE id = ?", reply.id)))

    assert found == [("done", [("failed",)])] * 20


def test_what_was_asked_in_the_page_is_in_the_audit_log_where_the_site_wants_it(
    make_settings: MakeSettings, store: ConversationStore, engine: Path
) -> None:
    settings = make_settings(state=ready_state(), engine=engine, audit_prompts=True)
    with contextlib.closing(make_recorder(settings)) as recorder:
        turn = next_turn("c", [], "gooseberry")
        reply = Replies(settings, store, recorder).start(turn, owner_key(API_KEY))
        list(reply.read(0, heartbeat_s=5.0))
        wait_for(lambda: bool(audit_lines(settings)), "it is recorded")

    (line,) = audit_lines(settings)
    assert (line["route"], json.loads(line["prompt"])["messages"][-1]["content"]) == ("chat", "gooseberry")


def test_an_engine_that_takes_no_questions_is_not_called_silent(
    make_settings: MakeSettings, store: ConversationStore, recorder: Recorder
) -> None:
    replies = Replies(make_settings(state=ready_state()), store, recorder)
    reply = replies.start(next_turn("c", store.messages("c", "owner"), "Hello?"), owner_key(API_KEY))
    list(reply.read(0, heartbeat_s=5.0))
    assert store.messages("c", "owner")[-1].failure == not_ready(ready_state()).message


def test_an_engine_that_has_died_refuses_nothing(
    make_settings: MakeSettings, store: ConversationStore, short_dir: Path, recorder: Recorder
) -> None:
    body = b'{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause."}}'
    head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n" % len(body)
    upstream = SmallUpstream(short_dir / "engine.sock", head + body)
    replies = Replies(make_settings(state=ready_state(), engine=short_dir / "engine.sock"), store, recorder)
    reply = replies.start(next_turn("c", store.messages("c", "owner"), "Hello?"), owner_key(API_KEY))
    list(reply.read(0, heartbeat_s=5.0))
    assert store.messages("c", "owner")[-1].failure == ENDED
    upstream.close()


@pytest.mark.parametrize(("reason", "state"), [("stop", "done"), ("abort", "failed")])
def test_a_reply_that_an_ending_engine_has_cut_off_is_not_done(
    make_settings: MakeSettings, store: ConversationStore, recorder: Recorder, short_dir: Path, reason: str, state: str
) -> None:
    chunk = f'{{"choices":[{{"delta":{{"content":"Hel"}},"finish_reason":"{reason}"}}]}}'
    body = f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    upstream = SmallUpstream(short_dir / "engine.sock", head + body)
    replies = Replies(make_settings(state=ready_state(), engine=short_dir / "engine.sock"), store, recorder)
    reply = replies.start(next_turn("c", store.messages("c", "owner"), "Hello?"), owner_key(API_KEY))
    assert [event.name for event in reply.read(0, heartbeat_s=5.0) if event is not None][-1] == "done"
    assert (store.messages("c", "owner")[-1].state, store.messages("c", "owner")[-1].content) == (state, "Hel")
    upstream.close()


def test_what_was_shown_is_there_after_a_kill(make_server: Callable[..., WebServer], short_dir: Path) -> None:
    event = b'data: {"choices":[{"delta":{"content":"river mountain"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    upstream = SmallUpstream(short_dir / "slow.sock", head, stays_open=True)
    server = make_server(engine=short_dir / "slow.sock")
    chat = f"/chat/{'c' * 32}"
    data, headers = {"message": "Where?"}, {"Accept": "text/event-stream"}
    with (
        server.browser() as browser,
        browser.post(f"{server.url}{chat}/messages", data=data, headers=headers, stream=True, timeout=30) as response,
    ):
        lines = response.iter_lines(1, decode_unicode=True)
        assert any("Where?" in line for line in lines)
        upstream.go_on(b"%x\r\n%b\r\n" % (len(event), event))
        assert any("river" in line for line in lines)
        server.kill()
    assert upstream.is_hung_up.wait(10)

    server.settings.socket_path.unlink()
    again = make_server(engine=short_dir / "slow.sock")
    with again.browser() as browser:
        page = browser.get(f"{again.url}{chat}", timeout=30).text
    upstream.close()

    assert "<p>river mountain</p>" in page
    assert "The session ended while this reply was being written." in page
