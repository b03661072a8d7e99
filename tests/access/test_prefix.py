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
@pytest.mark.parametrize("page", ["/", "/api-address", "/status"])
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


def test_a_prefix_sent_by_the_client_is_not_believed(make_client: MakeClient) -> None:
    client = make_client()

    html = client.get("/", headers={"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil"}).get_data(as_text=True)

    assert "/evil" not in html
