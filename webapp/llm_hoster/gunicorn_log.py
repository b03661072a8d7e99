"""gunicorn's log, which works out of a request only what our access log shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gunicorn.glogging import Logger

from llm_hoster.gateway.pump import Handover


class AccessLog(Logger):  # type: ignore[misc]  # gunicorn has no types.
    """A line for each request, at its end; the pump says when that is for a stream that was handed over."""

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        handover = environ.get(Handover.NAME)
        if handover is None:
            super().access(resp, req, environ, request_time)
            return
        began = datetime.now() - request_time

        def write(bytes_sent: int) -> None:
            resp.sent = bytes_sent
            super(AccessLog, self).access(resp, req, environ, datetime.now() - began)

        handover.write_log = write

    def atoms(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> dict[str, object]:
        """gunicorn makes a name for each header and each variable of a request, a tenth of what a small one costs."""
        return {
            "h": environ.get("REMOTE_ADDR", "-"),
            "m": environ["REQUEST_METHOD"],
            "U": environ["PATH_INFO"],
            "s": str(resp.status).partition(" ")[0],
            "B": resp.sent,
            "M": request_time // timedelta(milliseconds=1),
        }
