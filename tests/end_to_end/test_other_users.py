"""What another user of the same node, or of the portal, gets of a session: nothing."""

from __future__ import annotations

import pytest

from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.cluster_portal import PORT, ClusterPortal
from tests.end_to_end.http_client import HttpClient
from tests.end_to_end.launched_session import Launched, LaunchedSession

PATHS = [
    "/",
    "/status",
    "/session",
    "/connect",
    "/chat/0123456789abcdef0123456789abcdef",
    "/chat/replies/0123456789abcdef0123456789abcdef/events",
    "/v1/models",
    "/v1/chat/completions",
    "/metrics",
    "/no-such-page",
    "/static/../../etc/passwd",
]
SOCKET_PROGRAM = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def test_bob_cannot_connect_to_the_engines_socket(main: LaunchedSession, cluster: SlurmCluster) -> None:
    socket = str(main.runtime_dir / "vllm.sock")
    assert cluster.run(["python3", "-c", SOCKET_PROGRAM, socket], user="alice", node="n1").returncode == 0
    assert "PermissionError" in cluster.run(["python3", "-c", SOCKET_PROGRAM, socket], user="bob", node="n1").stderr


def test_bob_cannot_pass_the_portals_login_by_at_alices_dashboard(portal: ClusterPortal, cluster: SlurmCluster) -> None:
    socket = str(portal.dashboard_socket)
    assert cluster.run(["python3", "-c", SOCKET_PROGRAM, socket], user="alice").returncode == 0
    assert "PermissionError" in cluster.run(["python3", "-c", SOCKET_PROGRAM, socket], user="bob").stderr


def test_bob_cannot_read_any_file_of_the_session(main: LaunchedSession, cluster: SlurmCluster) -> None:
    private = [
        main.staged_root / name for name in ("secret", "connection.yml", "session.json", "vllm.log", "output.log")
    ]
    private += [main.runtime_dir / "settings.json", main.runtime_dir / "state.json", main.card["endpoint_file"]]
    for path in private:
        assert cluster.run(["cat", str(path)], user="alice").returncode == 0, path
        assert "Permission denied" in cluster.run(["cat", str(path)], user="bob", node="n1").stderr
    for folder in (main.runtime_dir, main.staged_root):
        assert "Permission denied" in cluster.run(["ls", str(folder)], user="bob", node="n1").stderr


def test_bob_cannot_read_the_environment_of_a_process_of_the_session(
    main: LaunchedSession, cluster: SlurmCluster
) -> None:
    pids = cluster.pids_of("alice")
    assert len(pids) >= 3
    for pid in pids:
        assert cluster.run(["cat", f"/proc/{pid}/environ"], user="bob", node="n1").returncode != 0


def test_no_secret_is_in_the_arguments_or_in_a_log(main: LaunchedSession, cluster: SlurmCluster) -> None:
    arguments = cluster.check(["ps", "-eww", "-o", "args"], user="bob", node="n1")
    assert "vllm.sock" in arguments
    logs = [main.outside(main.staged_root / name).read_text() for name in ("output.log", "web.log", "vllm.log")]
    for secret in (main.secret, main.endpoint["api_key"]):
        assert len(secret) >= 32
        for text in (arguments, *logs):
            assert secret not in text


def test_only_the_pages_listen_on_the_network(main: LaunchedSession, launched: Launched, cluster: SlurmCluster) -> None:
    """What torch opens for vLLM's own processes must not be on an address that other nodes reach."""
    listing = cluster.check(["ss", "-Htlnp"], node=main.host)
    addresses = [line.split()[3] for line in listing.splitlines() if "slurmd" not in line]
    routable = {address for address in addresses if not address.startswith(("127.", "[::1]"))}
    assert {address.rpartition(":")[2] for address in routable} == {str(each.port) for each in launched.all}, listing


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["rnode", "node"])
def test_a_stranger_in_the_portal_gets_nothing(
    main: LaunchedSession, bob_in_portal: HttpClient, kind: str, path: str
) -> None:
    for method in ("GET", "POST"):
        answer = bob_in_portal.request(
            method, "localhost", PORT, f"/{kind}/{main.host}/{main.port}{path}", headers={}, body="message=x"
        )
        assert answer.status in {400, 401, 403, 404}, answer.text
        assert "Tiny" not in answer.text
        assert "set-cookie" not in answer.headers


def test_a_stranger_on_the_node_gets_nothing_by_claiming_to_be_the_owner(
    main: LaunchedSession, bob: HttpClient
) -> None:
    answer = bob.get(main.host, main.port, "/", X_Forwarded_User="alice", X_Forwarded_Host="localhost:8080")
    assert answer.status == 401
    answer = bob.request(
        "POST",
        main.host,
        main.port,
        "/login",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body="password=" + "x" * 32,
    )
    assert answer.status == 401
    assert "set-cookie" not in answer.headers
