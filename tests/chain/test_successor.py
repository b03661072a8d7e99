"""The pages and the API of a session that another one has taken over from."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from llm_hoster.api_keys.api_key import ApiKey, owner_key
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.replies import Replies
from llm_hoster.chat.turn import next_turn
from llm_hoster.engine.record.state import State, read_state, write_state
from llm_hoster.engine.record.successor import Successor, read_successor
from llm_hoster.settings import WebSettings
from llm_hoster.usage.reading import read_usage
from llm_hoster.usage.recorder import Recorder, usage_path
from tests.gateway.small_upstream import read_request
from tests.usage.records import audit_lines
from tests.web_session import API_KEY, HOST, PORTAL, MakeClient, MakeSettings, WebServer, ready_state

KEY = {"Authorization": f"Bearer {API_KEY}"}
QUESTION = {"model": "tiny", "prompt": "count", "max_tokens": 3}
EVENTS = [{"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]}]


class Handler(http.server.BaseHTTPRequestHandler):
    """The next session's API."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined]
        if b"endless" in body or b"silent" in body:
            self._go_on_until_hung_up(is_silent=b"silent" in body)
            return
        is_chat = self.path.endswith("/chat/completions")
        text = "".join(f"data: {json.dumps(each)}\n\n" for each in EVENTS) + "data: [DONE]\n\n"
        answer = text if is_chat else json.dumps({"by": "the next session"})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if is_chat else "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def _go_on_until_hung_up(self, *, is_silent: bool) -> None:
        self.connection.settimeout(10)
        try:
            if is_silent and self.connection.recv(1) == b"":
                raise ConnectionResetError
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True:
                self.wfile.write(b"a\r\ndata: {}\n\n\r\n")
                time.sleep(0.02)
        except (BrokenPipeError, ConnectionResetError):
            self.server.is_hung_up.set()  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """The test's own output matters more."""


def ask(client: FlaskClient, key: dict[str, str] = KEY) -> tuple[int, Any]:
    with client.post("/v1/completions", json=QUESTION, headers=key) as answer:
        return answer.status_code, answer.json


def recorded(client: FlaskClient) -> tuple[Any, Any]:
    """What the next session answers is in its record; here it would be charged a second time."""
    settings = client.application.extensions["llm_hoster"]["settings"]
    return read_usage(usage_path(settings), 0.0).groups, audit_lines(settings)


class NextSession(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, bytes]] = []
        self.is_hung_up = threading.Event()

    @property
    def successor(self) -> Successor:
        return Successor("127.0.0.1", self.server_port, "rnode", "tiny", "Tiny model", "7", "/staged-2")


