"""The session that the chat's tests look at; a test's own file makes another one where it needs that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chat.echo_engine import echo_engine
from tests.web_session import WebServer


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path) -> Iterator[WebServer]:
    """Make a session whose model says again what it was told last."""
    with echo_engine(short_dir / "echo.sock", piece=5):
        yield make_server(engine=short_dir / "echo.sock")
