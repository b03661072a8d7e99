"""The owner's page of keys, and `llm-hoster keys`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.cli import group
from tests.web_session import MakeClient, WebServer


def shown_key(page: str) -> str:
    found = re.search(r'id="new-key" readonly value="([^"]+)"', page)
    assert found is not None
    return found[1]


def opens(client: FlaskClient, secret: str) -> bool:
    return client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"}).status_code != 401


def test_a_key_is_shown_once_opens_and_is_taken_back(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    form = {
        "name": "Ada <script>",
        "days": "90",
        "requests_per_min": "6",
        "total_tokens": "1,000,000",
        "priority": "low",
    }

    made = client.post("/keys/", data=form).text
    secret = shown_key(made)
    (key,) = KeyFolder(tmp_path / "data").read()
    later = client.get("/keys/").text
    assert opens(client, secret)
    revoked = client.post(f"/keys/{key.id}/revoke").text

    assert secret not in later
    assert "Ada &lt;script&gt;" in later
    assert "6 requests a minute, 1,000,000 tokens in all, low priority" in later
    assert "opens nothing here any more" in revoked
    assert not opens(client, secret)
    assert "Nobody has one yet" in client.get("/keys/").text


@pytest.mark.parametrize(("field", "value", "said"), [
    ("name", " ", "expected 1 to 60 characters"), ("name", "x" * 61, "expected 1 to 60"),
    ("name", "a\0b", "expected 1 to 60"),
    ("days", "-1", "expected a number"), ("days", "0", "expected 1 to 3650"), ("days", "4000", "expected 1 to 3650"),
    ("concurrent", "many", "expected a number"), ("concurrent", "0", "expected a number from 1"),
    ("tokens_per_min", "9" * 16, "expected a number"), ("tokens_per_min", "٣", "expected a number"),
    ("priority", "highest", "expected one of high, normal, low"),
])  # fmt: skip
def test_what_cannot_be_is_said_and_nothing_is_made(
    make_client: MakeClient, tmp_path: Path, field: str, value: str, said: str
) -> None:
    answer = make_client().post("/keys/", data={"name": "ada", field: value}, headers={"HX-Request": "true"})

    assert (answer.status_code, said in answer.text) == (400, True), answer.text
    assert KeyFolder(tmp_path / "data").read() == []


def test_a_key_that_is_not_there_cannot_be_revoked(make_client: MakeClient) -> None:
    assert make_client().post("/keys/key-none/revoke").status_code == 404


def test_a_folder_that_cannot_be_written_is_said(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    (tmp_path / "data" / "keys").write_text("a file")

    assert client.post("/keys/", data={"name": "ada"}, headers={"HX-Request": "true"}).status_code == 507
    assert client.get("/keys/").status_code == 500


def run(*arguments: str) -> Any:
    return CliRunner().invoke(group, ["keys", *arguments], catch_exceptions=False)


def test_the_command_makes_lists_and_revokes(tmp_path: Path) -> None:
    data = ["--data-dir", str(tmp_path)]
    limits = ["--days", "7", "--concurrent", "2", "--model", "tiny", "--priority", "high"]

    made = run("create", "Ada", *limits, *data)
    document = json.loads(run("create", "Bob", "--json", *data).stdout)
    listed = run("list", *data).stdout
    assert run("revoke", "Ada", *data).exit_code == 0

    assert re.fullmatch(r"sk-llmh-\S{43}\n", made.stdout)  # Alone on stdout, so that it can be piped.
    assert document["key"].startswith("sk-llmh-")
    assert "Bob: no end" in listed
    assert re.search(r"Ada: until \d{4}-\d\d-\d\d, 2 at the same time, only tiny, high priority", listed)
    assert made.stdout.strip() not in listed
    assert [key["name"] for key in json.loads(run("list", "--json", *data).stdout)] == ["Bob"]
    assert "revoked on" in run("list", "--all", *data).stdout
    assert "digest" not in run("list", "--all", "--json", *data).stdout


def test_a_running_session_hears_of_a_revocation_at_once(
    make_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is where OnDemand would have staged it."""
    server: WebServer = make_server()
    staged = tmp_path / "ondemand" / "batch_connect" / "sys" / "llm-hoster" / "output" / "0f-session"
    staged.mkdir(parents=True)
    (staged / "session.json").write_text('{"context": {}}')
    (staged / "secret").write_text("p" * 32)
    (staged / "outcome.json").write_text("{}")
    endpoint = {"base_url": f"{server.url}/v1", "api_key": "x", "model": "tiny"}
    (staged / "endpoint.json").write_text(json.dumps(endpoint))
    monkeypatch.setenv("OOD_DATAROOT", str(tmp_path / "ondemand"))
    data = ["--data-dir", str(server.settings.data_dir)]
    secret = run("create", "Ada", *data).stdout.strip()

    def status() -> int:
        return server.browser().get(f"{server.url}/v1/models", headers={"X-Api-Key": secret}).status_code

    assert status() == 502
    run("revoke", "Ada", *data)
    assert status() == 401
