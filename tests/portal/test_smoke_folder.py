"""The smoke test knows its own session's folder among those of other sessions on the machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portal.demo_site import DemoSite
from portal.smoke_steps import SmokeError, SmokeSteps


@pytest.fixture
def steps(tmp_path: Path) -> SmokeSteps:
    site = DemoSite(tmp_path / "site")
    (site.folder / "app").mkdir(parents=True)
    (site.folder / "app" / "catalogue.json").write_text(json.dumps({"site": {"node_dir": str(tmp_path / "node")}}))
    return SmokeSteps(site)


def make_runtime_folder(steps: SmokeSteps, name: str, port: int, staged_root: Path) -> Path:
    folder = steps.node_dir / f"llmh-{name}"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"port": port, "staged_root": str(staged_root)}))
    return folder


@pytest.mark.parametrize("kind", ["node", "rnode"])
def test_the_folder_is_known_by_the_port_of_connect(steps: SmokeSteps, kind: str) -> None:
    ours = steps.site.folder / "data" / "session"
    make_runtime_folder(steps, "aaaaaaaa", 4001, ours)
    expected = make_runtime_folder(steps, "bbbbbbbb", 4002, ours)
    (steps.node_dir / "llmh-cccccccc").mkdir()
    assert steps.find_runtime_folder(f"/{kind}/127.0.0.1/4002/login") == expected


def test_a_folder_that_another_session_left_with_the_same_port_is_not_taken(steps: SmokeSteps, tmp_path: Path) -> None:
    make_runtime_folder(steps, "aaaaaaaa", 4002, tmp_path / "elsewhere")
    with pytest.raises(SmokeError, match="names port 4002"):
        steps.find_runtime_folder("/rnode/127.0.0.1/4002/login")
