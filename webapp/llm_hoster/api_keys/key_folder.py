"""
The folder with the owner's keys: one small file for each.

Network file systems have no dependable locks, and several sessions and commands use the folder at the same time: so a
key is one file of its own, written whole by an atomic replace, and only its revocation ever changes it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import secrets
import time
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from llm_hoster.api_keys.api_key import ApiKey, digest_of, new_secret
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import ApiKeyError

log = logging.getLogger(__name__)

KEYS_MAX = 500
STORED_KEY = TypeAdapter(ApiKey)


class KeyFolder:
    """Methods raise OSError where the folder cannot be used."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "keys"

    def read(self) -> list[ApiKey]:
        """Give all, the newest first, revoked and expired ones too. What cannot be read is left out and logged."""
        try:
            paths = [path for path in self._folder.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return []
        found = [key for path in paths if (key := _read(path)) is not None]
        return sorted(found, key=lambda key: key.created_at, reverse=True)

    def create(self, key: ApiKey) -> str:
        """Keep a key that `new_key` has made; give its secret, which nobody can find out later."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(self.read()) >= KEYS_MAX:
            raise ApiKeyError(f"There are {KEYS_MAX} keys already. Remove old ones from {self._folder} first.")
        secret = new_secret()
        self._write(dataclasses.replace(key, digest=digest_of(secret)))
        return secret

    def revoke(self, name_or_id: str) -> ApiKey:
        """Revoke the one key that is called so; what is revoked already stays as it is."""
        keys = self.read()
        fitting = [key for key in keys if key.id == name_or_id]
        fitting = fitting or [key for key in keys if key.name == name_or_id and key.is_valid(time.time())]
        if len(fitting) != 1:
            problem = f"{len(fitting)} keys are called" if fitting else "There is no key"
            known = ", ".join(f"{key.id} ({key.name})" for key in keys if key.revoked_at is None)
            raise ApiKeyError(f"{problem} {name_or_id!r}. Name one by its id: {known or 'there is none'}.")
        (key,) = fitting
        if key.revoked_at is None:
            key = dataclasses.replace(key, revoked_at=time.time())
            self._write(key)
        return key

    def _write(self, key: ApiKey) -> None:
        replace_file(self._folder / f"{key.id}.json", json.dumps(dataclasses.asdict(key)))


def new_id() -> str:
    return f"key-{secrets.token_hex(4)}"


def _read(path: Path) -> ApiKey | None:
    try:
        key = STORED_KEY.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        log.warning("%s: not a key of ours, left out (%s)", path, type(error).__name__)
        return None
    # A file that was copied or renamed would be a key that cannot be revoked.
    return key if key.id == path.stem else None
