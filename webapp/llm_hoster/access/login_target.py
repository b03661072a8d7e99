"""
Where a login leads to: to the page that a stranger has asked for, where that is a chat.

The login form carries the kind of page and its id, and never an address: whoever writes the form's fields chooses among
pages of this session and reaches no other place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import Request, url_for

ID = re.compile(r"[0-9a-f]{32}")
# The pages that are meant, by the field of the form: each with the name of its id in the path.
PAGES = {"shared": ("sharing.show", "token"), "chat": ("chat.show", "conversation_id")}


@dataclass(frozen=True)
class LoginTarget:
    """`kind` is the name of the form's field."""

    kind: str
    id: str

    @property
    def path(self) -> str:
        if self.kind == "chat":
            # It may be somebody else's, or on its way from another session: then there is an empty chat.
            return url_for("chat.index", chat=self.id)
        return self.same_path()

    def same_path(self, **more: Any) -> str:
        """Give the path of the page itself."""
        endpoint, argument = PAGES[self.kind]
        arguments: dict[str, Any] = {argument: self.id, **more}
        return url_for(endpoint, **arguments)


def login_target(request: Request) -> LoginTarget | None:
    """Take it from the page that was asked for, or from the login form that was sent."""
    for kind, (endpoint, argument) in PAGES.items():
        is_page = request.method == "GET" and request.endpoint == endpoint
        value = (request.view_args or {}).get(argument) if is_page else request.form.get(kind)
        if ID.fullmatch(value or ""):
            return LoginTarget(kind, str(value))
    return None


def path_to_ask_again(request: Request) -> str | None:
    """
    Give the path to be loaded once more where a link on a page of another site has led here.

    With such a link browsers do not send our cookie; with the same path asked for by our own page they do.
    """
    target = login_target(request)
    is_from_elsewhere = request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site"
    return target.same_path(again="1") if target and is_from_elsewhere and "again" not in request.args else None
