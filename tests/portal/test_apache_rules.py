"""Real Apache in front of a real backend does to requests and answers what OnDemand's does."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from portal.apache import Apache, free_port
from portal.running_portal import RunningPortal
from portal.settings import PortalSettings
from tests.portal.app_builder import make_app
from tests.portal.echo_backend import EchoBackend


@pytest.fixture(scope="module")
def backend() -> Iterator[EchoBackend]:
    with EchoBackend() as running:
        yield running


@pytest.fixture(scope="module")
def portal() -> Iterator[RunningPortal]:
    with tempfile.TemporaryDirectory() as name:
        app = make_app(Path(name, "app"))
        settings = PortalSettings(app_root=app, data_root=Path(name, "data"), secret_key="k")
        with RunningPortal(settings, {"alice": "pw:ü"}) as running:
            yield running


@pytest.fixture
def visitor() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = ("alice", "pw:ü".encode().decode("latin-1"))
        session.trust_env = False
        yield session


class Browser:
    """Requests through the portal to the backend."""

    def __init__(self, portal: RunningPortal, backend: EchoBackend, visitor: requests.Session) -> None:
        self.portal, self.backend, self.visitor = portal, backend, visitor

    def prefix(self, kind: str) -> str:
        return f"/{kind}/127.0.0.1/{self.backend.port}"

    def get(self, kind: str, path: str, **more: Any) -> requests.Response:
        url = f"{self.portal.url}{self.prefix(kind)}{path}"
        return self.visitor.request(more.pop("method", "GET"), url, allow_redirects=False, timeout=10, **more)

    def heard(self, kind: str, path: str, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.get(kind, path, **more).json()
        return answer


@pytest.fixture
def browser(portal: RunningPortal, backend: EchoBackend, visitor: requests.Session) -> Browser:
    return Browser(portal, backend, visitor)


def test_node_keeps_the_path_and_rnode_strips_the_prefix(browser: Browser) -> None:
    assert browser.heard("node", "/a/b?q=%2F1")["path"] == f"{browser.prefix('node')}/a/b?q=%2F1"
    assert browser.heard("rnode", "/a/b?q=%2F1")["path"] == "/a/b?q=%2F1"
    assert browser.heard("rnode", "")["path"] == "/"


@pytest.mark.parametrize("kind", ["node", "rnode"])
def test_the_user_cannot_be_forged_and_the_password_stays_with_the_portal(browser: Browser, kind: str) -> None:
    forged = {"X-Forwarded-User": "root", "X-Forwarded-Proto": "gopher", "X-Forwarded-Escaped-Uri": "/x"}
    heard = browser.heard(kind, "/a", headers=forged)["headers"]
    assert heard["X-Forwarded-User"] == "alice"
    assert heard["X-Forwarded-Proto"] == "http"
    seen_path = "/a" if kind == "rnode" else f"{browser.prefix('node')}/a"
    assert unquote(heard["X-Forwarded-Escaped-Uri"]) == seen_path
    assert "Authorization" not in heard


@pytest.mark.parametrize("kind", ["node", "rnode"])
def test_the_backend_learns_the_portals_name_beside_its_own(browser: Browser, kind: str) -> None:
    heard = browser.heard(kind, "/", headers={"X-Api-Key": "k"})["headers"]
    assert heard["Host"] == f"127.0.0.1:{browser.backend.port}"
    assert heard["X-Forwarded-Host"] == browser.portal.url.removeprefix("http://")
    assert heard["X-Api-Key"] == "k"


@pytest.mark.parametrize("kind", ["node", "rnode"])
def test_a_cookie_belongs_to_its_session(browser: Browser, kind: str) -> None:
    cookie = "a=1; Domain=example.org; HttpOnly; path=/; SameSite=Strict"
    answer = browser.get(kind, "/", params={"cookie": cookie})
    assert answer.headers["Set-Cookie"] == f"a=1; Path={browser.prefix(kind)}; HttpOnly; SameSite=Strict"


@pytest.mark.parametrize(
    ("kind", "sent", "arrives"),
    [
        pytest.param("node", "http://127.0.0.1:1/a", "/a", id="node: scheme and host go"),
        pytest.param("node", "/a", "/a", id="node: a path stays"),
        pytest.param("node", "b/c", "b/c", id="node: a relative one stays"),
        pytest.param("rnode", "http://127.0.0.1:1/a", "{prefix}/a", id="rnode: scheme and host become the prefix"),
        pytest.param("rnode", "/a/b", "{prefix}/a/b", id="rnode: a path gets the prefix"),
        pytest.param("rnode", "b/c", "b{prefix}/c", id="rnode: a relative one is broken, as in OnDemand"),
    ],
)
def test_redirects_are_rewritten(browser: Browser, kind: str, sent: str, arrives: str) -> None:
    answer = browser.get(kind, "/", params={"location": sent})
    assert answer.headers["Location"] == arrives.format(prefix=browser.prefix(kind))


@pytest.mark.parametrize("kind", ["node", "rnode"])
def test_an_encoded_slash_in_a_path_is_not_found(browser: Browser, kind: str) -> None:
    assert browser.get(kind, "/org%2Fmodel").status_code == 404


@pytest.mark.parametrize("path", ["/node/127.0.0.1/x", "/node/127.0.0.1", "/rnode//80/", "/elsewhere"])
def test_what_is_no_node_is_refused(portal: RunningPortal, visitor: requests.Session, path: str) -> None:
    assert visitor.get(portal.url + path, timeout=10).status_code in {403, 404}


@pytest.mark.parametrize("path", ["/pun/sys/dashboard/", "/node/127.0.0.1/80/", "/rnode/127.0.0.1/80/"])
def test_a_stranger_is_asked_to_log_in(portal: RunningPortal, path: str) -> None:
    for credentials in (None, ("alice", "wrong"), ("bob", "pw")):
        assert requests.get(portal.url + path, auth=credentials, timeout=10).status_code == 401


def test_a_closed_port_is_named(portal: RunningPortal, visitor: requests.Session) -> None:
    port = free_port("127.0.0.1")
    answer = visitor.get(f"{portal.url}/rnode/127.0.0.1/{port}/", timeout=10)
    assert answer.status_code == 503
    assert f"Failed to connect to 127.0.0.1:{port}" in answer.text


def test_all_methods_and_bodies_pass(browser: Browser) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        heard = browser.heard("rnode", "/", method=method, data=b"x" * 2_000_000)
        assert (heard["method"], heard["body"]) == (method, 2_000_000)


def test_the_backends_own_errors_pass(browser: Browser) -> None:
    assert browser.get("rnode", "/?status=503").json()["path"] == "/?status=503"


@pytest.mark.parametrize("kind", ["node", "rnode"])
def test_events_are_not_held_back(browser: Browser, kind: str) -> None:
    delays = []
    with browser.get(kind, "/events", stream=True) as answer:
        for line in answer.iter_lines(chunk_size=1):
            if line:
                delays.append(time.monotonic() - float(line.removeprefix(b"data: ")))
    assert len(delays) == 5
    assert max(delays) < 0.09


def test_only_hosts_of_the_site_are_reached(backend: EchoBackend, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="portal-") as name:
        Path(name).chmod(0o711)
        apache = Apache(Path(name, "httpd"), Path(name, "nothing"), host_regex=r"node\d+")
        apache.write({"alice": "pw"})
        try:
            apache.start()
            url = f"{apache.url}/rnode/127.0.0.1/{backend.port}/"
            assert requests.get(url, auth=("alice", "pw"), timeout=10).status_code == 403
        finally:
            apache.stop()


def test_the_passwords_are_hashed_and_for_httpd_alone(portal: RunningPortal) -> None:
    users = portal.apache.folder / "users"
    assert users.read_text().startswith("alice:$2y$")
    assert users.stat().st_mode & 0o077 == 0


def test_nobody_else_can_pass_the_login_by(portal: RunningPortal) -> None:
    assert portal.dashboard_folder.stat().st_mode & 0o007 == 0
