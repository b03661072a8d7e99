"""Streams that one thread carries: from a small engine on a socket, through gunicorn, to clients of all kinds."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from flask import Flask

from llm_hoster.engine.vllm.connection import EngineCall
from llm_hoster.gateway.forward import Upstream
from llm_hoster.gateway.meter import EventMeter
from llm_hoster.gateway.pump import SIGN_OF_LIFE, Pump, Stream
from llm_hoster.gateway.routes import ROUTES
from tests.gateway.small_upstream import STREAM_HEAD, read_request
from tests.live_engine import wait_for
from tests.web_session import API_KEY, MakeClient, WebServer

MakeServer = Callable[..., WebServer]
MakeEngine = Callable[..., None]
EVENT = b'data: {"a":1}\n\n'
END = b"0\r\n\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@pytest.fixture
def make_engine(short_dir: Path) -> Iterator[MakeEngine]:
    """Make one that answers all at the same time; it `waits` for who hangs up, or hangs up on who does not read."""
    with ExitStack() as stack:

        def make(answer: bytes, *, waits: bool = False) -> None:
            class Handler(socketserver.BaseRequestHandler):
                def handle(self) -> None:
                    read_request(self.request)
                    self.request.settimeout(None if waits else 0.5)
                    with suppress(OSError):
                        self.request.sendall(answer)
                        while waits and self.request.recv(1):
                            pass

            class Engine(socketserver.ThreadingUnixStreamServer):
                daemon_threads = True
                request_queue_size = 128

            engine = stack.enter_context(Engine(str(short_dir / "vllm.sock"), Handler))
            threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01}).start()
            stack.callback(engine.shutdown)

        yield make


def question(*, version: str = "1.1") -> bytes:
    body = json.dumps({"model": "tiny", "messages": [], "stream": True}).encode()
    return (
        f"POST /v1/chat/completions HTTP/{version}\r\nHost: h\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = client.recv(1_000_000)
        assert piece, data[-200:]
        data += piece
    return data


def connect(server: WebServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.settings.port), timeout=30)


def tasks(server: WebServer) -> int:
    """Count the threads of gunicorn's worker."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return sum(len(list(Path(f"/proc/{child}/task").iterdir())) for child in children)


def test_streams_hold_no_threads(make_server: MakeServer, make_engine: MakeEngine) -> None:
    make_engine(STREAM_HEAD + chunked(EVENT), waits=True)
    server = make_server()
    with ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(connect(server))
            client.sendall(question())
            read_until(client, chunked(EVENT))
        busy = tasks(server)
    assert busy < 20


def test_a_connection_is_kept_after_a_stream(make_server: MakeServer, make_engine: MakeEngine) -> None:
    make_engine(STREAM_HEAD + chunked(EVENT, b""))
    with connect(make_server()) as client:
        for _ in range(3):
            client.sendall(question())
            assert read_until(client, END).count(b"HTTP/1.1 200 OK") == 1


def test_http_1_0_gets_its_stream_as_it_is_and_the_end_of_the_connection(
    make_server: MakeServer, make_engine: MakeEngine
) -> None:
    make_engine(STREAM_HEAD + chunked(EVENT, EVENT, b""))
    with connect(make_server()) as client:
        client.sendall(question(version="1.0"))
        data = b"".join(iter(lambda: client.recv(65536), b""))
    assert data.partition(b"\r\n\r\n")[2] == EVENT + EVENT


def test_who_does_not_read_gets_all_of_it_later_and_keeps_nobody_waiting(
    make_server: MakeServer, make_engine: MakeEngine
) -> None:
    events = [b'data: {"n":%d,"t":"%b"}\n\n' % (number, b"x" * 10_000) for number in range(2000)]
    make_engine(STREAM_HEAD + chunked(*events, b""), waits=True)
    server = make_server()
    with connect(server) as idle, connect(server) as busy:
        idle.sendall(question())
        busy.sendall(question())
        assert len(read_until(busy, END)) > 20_000_000
        used_before = cpu_s(server)
        time.sleep(1)
        assert cpu_s(server) - used_before < 0.5  # Nobody asks over and over whether it reads now.
        body = read_until(idle, END).partition(b"\r\n\r\n")[2]
    assert b"".join(re.findall(rb"data: [^\r]*\n\n", body)) == b"".join(events)


def test_an_engine_that_hangs_up_on_who_does_not_read(make_server: MakeServer, make_engine: MakeEngine) -> None:
    events = [b'data: {"n":%d,"t":"%b"}\n\n' % (number, b"x" * 10_000) for number in range(3000)]
    make_engine(STREAM_HEAD + chunked(*events))
    server = make_server()
    with connect(server) as client:
        client.sendall(question())
        time.sleep(1)
        used_before = cpu_s(server)
        time.sleep(1)
        assert cpu_s(server) - used_before < 0.5
        body = read_until(client, END).partition(b"\r\n\r\n")[2]
    told = b"".join(re.findall(rb"data: [^\r]*\n\n", body))
    cut = told.rindex(b"data: ")
    assert b"engine_ended" in told[cut:]
    assert b"".join(events).startswith(told[: cut - 2])


