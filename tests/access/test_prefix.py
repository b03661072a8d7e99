"""The three addresses of one session: its own, /node/HOST/PORT (kept by the portal) and /rnode/HOST/PORT (stripped)."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.web_session import HOST, PASSWORD, PORTAL, MakeClient, starting_state

NODE, RNODE = f"/node/{HOST}/8080", f"/rnode/{HOST}/8080"
MOUNTS = [
    pytest.param("", {}, "", id="direct"),
    pytest.param(NODE, {"X-Forwarded-Host": PORTAL}, NODE, id="node"),
    pytest.param("", {"X-Forwarded-Host": PORTAL}, RNODE, id="rnode"),
]
URL_ATTRIBUTE = re.compile(r'\b(?:href|src|action|hx-(?:get|post|put|delete|patch))="([^"]*)"')


def log_in(client: FlaskClient, path: str, headers: dict[str, str]) -> None:
    """Log in, and keep the cookie for all paths: the test client is below no portal that would set its path."""
    response = client.post(f"{path}/login", data={"password": PASSWORD}, headers=headers)
    name, value = response.headers["Set-Cookie"].partition(";")[0].split("=", 1)
    client.set_cookie(name, value)


@pytest.mark.parametrize(("path", "headers", "prefix"), MOUNTS)
@pytest.mark.parametrize("page", ["/", "/connect", "/status"])
def test_every_address_in_a_page_is_below_the_prefix(
    make_client: MakeClient, path: str, headers: dict[str, str], prefix: str, page: str
) -> None:
    client = make_client(is_logged_in=False, state=starting_state())
    log_in(client, path, headers)

    html = client.get(path + page, headers=headers).get_data(as_text=True)

    addresses = [address for address in URL_ATTRIBUTE.findall(html) if not address.startswith("#")]
    assert addresses
    assert [address for address in addresses if not address.startswith(f"{prefix}/")] == []


@pytest.mark.parametrize(("path", "headers", "location"), [
    pytest.param("", {}, "/", id="direct"),
    pytest.param(NODE, {"X-Forwarded-Host": PORTAL}, f"{NODE}/", id="node"),
    pytest.param("", {"X-Forwarded-Host": PORTAL}, "/", id="rnode: the portal puts the prefix back"),
])  # fmt: skip
def test_a_redirect_says_what_the_portal_expects(
    make_client: MakeClient, path: str, headers: dict[str, str], location: str
) -> None:
    client = make_client(is_logged_in=False)

    response = client.post(f"{path}/login", data={"password": PASSWORD}, headers=headers)

    assert (response.status_code, response.headers["Location"]) == (303, location)


@pytest.mark.parametrize("is_logged_in", [True, False])
@pytest.mark.parametrize("headers", [{"X-Forwarded-Host": PORTAL}, {}])
@pytest.mark.parametrize("path", [
    "/node/evil/6666/", "/node/evil/6666", "/node/evil/6666/login", "/node/evil/6666/v1/models", f"/node/{HOST}/6666/",
    f"/node/{HOST}/80801/", f"/node/{HOST}.evil/8080/", f"/node/x/{HOST}/8080/", f"{RNODE}/", f"{NODE}/node/evil/6666/",
    "/node/%65vil/6666/", "/node/", f"/node/{HOST}/",
])  # fmt: skip
def test_the_address_of_another_session_is_not_ours(
    make_client: MakeClient, path: str, headers: dict[str, str], is_logged_in: bool
) -> None:
    response = make_client(is_logged_in=is_logged_in).get(path, headers=headers)

    html = response.get_data(as_text=True)
    prefix = NODE if path.startswith(f"{NODE}/") else RNODE if headers else ""
    assert response.status_code == 404
    assert [address for address in URL_ATTRIBUTE.findall(html) if address.startswith("/node/evil")] == []
    assert [address for address in URL_ATTRIBUTE.findall(html) if not address.startswith((f"{prefix}/", "#"))] == []
    assert "evil" not in response.headers["Content-Security-Policy"]


def test_a_secret_posted_to_the_address_of_another_session_gives_no_cookie(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False)

    response = client.post("/node/evil/6666/login", data={"password": PASSWORD}, headers={"X-Forwarded-Host": PORTAL})

    assert response.status_code == 404
    assert "Set-Cookie" not in response.headers


def test_a_prefix_sent_by_the_client_is_not_believed(make_client: MakeClient) -> None:
    client = make_client()

    html = client.get("/", headers={"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil"}).get_data(as_text=True)

    assert "/evil" not in html
