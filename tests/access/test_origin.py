"""Requests that a page of another site makes in the user's name."""

from __future__ import annotations

import pytest

from tests.web_session import PORTAL, MakeClient

FORWARDED = {"X-Forwarded-Host": PORTAL, "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize("headers", [
    pytest.param({"Origin": "https://evil.example"}, id="another host"),
    pytest.param({"Origin": f"https://{PORTAL}:8443"}, id="another port"),
    pytest.param({"Origin": f"https://{PORTAL}.evil.example"}, id="a host that begins like the portal's"),
    pytest.param({"Origin": "null"}, id="a page that hides its origin"),
    pytest.param({"Sec-Fetch-Site": "cross-site"}, id="the browser says cross-site"),
    pytest.param({"Origin": f"https://{PORTAL}", "Sec-Fetch-Site": "same-site"}, id="the browser says same-site"),
])  # fmt: skip
@pytest.mark.parametrize("path", ["/login", "/logout", "/chat", f"/chat/{'0' * 32}/messages", "/engine/stop"])
def test_a_post_from_another_site_is_refused(make_client: MakeClient, path: str, headers: dict[str, str]) -> None:
    client = make_client()

    assert client.post(path, headers=FORWARDED | headers).status_code == 403


@pytest.mark.parametrize("headers", [
    pytest.param({"Origin": f"https://{PORTAL}"}, id="the portal's own origin"),
    pytest.param({"Origin": f"https://{PORTAL}", "Sec-Fetch-Site": "same-origin"}, id="and the browser agrees"),
    pytest.param({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, id="a portal with no-referrer"),
    pytest.param({}, id="no browser"),
])  # fmt: skip
def test_a_post_from_the_portal_is_taken(make_client: MakeClient, headers: dict[str, str]) -> None:
    client = make_client()

    assert client.post("/chat", headers=FORWARDED | headers).status_code == 303


def test_the_name_that_the_portal_adds_is_the_last(make_client: MakeClient) -> None:
    headers = {"X-Forwarded-Host": f"evil.example, {PORTAL}", "Origin": "https://evil.example"}

    assert make_client().post("/chat", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["evil.example; script-src *", "a b", "*", "'self'", "user@host", "host:99999999"])
def test_a_host_name_that_is_none_is_refused_and_reaches_no_policy(make_client: MakeClient, host: str) -> None:
    response = make_client().get("/", headers={"X-Forwarded-Host": host})

    assert response.status_code == 400
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
