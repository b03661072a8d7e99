"""Walk through folders that others filled: bounded, each once, and what cannot be read is told."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from llm_hoster.fit.configuration import CONFIG
from llm_hoster.hub_cache import find_snapshot

# The Hugging Face cache is the deepest layout: hub/models--owner--name/snapshots/commit.
DEPTH_MAX = 6
FOLDERS_MAX = 20_000
CACHED = re.compile(r"models--[^/]+")
# What may stand in a source of models.yml, and in a path of the form.
PLAIN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,1000}")


class Walk:
    """`unread` has a sentence for each folder that was not looked into, complete when the walk has ended."""

    def __init__(self) -> None:
        self.unread: list[str] = []
        self._seen: set[tuple[int, int]] = set()

    def model_folders(self, root: Path, depth: int = 0) -> Iterator[Path]:
        """Give the folders with config.json and weights, in the order of their names, links followed once."""
        if not self._is_new(root):
            return
        names = self._names(root)
        if CONFIG in names and any(name.endswith(".safetensors") for name in names):
            # Not deeper: publishers keep other layouts of the same model in sub-folders.
            yield root
            return
        if CACHED.fullmatch(root.name) and "snapshots" in names:
            snapshot = find_snapshot(root)
            if snapshot is None:
                self.unread.append(f"not looked into, refs/main names none of its versions: {root}")
            else:
                yield from self.model_folders(snapshot, depth + 2)
            return
        for name in names:
            folder = root / name
            if name.startswith(".") or not os.path.isdir(folder):
                continue
            if depth == DEPTH_MAX:
                self.unread.append(f"not looked into, more than {DEPTH_MAX} folders deep: {folder!s:.1000}")
                return
            yield from self.model_folders(folder, depth + 1)

    def _is_new(self, folder: Path) -> bool:
        if not PLAIN.fullmatch(str(folder)):
            self.unread.append(f"not looked into, an odd name: {str(folder)!r:.200}")
            return False
        try:
            found = folder.stat()
        except OSError as error:
            self.unread.append(f"cannot be read ({error.strerror}): {folder}")
            return False
        identity = (found.st_dev, found.st_ino)
        if identity in self._seen:
            return False
        if len(self._seen) == FOLDERS_MAX:
            self.unread.append(f"not looked into, because {FOLDERS_MAX} folders were seen before: {folder}")
        self._seen.add(identity)
        return len(self._seen) <= FOLDERS_MAX

    def _names(self, folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            self.unread.append(f"cannot be read ({error.strerror}): {folder}")
            return []
