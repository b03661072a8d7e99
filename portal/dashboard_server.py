"""The dashboard alone, without Apache, jobs or login: for looking at its form."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import WSGIRequestHandler, make_server

from portal.dashboard import create_app
from portal.settings import PortalSettings


class QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


@contextmanager
def serve_dashboard(settings: PortalSettings) -> Iterator[str]:
    """Give the address, without a slash at its end."""
    server = make_server("127.0.0.1", 0, create_app(settings), threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
