"""The keys that open a session, by their secrets: its own and those of the folder, read again when that changes."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from llm_hoster.api_keys.api_key import ApiKey, digest_of, owner_key
from llm_hoster.api_keys.key_folder import KeyFolder

log = logging.getLogger(__name__)

# A key that another session or a command has revoked opens nothing after so long. The commands also say so at once.
REFRESH_S = 15.0
# A key that is not known may have been made just now.
REFRESH_UNKNOWN_S = 1.0


class KeyRing:
    """All methods may be called from any thread."""

    def __init__(self, data_dir: Path, owner_secret: str) -> None:
        self.folder = KeyFolder(data_dir)
        self._owner = owner_key(owner_secret)
        self._lock = threading.Lock()
        self._keys: Mapping[str, ApiKey] = {}
        self._read_at = -REFRESH_S

    def find(self, secret: str) -> ApiKey | None:
        """Give the valid key with this secret. The time it takes tells nothing but whether a digest is known."""
        digest = digest_of(secret)
        if hmac.compare_digest(digest, self._owner.digest):
            return self._owner
        for age_s in (REFRESH_S, REFRESH_UNKNOWN_S):
            for key in self._fresh_keys(age_s).values():
                if key.digest == digest:
                    return self._valid(key)
        return None

    def find_id(self, key_id: str) -> ApiKey | None:
        """Give the valid key with this id, for whoever has shown its secret before."""
        return self._owner if key_id == self._owner.id else self._valid(self._fresh_keys(REFRESH_S).get(key_id))

    def reload(self) -> None:
        """Read the folder now."""
        with self._lock:
            self._read(time.monotonic())

    def _valid(self, key: ApiKey | None) -> ApiKey | None:
        return key if key is not None and key.is_valid(time.time()) else None

    def _fresh_keys(self, age_s: float) -> Mapping[str, ApiKey]:
        now = time.monotonic()
        # One reads; who comes meanwhile goes by what was read before.
        if now - self._read_at >= age_s and self._lock.acquire(blocking=self._read_at < 0):
            try:
                if now - self._read_at >= age_s:
                    self._read(now)
            finally:
                self._lock.release()
        return self._keys

    def _read(self, now: float) -> None:
        try:
            self._keys = {key.id: key for key in self.folder.read()}
        except OSError as error:
            # A file system that stalls must not lock everybody out; what was known goes on.
            log.warning("the folder of keys cannot be read: %s", error)
        self._read_at = now
