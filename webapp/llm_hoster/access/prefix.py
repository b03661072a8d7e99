"""
The path under which the browser sees this session.

OnDemand keeps /node/HOST/PORT in the path and strips /rnode/HOST/PORT from it, and tells neither. What remains is put
together here from our own host and port; a prefix sent by the client is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEPT = re.compile(r"(/node/[A-Za-z0-9._-]+/[0-9]{1,5})(/.*|)", re.DOTALL)


class Prefix:
    """Set SCRIPT_NAME to the session's prefix, and take it out of redirects where the portal puts it back."""

    def __init__(self, wsgi_app: WSGIApplication, host: str, port: int) -> None:
        self.wsgi_app = wsgi_app
        self.stripped_prefix = f"/rnode/{host}/{port}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept = KEPT.fullmatch(environ.get("PATH_INFO", ""))
        if kept is not None:
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = kept[1], kept[2] or "/"
            return self.wsgi_app(environ, start_response)
        if not environ.get("HTTP_X_FORWARDED_HOST"):
            environ["SCRIPT_NAME"] = ""
            return self.wsgi_app(environ, start_response)
        environ["SCRIPT_NAME"] = self.stripped_prefix

        def start_stripped(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [self._without_prefix(name, value) for name, value in headers], exc_info)

        return self.wsgi_app(environ, start_stripped)

    def _without_prefix(self, name: str, value: str) -> tuple[str, str]:
        """Portal's rule: a root-relative Location gets the prefix there, so ours must come without it."""
        if name.lower() == "location" and value.startswith(f"{self.stripped_prefix}/"):
            return name, value.removeprefix(self.stripped_prefix)
        return name, value
