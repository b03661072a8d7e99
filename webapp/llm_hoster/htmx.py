"""What htmx says of its requests."""

from __future__ import annotations

from flask import Flask, request


def init_app(app: Flask) -> None:
    app.jinja_env.globals["wants_part"] = wants_part


def wants_part() -> bool:
    """Whether htmx asks for a part of the page that is open; without JavaScript, a form wants a whole one."""
    return request.headers.get("HX-Request") == "true"
