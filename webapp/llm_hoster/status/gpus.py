"""The GPUs of the session on this node: use, memory, temperature and power, as the driver tells."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_hoster.status.amd import AmdGpus
from llm_hoster.status.gpu import Gpu
from llm_hoster.status.nvidia import NvidiaGpus


class GpuReader(Protocol):
    def read(self) -> list[Gpu]:
        """Give what the driver tells; nothing where there is no driver, no GPU, or no answer."""


@dataclass(frozen=True)
class SessionGpus:
    """A node has GPUs of one maker: the first who has any is asked."""

    readers: Sequence[GpuReader]

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> SessionGpus:
        return cls((NvidiaGpus(environment), AmdGpus(environment)))

    def read(self) -> tuple[Gpu, ...]:
        for reader in self.readers:
            gpus = reader.read()
            if gpus:
                return tuple(gpus)
        return ()
