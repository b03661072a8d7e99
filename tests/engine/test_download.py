"""The prelude that fetches a model: when it is needed, what it says meanwhile, and how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llm_hoster.engine.model.download import Download, caches_for, find_source, needs_download
from llm_hoster.hub_cache import find_model, repository_of
from tests.engine.conftest import wait_until
from tests.models_command.download_hub import COMMIT, download_hub, sha256, slowly

MODEL = "org/model"
TOKEN = "hf_" + "t" * 30
WEIGHTS = os.urandom(2**20)


@pytest.fixture
def hub():
    with download_hub() as server:
        server.files = {"config.json": b"{}", "model.safetensors": WEIGHTS}
        yield server


@pytest.fixture
def make_download(hub, tmp_path):
    def make(**environment: str) -> Download:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        ours = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
        return Download(MODEL, {**kept, **ours, **environment}, tmp_path / "download.log", cwd=tmp_path)

    return make


def run(download: Download) -> set[str]:
    """Do as the supervisor does; give all that was said."""
    news, details = threading.Event(), set()
    download.start(news.set)
    while not (download.is_done or download.failure):
        assert news.wait(30)
        news.clear()
        download.look()
        details.add(download.detail)
    wait_until(download.children[0].group_is_gone)
    return details


def test_the_model_is_fetched_into_vllms_cache_and_how_far_it_is_is_told(make_download, hub, tmp_path):
    hub.before_piece = slowly(0.15)
    cache = tmp_path / "hf" / "hub"
    assert needs_download(MODEL, [cache])
    download = make_download()
    details = run(download)
    assert download.failure is None
    assert any(detail.startswith("0.0 of 0.0 GiB, ") and detail.endswith(" MB/s") for detail in details)
    assert not needs_download(MODEL, [cache])
    assert find_source(MODEL, [cache]) == str(repository_of(MODEL, cache) / "snapshots" / COMMIT)


def test_a_failure_is_the_sentence_of_the_command(make_download, hub):
    hub.token = TOKEN
    download = make_download(HF_TOKEN="hf_other")
    run(download)
    assert "your account has not, or waits for an answer" in download.failure.cause
    assert download.failure.deciding_line is None


def test_the_token_comes_from_the_file_of_the_login_and_appears_nowhere(make_download, hub, tmp_path):
    hub.token = TOKEN
    (tmp_path / "token").write_text(TOKEN)
    download = make_download(HF_TOKEN_PATH=str(tmp_path / "token"))
    download.start(lambda: None)
    assert TOKEN.encode() not in Path(f"/proc/{download.children[0].pid}/cmdline").read_bytes()
    wait_until(lambda: download.look() or download.is_done)
    assert TOKEN not in (tmp_path / "download.log").read_text()


def test_a_site_without_a_way_to_the_hub_is_told_so(make_download):
    download = make_download(HF_HUB_OFFLINE="1")
    run(download)
    assert f"{MODEL} is not in the cache" in download.failure.cause
    assert "hf_offline of site.yml" in download.failure.cause


def test_one_that_is_killed_says_what_to_do_and_the_next_goes_on(make_download, hub):
    hub.before_piece = slowly(0.3)
    download = make_download()
    download.start(lambda: None)
    wait_until(lambda: hub.sent_bytes > 200_000)
    os.kill(download.children[0].pid, 9)
    wait_until(lambda: download.look() or download.failure)
    assert download.failure.cause.startswith(f"The download of {MODEL} ended with signal 9. What has come is kept")
    hub.before_piece = lambda name, offset: None
    hub.asked.clear()
    again = make_download()
    run(again)
    assert again.is_done
    assert next(range_ for path, range_, _ in hub.asked if path.startswith("/cdn/")).startswith("bytes=")


@pytest.mark.parametrize("source", ["/a/folder", "$MODELS/x", "./x"])
def test_a_folder_is_never_fetched(source, tmp_path):
    assert not needs_download(source, [tmp_path])
    assert find_source(source, [tmp_path]) == source


def test_the_shared_cache_comes_first_and_is_enough(tmp_path):
    caches = caches_for(f"{tmp_path}/shared", {"HF_HOME": str(tmp_path)})
    assert caches == [tmp_path / "shared", tmp_path / "hub"]
    assert caches_for(None, {"HF_HOME": str(tmp_path)}) == [tmp_path / "hub"]
    for cache in reversed(caches):
        snapshot = repository_of(MODEL, cache) / "snapshots" / "x"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_bytes(b"{}")
        (snapshot / "model.safetensors").write_bytes(b"")
        assert find_source(MODEL, caches) == str(snapshot)
        assert not needs_download(MODEL, caches)


def test_only_a_whole_model_needs_no_download(tmp_path):
    snapshot = repository_of(MODEL, tmp_path) / "snapshots" / "x"
    snapshot.mkdir(parents=True)
    for name, content in (
        ("config.json", b"{}"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'),
        ("1.safetensors", b""),
    ):
        assert needs_download(MODEL, [tmp_path])
        (snapshot / name).write_bytes(content)
    (snapshot / "2.safetensors").symlink_to("../../blobs/gone")
    assert needs_download(MODEL, [tmp_path])
    blob = repository_of(MODEL, tmp_path) / "blobs" / "gone"
    blob.parent.mkdir()
    blob.write_bytes(b"")
    assert not needs_download(MODEL, [tmp_path])
    assert needs_download(MODEL, [tmp_path], ["--load-format", "mistral"])
    (snapshot / "consolidated.safetensors").write_bytes(b"")
    assert not needs_download(MODEL, [tmp_path], ["--load-format=mistral"])


@pytest.mark.parametrize("index", [b"", b"[]", b'{"weight_map": {}}', b'{"weight_map": {"a": "../x"}}', b"[" * 10**5])
def test_an_index_that_is_none_is_no_model(tmp_path, index):
    snapshot = repository_of(MODEL, tmp_path) / "snapshots" / "x"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(b"{}")
    (snapshot / "model.safetensors.index.json").write_bytes(index)
    (snapshot / "model-00001-of-00002.safetensors").write_bytes(b"")
    assert find_model(MODEL, [tmp_path]) is None


def test_what_serve_imports_of_it_is_light():
    program = (
        "import sys, llm_hoster.engine.model.download\n"
        "print({'requests', 'urllib3', 'yaml', 'flask'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_the_blob_is_called_by_its_hash(make_download, tmp_path):
    run(make_download())
    assert (repository_of(MODEL, tmp_path / "hf" / "hub") / "blobs" / sha256(WEIGHTS)).read_bytes() == WEIGHTS
