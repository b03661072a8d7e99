"""How the tests are shared out between processes."""

from __future__ import annotations

import pytest


def test_what_belongs_together_stays_in_one_process(request: pytest.FixtureRequest) -> None:
    """pytest-xdist says nothing where it does not understand the pytest that runs; then engines meet in memory."""
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith("@test_groups.py")