@pytest.fixture
def next_session() -> Iterator[NextSession]:
    server = NextSession()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closing_engine(make_settings: MakeSettings, short_dir: Path) -> Iterator[Callable[[bytes, Successor | None], None]]:
    """A vLLM that ends as it is asked, after `answer`; while it does, the supervisor tells of the next session."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(short_dir / "vllm.sock"))
    listener.listen()
    threads = []

    def serve(answer: bytes, successor: Successor | None) -> None:
        connection, _ = listener.accept()
        with connection:
            read_request(connection)
            write_state(short_dir / "state.json", ready_state(successor=successor))
            connection.sendall(answer)

    def start(answer: bytes, successor: Successor | None) -> None:
        threads.append(threading.Thread(target=serve, args=(answer, successor)))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(10)
    listener.close()


def test_every_question_goes_to_the_next_session_with_the_same_key(
    make_client: MakeClient, next_session: NextSession
) -> None:
    client = make_client(state=ready_state(successor=next_session.successor))
    assert ask(client) == (200, {"by": "the next session"})
    (asked,) = next_session.asked
    assert (asked[0], asked[1], json.loads(asked[2])) == ("/v1/completions", f"Bearer {API_KEY}", QUESTION)
    assert recorded(client) == ((), [])


def test_the_next_session_is_asked_at_our_own_paths(make_client: MakeClient, next_session: NextSession) -> None:
    client = make_client(state=ready_state(successor=next_session.successor))
    with client.post("/v1/tokenize", json=QUESTION, headers=KEY) as answer:
        assert answer.json == {"by": "the next session"}
    assert [path for path, *_ in next_session.asked] == ["/v1/tokenize"]


def test_a_stranger_is_not_passed_on(make_client: MakeClient, next_session: NextSession) -> None:
    client = make_client(state=ready_state(successor=next_session.successor))
    assert ask(client, {"X-Api-Key": "wrong"})[0] == 401
    assert next_session.asked == []


def test_questions_are_passed_on_in_the_last_minute_too(make_client: MakeClient, next_session: NextSession) -> None:
    client = make_client(state=ready_state(state="stopping", successor=next_session.successor))
    assert ask(client)[0] == 200


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="hangs up"),
        pytest.param(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}", id="says 500"),
    ],
)
def test_a_question_that_meets_the_ending_engine_goes_to_the_next_session(
    make_client: MakeClient,
    next_session: NextSession,
    closing_engine: Callable[[bytes, Successor | None], None],
    answer: bytes,
) -> None:
    client = make_client()
    closing_engine(answer, next_session.successor)
    assert ask(client) == (200, {"by": "the next session"})
    assert json.loads(next_session.asked[0][2]) == QUESTION
    assert recorded(client) == ((), [])


def test_without_a_next_session_an_engine_that_ends_is_an_error(
    make_client: MakeClient, closing_engine: Callable[[bytes, Successor | None], None]
) -> None:
    client = make_client()
    closing_engine(b"", None)
    assert ask(client)[0] == 502


def test_who_hangs_up_ends_the_stream_at_the_next_session(
    make_server: Callable[..., WebServer], next_session: NextSession
) -> None:
    server = make_server(state=ready_state(successor=next_session.successor))
    with server.api("/v1/completions", json=QUESTION | {"prompt": "endless", "stream": True}, stream=True) as answer:
        assert next(answer.iter_lines()) == b"data: {}"
    assert next_session.is_hung_up.wait(5)


def test_who_hangs_up_before_the_first_byte_ends_the_question_there(
    make_server: Callable[..., WebServer], next_session: NextSession
) -> None:
    server = make_server(state=ready_state(successor=next_session.successor))
    with pytest.raises(requests.ReadTimeout):
        server.api("/v1/completions", json=QUESTION | {"prompt": "silent"}, timeout_s=0.5)
    assert next_session.is_hung_up.wait(5)


def test_a_next_session_that_is_gone_is_named(make_client: MakeClient, next_session: NextSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    gone = Successor("127.0.0.1", port, "rnode", "tiny", "Tiny model", "7", "/staged-2")
    status, answer = ask(make_client(state=ready_state(successor=gone)))
    assert (status, answer["error"]["code"]) == (502, "successor_unreachable")
    assert f"http://127.0.0.1:{port}/v1" in answer["error"]["message"]


def test_the_next_session_is_asked_with_the_callers_own_key(
    make_client: MakeClient, tmp_path: Path, next_session: NextSession
) -> None:
    secret = KeyFolder(tmp_path / "data").create(ApiKey("key-1", "ada", "", created_at=time.time()))
    client = make_client(state=ready_state(successor=next_session.successor), is_logged_in=False)

    client.post("/v1/completions", json=QUESTION, headers={"X-Api-Key": secret})

    assert next_session.asked[0][1] == f"Bearer {secret}"


def test_the_chat_of_the_old_page_asks_the_next_session(
    make_settings: MakeSettings, recorder: Recorder, next_session: NextSession
) -> None:
    settings = make_settings(state=ready_state(successor=next_session.successor))
    store = ConversationStore(settings.data_dir / "history.sqlite3")
    reply = Replies(settings, store, recorder).start(next_turn("c" * 32, [], "Hello?"), owner_key(API_KEY))
    deadline = time.monotonic() + 10
    while reply.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (reply.message.state, reply.message.content) == ("done", "hello")
    while store.messages("c" * 32, "owner")[-1].state != "done":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    store.close()


@pytest.mark.parametrize(("path", "proxy"), [("", "rnode"), (f"/node/{HOST}/8080", "node")])
def test_one_page_alone_may_post_to_the_login_of_the_next_session(
    make_client: MakeClient, tmp_path: Path, next_session: NextSession, path: str, proxy: str
) -> None:
    (tmp_path / "secret").write_text("<s>&\n")
    client = make_client(state=ready_state(successor=next_session.successor))
    login = f"/{proxy}/127.0.0.1/{next_session.server_port}/login"
    headers = {"X-Forwarded-Host": PORTAL}
    client.post(f"{path}/login", data={"password": "p" * 32}, headers=headers)

    chat = client.get(f"{path}/", headers=headers)
    html = chat.get_data(as_text=True)
    assert "The next session has taken over" in html
    assert f'href="/{proxy}/{HOST}/8080/next-session"' in html
    assert "&lt;s&gt;" not in html
    assert form_action(chat) == f"{PORTAL}/{proxy}/{HOST}/8080/"
    # A question can still be asked here.
    assert 'id="composer"' in html or "<textarea" in html

    page = client.get(f"{path}/next-session", headers=headers)
    html = page.get_data(as_text=True)
    form = re.search(rf'<form[^>]* action="{login}"[^>]*>(.*?)</form>', html)
    assert form is not None
    assert unescape(re.search(r'name="password" value="([^"]*)"', form[1])[1]) == "<s>&"  # type: ignore[index]
    assert form_action(page) == f"{PORTAL}/{proxy}/{HOST}/8080/ {PORTAL}{login}"
    assert page.headers["Cache-Control"] == "no-store"


def form_action(answer: Any) -> str:
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    return policy["form-action"]


@pytest.mark.parametrize("has_successor", [True, False])
def test_a_stranger_and_a_session_without_a_next_one_get_no_such_page(
    make_client: MakeClient, next_session: NextSession, has_successor: bool
) -> None:
    state = ready_state(successor=next_session.successor if has_successor else None)
    client = make_client(state=state, is_logged_in=not has_successor)
    answer = client.get("/next-session", headers={"X-Forwarded-Host": PORTAL})
    assert answer.status_code == (401 if has_successor else 404)
    assert str(next_session.server_port) not in answer.get_data(as_text=True) + str(answer.headers)


def test_a_stranger_learns_nothing_of_the_next_session(make_client: MakeClient, next_session: NextSession) -> None:
    client = make_client(state=ready_state(successor=next_session.successor), is_logged_in=False)
    answer = client.get("/", headers={"X-Forwarded-Host": PORTAL})
    assert str(next_session.server_port) not in answer.get_data(as_text=True) + str(answer.headers)


def test_where_no_portal_leads_the_page_says_so(make_client: MakeClient, next_session: NextSession) -> None:
    answer = make_client(state=ready_state(successor=next_session.successor)).get("/next-session")
    assert answer.status_code == 409
    assert "from its card" in answer.get_data(as_text=True)


def test_the_state_file_keeps_the_next_session(make_settings: MakeSettings, next_session: NextSession) -> None:
    settings: WebSettings = make_settings(state=ready_state(successor=next_session.successor))
    state: State = read_state(settings.state_path)
    assert state.successor == next_session.successor


@pytest.mark.parametrize(
    "change",
    [{"host": "n1/../x"}, {"host": "n1; form-action *"}, {"port": "80"}, {"port": 0}, {"proxy": "pun"}, {"host": 3}],
)
def test_an_address_that_is_none_is_no_next_session(
    tmp_path: Path, next_session: NextSession, change: dict[str, object]
) -> None:
    next_session.successor.write(tmp_path)
    assert read_successor(tmp_path) == next_session.successor
    document = json.loads((tmp_path / "successor.json").read_text())
    (tmp_path / "successor.json").write_text(json.dumps(document | change))
    assert read_successor(tmp_path) is None


def test_requests_knows_the_answer_too(make_server: Callable[..., WebServer], next_session: NextSession) -> None:
    """Through gunicorn, many at once."""
    server = make_server(state=ready_state(successor=next_session.successor))
    answers: list[requests.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(server.api("/v1/completions", json=QUESTION))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.json() for answer in answers] == [{"by": "the next session"}] * 20
