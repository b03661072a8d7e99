"""A network between browser and session that a test may cut: what runs is broken off, and nobody gets through."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CutNetwork:
    def __init__(self, listener: socket.socket, port: int) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener
        self._port = port
        self._is_cut = False
        self._open: list[socket.socket] = []
        self._carriers: list[threading.Thread] = []

    def cut(self) -> None:
        self._is_cut = True
        for each in self._open:
            _end(each)

    def mend(self) -> None:
        self._is_cut = False

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                self._carriers.append(threading.Thread(target=_carry, args=(source, target), daemon=True))
                self._carriers[-1].start()

    def close(self) -> None:
        self.cut()
        for each in self._carriers:
            each.join(10)
        for connection in self._open:
            connection.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    _end(target)
    _end(source)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_network(port: int) -> Iterator[CutNetwork]:
    """Stand before the port of a session."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network = CutNetwork(listener, port)
        thread = threading.Thread(target=network.serve, daemon=True)
        thread.start()
        yield network
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        network.close()
