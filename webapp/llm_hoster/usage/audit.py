"""The audit log: one line of JSON for each request, without a word of what was asked unless the site wants it."""

from __future__ import annotations

import json
import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from llm_hoster.usage.record import RequestRecord

FILE_MAX_BYTES = 10 * 1024 * 1024
OLDER_FILES = 9


class AuditLog(RotatingFileHandler):
    """Files that the owner alone reads: `NAME`, and the older ones as `NAME.1` to `NAME.9`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=FILE_MAX_BYTES, backupCount=OLDER_FILES, encoding="utf-8", delay=True)
        self._has_ended = False

    def write(self, record: RequestRecord) -> None:
        """Raise OSError where the disk takes no more. After the end nothing is written: logging would open it again."""
        line = json.dumps(vars(record))
        self.acquire()
        try:
            if not self._has_ended:
                self.handle(logging.makeLogRecord({"msg": line}))
        finally:
            self.release()

    def close(self) -> None:
        self.acquire()
        try:
            self._has_ended = True
            super().close()
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Leave it to whoever has called."""
        raise  # logging calls this where it has caught something

    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return open(descriptor, self.mode, encoding=self.encoding)
