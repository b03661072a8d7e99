"""The content security policy: its every source is this session's own path."""

from __future__ import annotations

import re

import pytest

from tests.web_session import HOST, PASSWORD, PORTAL, MakeClient

NODE = f"/node/{HOST}/8080"
MOUNTS = [
    pytest.param("", {}, "localhost/", id="direct"),
    pytest.param(NODE, {"X-Forwarded-Host": PORTAL}, f"{PORTAL}{NODE}/", id="node"),
    pytest.param("", {"X-Forwarded-Host": f"{PORTAL}:8443"}, f"{PORTAL}:8443/rnode/{HOST}/8080/", id="rnode"),
]


@pytest.mark.parametrize(("path", "headers", "session"), MOUNTS)
def test_every_source_is_this_sessions_own_path(
    make_client: MakeClient, path: str, headers: dict[str, str], session: str
) -> None:
    response = make_client(is_logged_in=False).get(f"{path}/", headers=headers)

    directives = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert directives.pop("connect-src") == session
    assert directives.pop("form-action") == session
    assert directives.pop("img-src") == f"{session}static/ {session}chat/attachments/"
    for name in ("script-src", "style-src", "font-src"):
        assert directives.pop(name) == f"{session}static/"
    assert set(directives) == {"default-src", "base-uri", "frame-ancestors", "object-src"}
    assert set(directives.values()) == {"'none'"}


@pytest.mark.parametrize("path", ["/", "/connect", "/static/app.css", "/healthz", "/no/such", "/v1/models", "/status"])
def test_no_answer_allows_self_or_anything_unsafe(make_client: MakeClient, path: str) -> None:
    with make_client().get(path) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "same-origin"

    policy = response.headers["Content-Security-Policy"]
    assert "'self'" not in policy
    assert "unsafe" not in policy
    assert "*" not in policy


@pytest.mark.parametrize("path", ["/", "/connect", "/status", "/session", "/engine"])
def test_pages_are_kept_in_no_cache_and_have_no_inline_code(make_client: MakeClient, path: str) -> None:
    response = make_client().get(path)

    html = response.get_data(as_text=True)
    assert response.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert PASSWORD not in html
