"""
Which conversations are shared with the other people of this session, and up to which message.

A share names a message and copies nothing: a branch does not change behind the reader, for whatever is written later,
or in other words, comes after that message or beside it. The file lies in the session's own folder on the node and goes
with it, as the address of each link does.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_hoster.engine.record.atomic_file import replace_file

FILE_NAME = "shares.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """`leaf_id` is the last message that is shown, `key_id` whose conversation it is. `at` is in Unix seconds."""

    token: str
    conversation_id: str
    leaf_id: str
    key_id: str
    at: float


class Shares:
    """All methods may be called from any thread. They raise OSError where the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._shares = _read(path)

    def find(self, token: str) -> Share | None:
        return self._shares.get(token)

    def of(self, conversation_id: str, key_id: str) -> Share | None:
        """Give the one share that somebody's conversation may have."""
        with self._lock:
            return self._of(conversation_id, key_id)

    def put(self, conversation_id: str, leaf_id: str, key_id: str) -> Share:
        """Share a conversation up to a message. One that is shared already keeps its token."""
        with self._lock:
            former = self._of(conversation_id, key_id)
            token = former.token if former else secrets.token_hex(16)
            share = Share(token, conversation_id, leaf_id, key_id, time.time())
            self._write(self._shares | {token: share})
        return share

    def remove(self, conversation_id: str, key_id: str) -> None:
        """From now on its link opens nothing, and never will: another share has another token."""
        with self._lock:
            share = self._of(conversation_id, key_id)
            if share is not None:
                self._write({token: each for token, each in self._shares.items() if token != share.token})

    def _of(self, conversation_id: str, key_id: str) -> Share | None:
        wanted = (conversation_id, key_id)
        return next((each for each in self._shares.values() if (each.conversation_id, each.key_id) == wanted), None)

    def _write(self, shares: dict[str, Share]) -> None:
        """What the disk does not take does not hold."""
        replace_file(self._path, json.dumps([asdict(share) for share in shares.values()]))
        self._shares = shares


def _read(path: Path) -> dict[str, Share]:
    """A file that cannot be read is one without shares: no link opens what nobody has shared."""
    try:
        shares = [Share(**values) for values in json.loads(path.read_text())]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s cannot be read, and no chat is shared any more: %s", path, error)
        return {}
    return {share.token: share for share in shares}
