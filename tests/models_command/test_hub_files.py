"""A model's files at the hub and in its cache: the login, what is asked for, and every way in which it goes wrong."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest

from llm_hoster.models_command import hub_files
from tests.models_command.conftest import App, Run
from tests.models_command.model_hub import COMMIT, ModelHub, refuse, send, trickle
from tests.models_command.published import INDEX, QWEN3, README, TEMPLATE

ID = "Qwen/Qwen3-1B"
TOKEN = "hf_" + "t" * 30
FILES = {
    "config.json": QWEN3,
    "tokenizer_config.json": TEMPLATE,
    "README.md": README,
    "model.safetensors.index.json": INDEX,
}


@pytest.fixture
def published(hub: ModelHub) -> ModelHub:
    hub.publish(ID, FILES)
    return hub


def test_a_public_model_is_read_without_the_login(
    app: App, published: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert run("add", ID).status == 0
    assert {login for _, login in published.asked} == {None}
    assert "ask first" not in app.models.read_text()


@pytest.mark.parametrize("place", ["variable", "file"])
def test_a_gated_model_is_read_with_the_login_and_marked(
    app: App, published: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    if place == "variable":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    else:
        (tmp_path / "hf").mkdir()
        (tmp_path / "hf" / "token").write_text(f"{TOKEN}\n")
    published.gated[ID] = TOKEN
    done = run("add", ID)
    assert done.status == 0, done.output
    assert 'licence: "Apache 2.0, ask first"' in app.models.read_text()
    assert (published.asked[0][1], published.asked[1][1]) == (None, f"Bearer {TOKEN}")
    assert TOKEN not in done.output
    assert TOKEN not in str(app.files())


def test_a_readme_that_asks_for_terms_marks_the_model_too(app: App, published: ModelHub, run: Run) -> None:
    published.publish(ID, {"README.md": "---\nlicense: llama3.1\nextra_gated_prompt: |\n  Terms\n---\n"})
    assert run("add", ID).status == 0
    assert 'licence: "Llama 3.1, ask first"' in app.models.read_text()


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (None, "asks people to accept its terms first: accept them at https://huggingface.co/Qwen/Qwen3-1B, then"),
        (TOKEN, "your account has not, or waits for an answer"),
    ],
)
def test_a_gated_model_that_is_refused_says_what_to_do(
    app: App, published: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch, token: str | None, sentence: str
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    published.gated[ID] = None
    before = app.files()
    done = run("add", ID)
    assert (done.status, app.files()) == (1, before)
    assert sentence in done.output
    assert TOKEN not in done.output


def test_a_private_model_is_read_with_the_login_and_asks_nobody(
    app: App, published: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.private[ID] = TOKEN
    assert "there is no such model, or it is private" in run("add", ID).output
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert run("add", ID).status == 0
    assert "ask first" not in app.models.read_text()


@pytest.mark.parametrize(
    ("model", "misbehave", "sentence"),
    [
        pytest.param(
            "Qwen/Nothing", None, "there is no such model, or it is private: check the spelling", id="unknown"
        ),
        pytest.param(ID, refuse(401), "there is no such model, or it is private", id="401"),
        pytest.param(ID, refuse(403), "there is no such model, or it is private", id="403"),
        pytest.param(ID, refuse(404), "or it has no config.json: look at https://huggingface.co/", id="404"),
        pytest.param(ID, refuse(429), "asked too often: wait some minutes", id="429"),
        pytest.param(ID, refuse(500), "answered with status 500: try again later", id="500"),
        pytest.param(ID, refuse(200, body=b"<html>"), "config.json is not JSON", id="a page"),
        pytest.param(ID, refuse(200, body=b"\xff\xfe"), "config.json is not JSON", id="no text"),
        pytest.param(ID, refuse(200, body=b'"x"'), "config.json holds str, expected an object", id="other JSON"),
        pytest.param(ID, trickle, "no answer in 0 s", id="slow"),
    ],
)
def test_a_hub_that_misbehaves_leaves_a_sentence_and_no_file(
    app: App, published: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch, model: str, misbehave, sentence: str
) -> None:
    monkeypatch.setattr(hub_files, "FILE_TIMEOUT_S", 0.5)
    if misbehave:
        published.misbehave = misbehave
    before, began = app.files(), time.monotonic()
    done = run("add", model)
    assert (done.status, app.files()) == (1, before)
    assert sentence in done.output
    assert time.monotonic() - began < 3


def test_no_more_is_read_than_such_a_file_can_have(app: App, published: ModelHub, run: Run) -> None:
    sent = []

    def endless(handler) -> bool:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(64):
                sent.append(handler.wfile.write(b" " * 2**20))
        return True

    published.misbehave = endless
    done = run("add", ID)
    assert "larger than 4 MiB" in done.output
    assert len(sent) < 32


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("http://127.0.0.1:1", "the connection failed (ConnectionError). Is there a way to it from here?"),
        ("http://u:secret@127.0.0.1:1", "127.0.0.1:1: the connection failed"),
        ("nonsense", "the connection failed (MissingSchema)"),
    ],
)
def test_without_a_way_to_the_hub_it_says_so_and_shows_no_login(
    app: App, run: Run, monkeypatch: pytest.MonkeyPatch, endpoint: str, sentence: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    done = run("add", ID)
    assert done.status == 1
    assert sentence in done.output
    assert "secret" not in done.output


def test_offline_asks_nobody(app: App, published: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "is not in the cache" in run("add", ID).output
    assert published.asked == []


def make_snapshot(tmp_path: Path, names: list[str]) -> Path:
    repository = tmp_path / "hf" / "hub" / "models--Qwen--Qwen3-1B"
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for name in names:
        content = FILES[name]
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_model_in_the_cache_needs_no_hub(app: App, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    make_snapshot(tmp_path, ["config.json", "tokenizer_config.json", "model.safetensors.index.json"])
    done = run("add", ID)
    assert done.status == 0, done.output
    assert "Its licence is not in its README.md" in done.output
    data = json.loads((app.configs / "qwen--qwen3-1b.json").read_text())
    assert data["weights_bytes"] == 2_000_000_000
    assert data["read_from"] == {"page": f"https://huggingface.co/{ID}/blob/{COMMIT}/config.json"}


def test_what_the_cache_lacks_is_asked_of_the_hub_in_that_version(
    app: App, published: ModelHub, run: Run, tmp_path: Path
) -> None:
    make_snapshot(tmp_path, ["config.json"])
    assert run("add", ID).status == 0
    assert 'licence: "Apache 2.0"' in app.models.read_text()
    assert "config.json" not in published.names_asked()
    assert all(f"/resolve/{COMMIT}/" in path for path, _ in published.asked)


def test_an_index_without_a_size_leaves_it_to_the_configuration(app: App, published: ModelHub, run: Run) -> None:
    published.publish(ID, {"model.safetensors.index.json": {"metadata": {"total_size": "much"}}})
    assert run("add", ID).status == 0
    data = json.loads((app.configs / "qwen--qwen3-1b.json").read_text())
    assert (data["weights_bytes"], data["weights_read_from"]) == (None, None)


@pytest.mark.parametrize("size", [-(10**30), 10**30, True])
def test_a_size_that_no_model_has_is_not_believed(app: App, published: ModelHub, run: Run, size: int) -> None:
    published.publish(ID, {"model.safetensors.index.json": {"metadata": {"total_size": size}}})
    assert run("add", ID).status == 0
    assert json.loads((app.configs / "qwen--qwen3-1b.json").read_text())["weights_bytes"] is None


def test_the_cache_is_found_where_the_variable_of_the_hub_says(
    app: App, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_snapshot(tmp_path, ["config.json", "model.safetensors.index.json"])
    (tmp_path / "hf" / "hub").rename(tmp_path / "shared")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "is not in the cache" in run("add", ID).output
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "shared"))
    assert run("add", ID).status == 0


@pytest.mark.parametrize("length", [2**63, 10**6])
def test_a_weight_file_that_lies_about_its_header_tells_no_size(
    app: App, published: ModelHub, run: Run, length: int
) -> None:
    del published.files[f"{ID}/model.safetensors.index.json"]
    published.publish(ID, {"model.safetensors": length.to_bytes(8, "little") + b"{}"})
    assert run("add", ID).status == 0
    assert json.loads((app.configs / "qwen--qwen3-1b.json").read_text())["weights_bytes"] is None


def test_a_server_that_knows_no_ranges_is_read_for_eight_bytes(app: App, published: ModelHub, run: Run) -> None:
    del published.files[f"{ID}/model.safetensors.index.json"]
    whole = (2).to_bytes(8, "little") + b"{}" + bytes(5 * 2**20)

    def whole_file(handler) -> bool:
        if not handler.path.endswith("/model.safetensors"):
            return False
        with contextlib.suppress(OSError):
            send(handler, 200, whole, {})
        return True

    published.misbehave = whole_file
    assert run("add", ID).status == 0
    assert json.loads((app.configs / "qwen--qwen3-1b.json").read_text())["weights_bytes"] == 5 * 2**20
