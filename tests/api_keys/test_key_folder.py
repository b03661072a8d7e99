"""The folder of keys: what is kept, what is not, and what a broken file does."""

from __future__ import annotations

import dataclasses
import json
import stat
import time
from pathlib import Path

import pytest

from llm_hoster.api_keys.api_key import ApiKey, Limits
from llm_hoster.api_keys.key_folder import KEYS_MAX, KeyFolder
from llm_hoster.api_keys.key_ring import KeyRing
from llm_hoster.errors import ApiKeyError


def made_up(key_id: str = "key-1", name: str = "ada", **values: object) -> ApiKey:
    return dataclasses.replace(ApiKey(key_id, name, "", created_at=time.time()), **values)  # type: ignore[arg-type]


def test_a_key_is_kept_without_its_secret_and_for_its_owner_alone(tmp_path: Path) -> None:
    secret = KeyFolder(tmp_path).create(made_up(limits=Limits(tokens_per_min=5), models=("tiny",), priority="low"))

    (path,) = (tmp_path / "keys").iterdir()
    assert secret.startswith("sk-llmh-")
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    found = KeyRing(tmp_path, "sk-llmh-owner").find(secret)
    assert found is not None
    assert (found.name, found.limits.tokens_per_min, found.models, found.priority) == ("ada", 5, ("tiny",), "low")


def test_secrets_differ_and_only_whole_ones_open(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    first, second = folder.create(made_up("key-1")), folder.create(made_up("key-2", "bob"))
    ring = KeyRing(tmp_path, "sk-llmh-owner")

    assert first != second
    assert [ring.find(secret).name for secret in (first, second)] == ["ada", "bob"]  # type: ignore[union-attr]
    assert ring.find("sk-llmh-owner").is_owner  # type: ignore[union-attr]
    assert [ring.find(secret) for secret in (first[:-1], first + "a", "", "key-1")] == [None] * 4


def test_a_key_opens_until_it_expires(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    over = folder.create(made_up("key-1", expires_at=time.time() - 1))
    valid = folder.create(made_up("key-2", expires_at=time.time() + 60))
    ring = KeyRing(tmp_path, "owner")

    assert ring.find(over) is None
    assert ring.find(valid) is not None


def test_a_revoked_key_is_known_no_more_when_the_folder_is_read_again(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    secret = folder.create(made_up())
    ring = KeyRing(tmp_path, "owner")
    assert ring.find_id("key-1") is not None

    folder.revoke("ada")
    ring.reload()

    assert ring.find(secret) is None
    assert ring.find_id("key-1") is None
    assert [key.revoked_at is None for key in folder.read()] == [False]


def test_another_sessions_revocation_is_seen_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = KeyFolder(tmp_path)
    secret = folder.create(made_up())
    ring = KeyRing(tmp_path, "owner")
    began = time.monotonic()
    assert ring.find(secret) is not None

    folder.revoke("key-1")
    monkeypatch.setattr(time, "monotonic", lambda: began + 60)

    assert ring.find(secret) is None


def test_a_new_key_opens_a_session_that_has_read_the_folder_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = KeyRing(tmp_path, "owner")
    began = time.monotonic()
    assert ring.find("sk-llmh-unknown") is None

    secret = KeyFolder(tmp_path).create(made_up())
    monkeypatch.setattr(time, "monotonic", lambda: began + 2)

    assert ring.find(secret) is not None


def test_who_is_revoked_must_be_named_without_doubt(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.create(made_up("key-1"))
    folder.create(made_up("key-2"))

    with pytest.raises(ApiKeyError, match="2 keys are called 'ada'"):
        folder.revoke("ada")
    with pytest.raises(ApiKeyError, match="There is no key 'bob'"):
        folder.revoke("bob")
    assert folder.revoke("key-2").id == "key-2"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"id": "key-1"}', '{"id": "key-9", "name": "x", "digest": "", "created_at": 0}']
)
def test_a_broken_file_is_left_out_and_the_others_still_open(tmp_path: Path, text: str) -> None:
    folder = KeyFolder(tmp_path)
    secret = folder.create(made_up("key-2"))
    (tmp_path / "keys" / "key-1.json").write_text(text)

    assert KeyRing(tmp_path, "owner").find(secret) is not None
    assert [key.id for key in folder.read()] == ["key-2"]


def test_a_copied_file_is_no_key(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    secret = folder.create(made_up())
    path = tmp_path / "keys" / "key-1.json"
    path.rename(path.with_name("key-2.json"))

    assert KeyRing(tmp_path, "owner").find(secret) is None


def test_a_folder_that_cannot_be_read_takes_no_key_away(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    secret = folder.create(made_up())
    ring = KeyRing(tmp_path, "owner")
    assert ring.find(secret) is not None
    (tmp_path / "keys").rename(tmp_path / "aside")
    (tmp_path / "keys").write_text("a file")

    ring.reload()

    assert ring.find(secret) is not None


def test_there_is_a_most_number_of_keys(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.create(made_up())
    text = (tmp_path / "keys" / "key-1.json").read_text()
    for number in range(KEYS_MAX - 1):
        values = json.loads(text) | {"id": f"key-x{number}"}
        (tmp_path / "keys" / f"key-x{number}.json").write_text(json.dumps(values))

    with pytest.raises(ApiKeyError, match="500 keys already"):
        folder.create(made_up("key-2"))
