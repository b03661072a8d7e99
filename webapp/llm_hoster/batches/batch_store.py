"""
The batches of a user, each in a folder of its own:

    batch.json       what was asked; written once
    progress.json    where it stands; replaced by the session that has the lease
    cancel.json      when somebody asked to cancel it; written once, by any session
    lease            which session works at it
    output-*.jsonl   what each session has had for an answer, see results.py
    error-*.jsonl
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from pydantic import ValidationError

from llm_hoster.batches.batch import BATCH_ID, Batch, Progress
from llm_hoster.batches.caller import may_see
from llm_hoster.batches.limits import BATCHES_MAX, DAY_S, KEPT_S
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import HTTPError
from llm_hoster.lease import Lease


class BatchStore:
    """All methods may be called from any thread. What has ended is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "batches"
        self._known: dict[str, Batch] = {}
        self._ended: dict[str, Progress] = {}

    @property
    def is_used(self) -> bool:
        return self._folder.exists()

    def folder(self, batch: Batch) -> Path:
        return self._folder / batch.id

    def lease(self, batch: Batch) -> Lease:
        return Lease(self.folder(batch) / "lease")

    def batches(self) -> list[Batch]:
        """List all, the oldest first."""
        found = [batch for batch_id in self._ids() if (batch := self._read(batch_id)) is not None]
        return sorted(found, key=lambda batch: (batch.created_at, batch.id))

    def find(self, batch_id: str, caller: str) -> Batch | None:
        batch = self._read(batch_id)
        return batch if batch is not None and may_see(caller, batch.caller) else None

    def add(self, batch: Batch) -> None:
        """Raise HTTPError where there are too many."""
        if len(self._ids()) >= BATCHES_MAX:
            message = f"There are {BATCHES_MAX} batches of the last {KEPT_S // DAY_S} days, the most that are kept."
            raise HTTPError(403, message, code="too_many_batches")
        for folder in (self._root, self._folder, self.folder(batch)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.folder(batch) / "batch.json", batch.model_dump_json())

    def progress(self, batch: Batch) -> Progress:
        if batch.id in self._ended:
            return self._ended[batch.id]
        try:
            progress = Progress.model_validate_json((self.folder(batch) / "progress.json").read_bytes())
        except (OSError, ValidationError):
            return Progress()
        if progress.is_final:
            self._ended[batch.id] = progress
        return progress

    def write_progress(self, batch: Batch, progress: Progress) -> None:
        replace_file(self.folder(batch) / "progress.json", progress.model_dump_json())

    def unfinished(self) -> list[Batch]:
        return [batch for batch in self.batches() if not self.progress(batch).is_final]

    def ask_to_cancel(self, batch: Batch) -> None:
        path = self.folder(batch) / "cancel.json"
        if not path.exists():
            replace_file(path, json.dumps({"cancelling_at": int(time.time())}))

    def cancelling_at(self, batch: Batch) -> int | None:
        try:
            document = json.loads((self.folder(batch) / "cancel.json").read_bytes())
            return int(document["cancelling_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def tidy(self) -> None:
        """Remove what ended long ago."""
        for batch in self.batches():
            if batch.expires_at + KEPT_S < time.time() and self.progress(batch).is_final:
                self._known.pop(batch.id, None)
                self._ended.pop(batch.id, None)
                shutil.rmtree(self.folder(batch), ignore_errors=True)

    def _ids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._folder) if BATCH_ID.fullmatch(name)]
        except FileNotFoundError:
            return []

    def _read(self, batch_id: str) -> Batch | None:
        if not BATCH_ID.fullmatch(batch_id):
            return None
        if batch_id not in self._known:
            try:
                path = self._folder / batch_id / "batch.json"
                self._known[batch_id] = Batch.model_validate_json(path.read_bytes())
            except (OSError, ValidationError):
                return None
        return self._known[batch_id]
