"""
gunicorn's worker with threads, none of which is taken before the whole head of a request is here.

Nor does gunicorn's one loop, through which all requests go, wait for anybody.
"""

from __future__ import annotations

import contextlib
import errno
import json
import select
import selectors
import socket
import time
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

from llm_hoster.deadlines import HEAD_S, deadlines
from llm_hoster.gateway.envelope import error_envelope
from llm_hoster.gateway.pump import Handover, Stream, pump
from llm_hoster.gateway.request_id import REQUEST_ID_HEADER, new_request_id

HEAD_END = b"\r\n\r\n"
# A larger one goes to a thread, where gunicorn refuses it.
HEAD_MAX_BYTES = 64 * 1024
# Of more that wait for a head, those who have waited longest are let go: a fair sender's head comes at once.
HEADLESS_MAX = 128
NOBODY_CAME = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
# A thread that has answered waits so long for the next request of a kept connection: a program that asks one question
# after the other then costs two changes of threads less for each.
NEXT_REQUEST_MS = 2
# How long a client that was answered for the last time may leave its end open, and what it sends is thrown away.
LEAVING_S = 2.0
LEFTOVER_BYTES = 64 * 1024
# What a thread gives whose connection is the pump's until its stream ends.
CARRIED = object()
# What gunicorn says of heads that it does not take; of all others, that they are no HTTP.
REFUSALS = {
    errors.LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "The path is too long."),
    errors.LimitRequestHeaders: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too many or too long."),
    errors.UnsupportedTransferCoding: (HTTPStatus.NOT_IMPLEMENTED, "The body comes in a way that is not known here."),
    errors.ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "The request expects what is not known here."),
}
# Set on a connection about which the kernel was asked to be silent for a while.
WAKES_LATE = "wakes_late"


class HeadFirstWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types.
    """
    Waits for heads in gunicorn's one loop, with its own list of connections that wait for data.

    Without this, as many half-sent requests as there are threads silence the pages for as long as they last.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Clients that were answered for the last time, by when they are closed; the oldest is the first.
        self._leaving: dict[socket.socket, float] = {}

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in NOBODY_CAME:
                return
            raise
        self.nr_conns += 1
        self._take_or_wait(TConn(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Take the next request of a kept connection."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._take_or_wait(conn)

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        if _has_head(conn):
            super().on_pending_socket_readable(conn, client)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Leave to gunicorn what goes on or was broken off. To an end it would wait for the client, and all with it."""
        if fs.cancelled() or fs.exception() is not None:
            super().finish_request(conn, fs)
        elif fs.result() is CARRIED:
            return
        elif fs.result():
            super().finish_request(conn, fs)
        else:
            self._let_go(conn.sock)

    def murder_pending(self) -> None:
        super().murder_pending()
        now = time.monotonic()
        for client, deadline in list(self._leaving.items()):
            if now < deadline:
                break
            self._end(client)
        deadlines.end_late()

    def handle(self, conn: TConn) -> Any:
        """Answer requests of one connection as long as the next one is there at once and there are threads for all."""
        while True:
            # Here too: the rest of a head may be read in a thread when it follows another request.
            deadlines.watch(conn.sock, HEAD_S)
            try:
                keeps = super().handle(conn)
            except Handover as handover:
                return self._carry(conn, handover)
            finally:
                deadlines.forget(conn.sock)
            if keeps is not True or not self.alive or not self._asks_again(conn):
                return keeps

    def handle_request(self, req: Any, conn: TConn) -> Any:
        deadlines.forget(conn.sock)
        conn.request = req
        return super().handle_request(req, conn)

    def _carry(self, conn: TConn, handover: Handover) -> object:
        """Give the stream to the pump, and the thread back."""
        request = conn.request
        keeps = self.alive and not request.should_close() and self._keepalive_after(conn, True)

        def on_end(bytes_sent: int, is_whole: bool) -> None:
            handover.write_log(bytes_sent)
            result: Future[bool] = Future()
            result.set_result(keeps and is_whole)
            with contextlib.suppress(OSError):  # The worker has ended, and its queue with it.
                self.method_queue.defer(self.finish_request, conn, result)

        pump.carry(Stream(handover.answer, conn.sock, is_chunked=request.version > (1, 0), on_end=on_end))
        return CARRIED

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """
        Answer in the envelope of /v1 where no app answers; the connection ends with it.

        Pages have no other form for it: the path is mostly unknown here, and no browser sends such heads. What gunicorn
        would say and log of them quotes lines of the head, which may have a key.
        """
        status, code, message = _refusal(exc)
        request_id = new_request_id()
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("a fault in answering %s", request_id, exc_info=exc)
        else:
            self.log.warning("%s: %d for %s, %s", addr[0], status, request_id, type(exc).__name__)
        body = json.dumps(error_envelope(status, message, code=code)).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{REQUEST_ID_HEADER}: {request_id}\r\n\r\n"
        )
        with contextlib.suppress(OSError):  # Nobody is there to read it.
            util.write_nonblock(client, head.encode() + body)

    def _asks_again(self, conn: TConn) -> bool:
        if self.nr_conns > self.cfg.threads or conn.parser.unreader.buf.getvalue():
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(NEXT_REQUEST_MS)) and _has_head(conn)

    def _take_or_wait(self, conn: TConn) -> None:
        """Mostly the head is there already."""
        if _has_head(conn):
            conn.data_ready = True
            self.enqueue_req(conn)
            return
        conn.timeout = time.monotonic() + HEAD_S
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
        if len(self.pending_conns) > HEADLESS_MAX:
            self.pending_conns[0].timeout = 0.0
            self.murder_pending()

    def _let_go(self, client: socket.socket) -> None:
        """Close when the client has: before, what it has not read of its answer could be lost."""
        self._leaving[client] = time.monotonic() + LEAVING_S
        try:
            client.shutdown(socket.SHUT_WR)
            client.setblocking(False)
            self.poller.register(client, selectors.EVENT_READ, self._look_whether_gone)
        except OSError:
            self._end(client)
        else:
            self._look_whether_gone(client)

    def _look_whether_gone(self, client: socket.socket) -> None:
        try:
            is_gone = not client.recv(LEFTOVER_BYTES)
        except BlockingIOError:
            is_gone = False
        except OSError:
            is_gone = True
        if is_gone:
            self._end(client)

    def _end(self, client: socket.socket) -> None:
        del self._leaving[client]
        self.nr_conns -= 1
        with contextlib.suppress(KeyError, ValueError):
            self.poller.unregister(client)
        client.close()


def _refusal(exc: Exception) -> tuple[HTTPStatus, str, str]:
    """Give the status, the error's code and a sentence. What is wrong with an answer's head is no client's fault."""
    is_ours = isinstance(exc, errors.InvalidResponseHeader | errors.InvalidResponseHeaderName)
    if is_ours or not isinstance(exc, errors.ParseException):
        return HTTPStatus.INTERNAL_SERVER_ERROR, "fault", "Something went wrong here; web.log of the session says what."
    other = HTTPStatus.BAD_REQUEST, f"The head of the request is not HTTP/1.1 ({type(exc).__name__})."
    status, message = REFUSALS.get(type(exc), other)
    return status, "invalid_head", message


def _has_head(conn: TConn) -> bool:
    """Look without taking anything away, and let the kernel tell only of more than what is here."""
    try:
        seen = conn.sock.recv(HEAD_MAX_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # The thread that takes it says so.
    is_whole = not seen or HEAD_END in seen or len(seen) == HEAD_MAX_BYTES
    if not is_whole or hasattr(conn, WAKES_LATE):
        with contextlib.suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 if is_whole else len(seen) + 1)
        setattr(conn, WAKES_LATE, True)
    return is_whole
