"""An engine that answers what a test wants, on the socket of the session's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.small_upstream import SmallUpstream

MakeUpstream = Callable[..., SmallUpstream]


@pytest.fixture
def make_upstream(short_dir: Path) -> Iterator[MakeUpstream]:
    made: list[SmallUpstream] = []

    def make(answer: bytes, *, stays_open: bool = False) -> SmallUpstream:
        made.append(SmallUpstream(short_dir / "vllm.sock", answer, stays_open=stays_open))
        return made[-1]

    yield make
    for upstream in made:
        upstream.close()