def test_the_access_log_tells_of_a_stream_when_it_has_ended(
    make_server: MakeServer, make_engine: MakeEngine, tmp_path: Path
) -> None:
    make_engine(STREAM_HEAD + chunked(EVENT * 100, b""))
    with connect(make_server()) as client:
        client.sendall(question())
        sent = len(read_until(client, END).partition(b"\r\n\r\n")[2])
    line = re.compile(rf'"POST /v1/chat/completions" 200 {sent} bytes \d+ ms')
    wait_for(lambda: line.search((tmp_path / "web.log").read_text()), "the line")


def ask_engine(app: Flask, path: str) -> Upstream:
    call = EngineCall(app.extensions["llm_hoster"]["settings"].socket_path)
    call.send("POST", path, body=b"{}", headers={})
    response = call.response()
    assert response is not None
    with app.test_request_context(path):
        return Upstream(call, response, ROUTES[path], EventMeter(hides_usage=False))


@pytest.fixture
def carry(make_client: MakeClient, make_engine: MakeEngine, tmp_path: Path) -> Iterator[Callable[..., socket.socket]]:
    """Carry what an engine says to the socket that is given, by a pump that is impatient."""
    app = make_client().application
    pump = Pump(silence_s=0.2)
    with ExitStack() as stack:

        def carry(answer: bytes, path: str = "/v1/messages") -> socket.socket:
            make_engine(answer, waits=True)
            upstream = ask_engine(app, path)
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            theirs.settimeout(10)
            pump.carry(Stream(upstream, ours, is_chunked=False, on_end=lambda *_: ours.close()))
            return theirs

        yield carry


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/chat/completions"])
def test_a_silent_stream_shows_signs_of_life(carry: Callable[..., socket.socket], path: str) -> None:
    client = carry(STREAM_HEAD, path)
    assert read_until(client, SIGN_OF_LIFE * 2) == SIGN_OF_LIFE * 2


def test_no_sign_of_life_comes_within_an_event(carry: Callable[..., socket.socket]) -> None:
    large = b"data: " + b"x" * 2_000_000
    client = carry(STREAM_HEAD + chunked(EVENT, large))
    data = read_until(client, b"x")
    client.settimeout(1.0)
    with pytest.raises(TimeoutError):
        while True:
            data += client.recv(1_000_000)
    assert (EVENT + large).startswith(data) and len(data) > 1_000_000


class Watched(socket.socket):
    """A client's socket that remembers whether the request's place was free when its last chunk was sent."""

    places: list[str]
    places_at_the_end: list[str]

    def send(self, data: bytes, *arguments: int) -> int:  # type: ignore[override]
        if data.endswith(END):
            self.places_at_the_end = list(self.places)
        return super().send(data, *arguments)


@pytest.mark.parametrize("end", [END, b"garbage\r\n"])
def test_the_place_is_free_before_the_client_can_know_of_the_end(
    make_client: MakeClient, make_engine: MakeEngine, end: bytes
) -> None:
    make_engine(STREAM_HEAD + chunked(EVENT) + end)
    upstream = ask_engine(make_client().application, "/v1/messages")
    ours, theirs = socket.socketpair()
    client = Watched(ours.family, ours.type, fileno=ours.detach())
    client.places = ["taken"]
    upstream.call_on_close(client.places.clear)
    ended = threading.Event()
    with client, theirs:
        theirs.settimeout(10)
        Pump().carry(Stream(upstream, client, is_chunked=True, on_end=lambda *_: ended.set()))
        read_until(theirs, END)
        assert ended.wait(10)
        assert client.places_at_the_end == []


def test_word_of_another_clients_leaving_ends_no_stream(make_client: MakeClient, make_engine: MakeEngine) -> None:
    make_engine(STREAM_HEAD, waits=True)
    upstream = ask_engine(make_client().application, "/v1/messages")
    ours, theirs = socket.socketpair()
    with ours:
        stream = Stream(upstream, ours, is_chunked=False, on_end=lambda *_: None)
        stream.leave()
        assert not stream.is_over
        theirs.close()
        stream.leave()
        assert stream.is_over
        stream.close()


def cpu_s(server: WebServer) -> float:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    ticks = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13] for child in children]
    return sum(int(each) for pair in ticks for each in pair) / 100


def test_many_at_once_are_each_whole_and_in_order(make_server: MakeServer, make_engine: MakeEngine) -> None:
    events = [b'data: {"n":%d}\n\n' % number for number in range(300)]
    make_engine(STREAM_HEAD + chunked(*events, b""))
    server = make_server()

    def ask(_: int) -> bytes:
        with connect(server) as client:
            client.sendall(question())
            return read_until(client, END)

    with ThreadPoolExecutor(20) as pool:
        for answer in pool.map(ask, range(100)):
            assert b"".join(re.findall(rb"data: [^\r]*\n\n", answer)) == b"".join(events)
