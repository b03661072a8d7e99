"""What a session's fast start consists of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.engine.model.compile_cache import CompileCacheSeed
from llm_hoster.engine.model.fast_start import FastStart, clean_up
from llm_hoster.engine.model.model_link import ModelLink, link_name
from llm_hoster.engine.model.read_ahead import ReadAhead
from llm_hoster.engine.model.staging import Staging, folder_in
from llm_hoster.engine.process.folders import Folders
from llm_hoster.session import Session
from tests.conftest import ENGINE_NAME, MakeCatalogue


@pytest.fixture
def fast_start(tmp_path: Path, make_catalogue: MakeCatalogue):  # type: ignore[no-untyped-def]
    def make(model: str = "", **changes: dict[str, Any]) -> FastStart:
        catalogue = Catalogue.model_validate(make_catalogue(**changes))
        context = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
        session = Session.from_context(catalogue, context)
        folders = Folders(tmp_path / "runtime", tmp_path / "cache")
        return FastStart.of(session, model or session.model.source, {"HF_HOME": str(tmp_path)}, folders)

    return make


def kinds(fast: FastStart) -> list[type]:
    return [type(prelude) for prelude in fast.preludes()]


def test_compiled_code_is_kept_and_weights_are_read_ahead(tmp_path: Path, fast_start) -> None:  # type: ignore[no-untyped-def]
    fast = fast_start()

    assert kinds(fast) == [CompileCacheSeed, ModelLink, ReadAhead]
    assert fast.source == "./model-tiny"
    assert fast.variables["VLLM_CACHE_ROOT"] == str(tmp_path / "cache" / "compiled" / ENGINE_NAME / "cpu" / "vllm")
    assert fast.load_format == "safetensors" and fast.bound == []


def test_a_site_that_asks_for_it_has_its_models_copied(tmp_path: Path, fast_start) -> None:  # type: ignore[no-untyped-def]
    fast = fast_start(site={"stage_dir": str(tmp_path / "stage")})

    assert kinds(fast) == [CompileCacheSeed, Staging]
    assert fast.source == "./model-tiny"
    assert fast.bound == [folder_in(tmp_path / "stage")] and fast.bound[0].is_dir()


@pytest.mark.parametrize(
    "changes",
    [{"model": "owner/name"}, {"offer": {"nodes": 2}}],
    ids=["a model that vLLM fetches", "several nodes"],
)
def test_what_cannot_be_copied_is_read_ahead(tmp_path: Path, fast_start, changes: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    changes = {"site": {"stage_dir": str(tmp_path / "stage")}} | changes

    fast = fast_start(**changes)

    assert kinds(fast) == [CompileCacheSeed, ReadAhead]
    assert fast.source == fast.model


def test_the_second_node_of_two_reads_the_files_of_its_own_layers(tmp_path: Path, fast_start) -> None:  # type: ignore[no-untyped-def]
    two = {"offer": {"nodes": 2}}
    weights = str(tmp_path)

    command = fast_start(weights, **two).reader_elsewhere

    assert command[2:5] == ["-m", "llm_hoster.engine.model.page_cache", weights]
    assert command[command.index("--part") + 1] == "1/2" and "--leave-weights" in command
    assert fast_start(weights).reader_elsewhere == []
    # Nobody knows which layers the third node will have.
    assert fast_start(weights, offer={"nodes": 3}).reader_elsewhere == []
    assert fast_start("owner/name", **two).reader_elsewhere == []
    past_the_cache = {"site": {"loader": "instanttensor"}, "engine": {"accelerator": "cuda", "kind": "module"}}
    assert fast_start(weights, **two, **past_the_cache).reader_elsewhere == []


def test_the_second_node_reads_nothing_of_a_model_that_is_to_be_downloaded(tmp_path: Path, fast_start) -> None:  # type: ignore[no-untyped-def]
    """Half of it may be there, which is no good to anybody yet."""
    fast = fast_start(str(tmp_path), offer={"nodes": 2})

    assert fast.reader_elsewhere != []
    assert replace(fast, is_downloaded_first=True).reader_elsewhere == []


def test_a_node_without_the_disk_serves_all_the_same(fast_start) -> None:  # type: ignore[no-untyped-def]
    assert kinds(fast_start(site={"stage_dir": "$NO_SUCH_VARIABLE/x"})) == [CompileCacheSeed, ModelLink, ReadAhead]


def test_the_link_is_made_when_the_model_has_come(tmp_path: Path) -> None:
    link = ModelLink("owner/name", {"HF_HOME": str(tmp_path)}, "tiny", tmp_path)
    link.start(lambda: None)
    assert not link.is_done and link.failure is not None

    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for _ in range(2):
        link = ModelLink("owner/name", {"HF_HOME": str(tmp_path)}, "tiny", tmp_path)
        link.start(lambda: None)
    assert link.is_done and link.failure is None
    assert (tmp_path / link_name("tiny")).resolve() == snapshot


def test_the_loader_of_the_site_is_asked_for(tmp_path: Path, fast_start) -> None:  # type: ignore[no-untyped-def]
    fast = fast_start(site={"loader": "instanttensor"}, engine={"accelerator": "cuda", "kind": "module"})

    assert fast.load_format == "instanttensor"


def test_the_end_of_a_session_leaves_no_copy(tmp_path: Path, fast_start) -> None:  # type: ignore[no-untyped-def]
    fast = fast_start(site={"stage_dir": str(tmp_path / "stage")})
    copy = fast.bound[0] / "tiny-abc"
    copy.mkdir()
    copy.with_name("tiny-abc.lock").touch()

    clean_up(fast.session.catalogue.site)

    assert not copy.exists()
