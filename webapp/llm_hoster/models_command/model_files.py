"""The small files of a model: in a folder, in the Hugging Face cache, or at the hub. Weights are never read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.safetensors import safetensors_in, weights_bytes
from llm_hoster.regular_file import open_regular

Origin = dict[str, str]


@dataclass(frozen=True)
class WeightsSize:
    bytes: int
    read_from: Origin


class ModelFiles(Protocol):
    @property
    def is_gated(self) -> bool:
        """People must accept its terms before they can fetch it, as far as is known by now."""

    def read(self, name: str, bytes_max: int) -> bytes | None:
        """Give the beginning of a file, at most so many bytes; None when there is none of that name."""

    def origin(self, name: str) -> Origin:
        """Say where a file that was read came from, as the data files of config/configs/ do."""

    def weights_size(self) -> WeightsSize | None:
        """Give the exact size of the weights; None when nothing tells."""


@dataclass(frozen=True)
class FolderFiles:
    """A model in a folder of its own."""

    folder: Path
    is_gated: bool = False

    def read(self, name: str, bytes_max: int) -> bytes | None:
        path = self.folder / name
        if not os.path.isfile(path):
            return None
        try:
            with open_regular(path) as file:
                return file.read(bytes_max)
        except OSError as error:
            raise ArchitectureError(f"{path}: cannot be read ({error.strerror}).") from error

    def origin(self, name: str) -> Origin:
        return {"folder": str(self.folder)}

    def weights_size(self) -> WeightsSize | None:
        odd = [path for path in safetensors_in(self.folder) if not os.path.isfile(path)]
        if odd:
            raise ArchitectureError(f"{odd[0]}: expected a file with weights, found none behind this name.")
        size = weights_bytes(self.folder)
        return None if size is None else WeightsSize(size, self.origin(""))
