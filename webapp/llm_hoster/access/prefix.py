"""
The path under which the browser sees this session.

OnDemand keeps /node/HOST/PORT in the path and strips /rnode/HOST/PORT from it, and tells neither. Both are put together
here from our own host and port; what the client sends is not believed. A /node path of another session stays part of
the path, where there is no such page: under /rnode/OUR-HOST/OUR-PORT anybody may write it behind ours, and links and
sources below it would be another user's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Prefix:
    """Set SCRIPT_NAME to the session's prefix, and take it out of redirects where the portal puts it back."""

    def __init__(self, wsgi_app: WSGIApplication, host: str, port: int) -> None:
        self.wsgi_app = wsgi_app
        self.kept_prefix = f"/node/{host}/{port}"
        self.stripped_prefix = f"/rnode/{host}/{port}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self.kept_prefix or path.startswith(f"{self.kept_prefix}/"):
            environ["SCRIPT_NAME"] = self.kept_prefix
            environ["PATH_INFO"] = path.removeprefix(self.kept_prefix) or "/"
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
