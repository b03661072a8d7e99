"""A portal for one test: a small app, a data folder with an awkward name, jobs of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from portal.dashboard import create_app
from portal.local import LocalJobs
from portal.settings import PortalSettings
from tests.portal.app_builder import make_app

MakeSettings = Callable[..., PortalSettings]


@pytest.fixture
def make_settings(tmp_path: Path) -> Iterator[MakeSettings]:
    """Build settings with an app made of the given files; its jobs are ended after the test."""
    data_root = tmp_path / "da'ta root"

    def make(options: dict[str, object] | None = None, **files: str) -> PortalSettings:
        app_root = make_app(tmp_path / "app", **files)
        values: dict[str, object] = {"secret_key": "k", "kill_grace_s": 1.0, "home": tmp_path} | (options or {})
        return PortalSettings(app_root=app_root, data_root=data_root, **values)  # type: ignore[arg-type]

    yield make
    LocalJobs(data_root / "local_jobs").delete_all()


@pytest.fixture
def make_client(make_settings: MakeSettings) -> Callable[..., FlaskClient]:
    def make(options: dict[str, object] | None = None, **files: str) -> FlaskClient:
        return create_app(make_settings(options, **files)).test_client()

    return make
