"""`llm-hoster models pull`, `verify` and `prune` against a small hub: what lands in the cache, what is asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.hub_cache import find_model, find_snapshot, locks_of, repository_of
from llm_hoster.model_use import model_in_use, uses_of
from tests.models_command.conftest import Done, Run
from tests.models_command.download_hub import COMMIT, DownloadHub, download_hub, git_sha1, sha256, slowly

MODEL = "org/model"
TOKEN = "hf_" + "t" * 30
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
WEIGHTS = {name: name.encode() * 20_000 for name in SHARDS}  # 640 kB each
SMALL = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "README.md": b"---\nlicense: apache-2.0\n---\n",
    "LICENSE": b"terms",
    "model.safetensors.index.json": json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode(),
}
NOT_WANTED = {
    ".gitattributes": b"*",
    "pytorch_model.bin": b"p" * 5000,
    "model.gguf": b"g" * 5000,
    "consolidated.safetensors": b"c" * 5000,
    "adapter_model.safetensors": b"l" * 5000,
    "model.fp32.safetensors": b"f" * 5000,
    "original/model.safetensors": b"o" * 5000,
    "onnx/model.onnx": b"x" * 5000,
    "figures/模型 (1).png": b"picture",
    "模型.json": b"{}",
}


@pytest.fixture
def hub() -> Iterator[DownloadHub]:
    with download_hub() as server:
        server.files = {**SMALL, **WEIGHTS, **NOT_WANTED}
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def pull(run: Run, hub: DownloadHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    # Waits between attempts take no time here.
    monkeypatch.setattr("llm_hoster.models_command.file_download.FIRST_WAIT_S", 0.01)
    return lambda *arguments, model=MODEL: run("pull", model, "--cache", str(cache), *arguments)


@pytest.fixture
def start(hub: DownloadHub, cache: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a pull of its own process, as a job does."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "llm_hoster", "models", "pull", MODEL, "--cache", str(cache)],
            env={**kept, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def names_in(cache: Path) -> set[str]:
    snapshot = find_model(MODEL, [cache])
    assert snapshot is not None
    return set(os.listdir(snapshot))


def blob(cache: Path, content: bytes) -> Path:
    return repository_of(MODEL, cache) / "blobs" / sha256(content)


def test_what_vllm_needs_lies_in_the_cache_as_huggingface_hub_lays_it_out(pull, hub, cache):
    done = pull()
    assert done.status == 0
    assert done.output.splitlines()[-1] == f"{MODEL}: in {cache}, version {COMMIT[:12]}, licence: Apache 2.0"
    assert names_in(cache) == {*SMALL, *SHARDS}
    snapshot = repository_of(MODEL, cache) / "snapshots" / COMMIT
    for name, content in {**SMALL, **WEIGHTS}.items():
        assert (snapshot / name).read_bytes() == content
        etag = sha256(content) if name in SHARDS else git_sha1(content)
        assert os.readlink(snapshot / name) == f"../../blobs/{etag}"
    assert (repository_of(MODEL, cache) / "refs" / "main").read_text() == COMMIT
    assert os.listdir(locks_of(MODEL, cache)) == []
    assert {login for _, _, login in hub.asked} == {None}


def test_a_second_pull_fetches_no_file_again(pull, hub):
    pull()
    sent = hub.sent_bytes
    assert pull().status == 0
    # The index is read to know which files hold weights.
    assert hub.sent_bytes - sent == len(SMALL["model.safetensors.index.json"])


def test_two_processes_make_one_download(start, hub, cache):
    hub.before_piece = slowly(0.1)
    first, second = start(), start()
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert {name: hub.times(name) for name in SHARDS} == dict.fromkeys(SHARDS, 1)
    assert "fetched by process" in "".join(outputs)
    assert find_model(MODEL, [cache]) is not None


def test_after_kill_9_the_next_goes_on_where_it_ended(start, pull, hub, cache):
    hub.before_piece = slowly(0.1)
    process = start()
    parts = [blob(cache, content).with_name(f"{sha256(content)}.part") for content in WEIGHTS.values()]
    wait_until(lambda: all(part.exists() and part.stat().st_size >= 65536 for part in parts))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert find_snapshot(repository_of(MODEL, cache)) is None
    sizes = [part.stat().st_size for part in parts]
    hub.before_piece = lambda name, offset: None
    hub.asked.clear()
    assert pull().status == 0  # At once: the dead one's lock does not count.
    ranges = {path: range_ for path, range_, _ in hub.asked if path.startswith("/cdn/")}
    assert ranges == {f"/cdn/{name}": f"bytes={size}-" for name, size in zip(SHARDS, sizes, strict=True)}
    assert names_in(cache) == {*SMALL, *SHARDS}


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_connection_that_is_cut_is_taken_up_again(pull, hub, cache, knows_ranges):
    cuts = iter([SHARDS[0], SHARDS[0]])

    def cut(name: str, offset: int) -> None:
        if name == SHARDS[0] and offset >= 196608 and next(cuts, None):
            raise ConnectionError

    hub.before_piece, hub.knows_ranges = cut, knows_ranges
    assert pull().status == 0
    assert hub.times(SHARDS[0]) == 3
    assert blob(cache, WEIGHTS[SHARDS[0]]).read_bytes() == WEIGHTS[SHARDS[0]]


def test_a_hub_that_is_gone_in_the_middle_is_told_and_what_came_is_kept(pull, hub, cache, monkeypatch):
    monkeypatch.setattr("llm_hoster.models_command.file_download.ATTEMPTS", 2)

    def cut(name: str, offset: int) -> None:
        if name == SHARDS[0] and offset >= 196608:
            raise ConnectionError

    hub.before_piece = cut
    done = pull()
    assert done.status == 1
    assert f"{SHARDS[0]} of {MODEL} cannot be had: the connection was cut" in done.output
    assert blob(cache, WEIGHTS[SHARDS[0]]).with_name(f"{sha256(WEIGHTS[SHARDS[0]])}.part").stat().st_size == 196608
    assert find_model(MODEL, [cache]) is None


def test_wrong_bytes_are_thrown_away_and_fetched_once_more(pull, hub, cache):
    hub.is_wrong = lambda name, time: name == SHARDS[1] and time == 1
    assert pull().status == 0
    assert hub.times(SHARDS[1]) == 2
    assert blob(cache, WEIGHTS[SHARDS[1]]).read_bytes() == WEIGHTS[SHARDS[1]]


@pytest.mark.parametrize("name", ["config.json", SHARDS[0]])
def test_bytes_that_stay_wrong_are_told_and_never_served(pull, hub, cache, name):
    hub.is_wrong = lambda asked, time: asked == name
    done = pull()
    assert done.status == 1
    assert f"{name} came twice with other content than the hub's own hash of it" in done.output
    assert find_model(MODEL, [cache]) is None
    digest = git_sha1(SMALL[name]) if name in SMALL else sha256(WEIGHTS[name])
    assert not list(cache.rglob(f"{digest}*"))


def test_a_hub_that_is_busy_is_asked_again(pull, hub, monkeypatch):
    monkeypatch.setattr("llm_hoster.models_command.hub_listing.WAITS_S", (0.01, 0.01))
    hub.statuses = {"config.json": [503, 429], SHARDS[0]: [500], "model.safetensors.index.json": [503]}
    assert pull().status == 0


def test_a_gated_model_needs_the_token_which_goes_to_the_hub_alone(pull, hub, monkeypatch):
    hub.token = TOKEN
    done = pull()
    assert done.status == 1
    assert "asks people to accept its terms first: accept them at https://huggingface.co/org/model" in done.output
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "your account has not, or waits for an answer" in pull().output
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.asked.clear()
    done = pull()
    assert done.status == 0
    assert "licence: Apache 2.0, ask first" in done.output
    logins = {(path.startswith(f"/{MODEL}/"), login) for path, _, login in hub.asked}
    assert logins == {(True, f"Bearer {TOKEN}"), (False, None)}


def test_offline_nothing_is_asked(pull, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = pull()
    assert done.status == 1
    assert "HF_HUB_OFFLINE or hf_offline of site.yml forbids to download it here" in done.output
    assert hub.asked == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    pull()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = pull()
    assert done.status == 0 and "offline nobody knows" in done.output


def test_a_model_without_safetensors_is_refused_with_what_it_has(pull, hub, cache):
    hub.files = {"config.json": b"{}", "pytorch_model.bin": b"p" * 5000, "model.gguf": b"g" * 5000}
    done = pull()
    assert done.status == 1
    assert "expected its weights as .safetensors, found only .bin, .gguf" in done.output
    assert not cache.exists()


def test_mistrals_own_layout_is_fetched_where_it_is_asked_for_or_alone(pull, hub, cache):
    assert pull("--mistral").status == 0
    snapshot = find_model(MODEL, [cache], is_mistral=True)
    assert snapshot is not None and {"consolidated.safetensors"} == {each.name for each in snapshot.glob("*.safe*")}
    assert find_model(MODEL, [cache]) == snapshot  # vLLM sees by itself which layout is there.
    for name in (*SHARDS, "model.safetensors.index.json", "model.fp32.safetensors"):
        del hub.files[name]
    hub.commit = "1" * 40
    assert pull().status == 0
    assert names_in(cache) == {*SMALL, "consolidated.safetensors"} - {"model.safetensors.index.json"}


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.json",
        "/etc/evil.json",
        "a/../../b.json",
        "a\nb.json",
        "..",
        "",
        "a//b.json",
        "./a.json",
        "\x1b[2J.json",
    ],
)
def test_a_name_that_leads_away_or_hides_something_is_refused(pull, hub, cache, name):
    sibling = {"rfilename": name, "size": 2, "blobId": git_sha1(b"{}")}
    hub.description = {"siblings": [*json.loads(hub.describe())["siblings"], sibling]}
    done = pull()
    assert done.status == 1
    assert "has a file of the name" in done.output
    assert not cache.exists()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"blobId": "../../evil"}, "tells no size and hash of config.json"),
        ({"size": None}, "tells no size and hash of config.json"),
        ({"size": -1}, "tells no size and hash of config.json"),
        ({"size": 2**70}, "tells no size and hash of config.json"),
    ],
)
def test_a_description_that_is_none_is_told(pull, hub, entry, sentence):
    siblings = json.loads(hub.describe())["siblings"]
    siblings[0] |= entry
    hub.description = {"siblings": siblings}
    assert sentence in pull().output


def test_a_description_without_a_version_or_a_list_is_told(pull, hub):
    for description, sentence in (({"sha": "main/../x"}, "names no version"), ({"siblings": 3}, "does not list its")):
        hub.description = description
        done = pull()
        assert done.status == 1 and sentence in done.output


def test_an_index_that_names_what_is_not_there_is_told(pull, hub):
    hub.files["model.safetensors.index.json"] = b'{"weight_map": {"a": "gone.safetensors"}}'
    assert "names gone.safetensors, which the model does not have" in pull().output


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_without_room_is_told_before_the_start(run, hub, small_disk, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    done = run("pull", MODEL, "--cache", str(small_disk / "cache"))
    assert done.status == 1
    assert "needs 1.2 MiB more in" in done.output and "MiB are free there. Make room" in done.output
    assert hub.times(SHARDS[0]) == 0


def test_a_disk_that_fills_up_meanwhile_is_told_in_a_sentence(run, hub, small_disk, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    del hub.files[SHARDS[1]]
    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": SHARDS[0]}}).encode()

    def fill(name: str, offset: int) -> None:
        if name == SHARDS[0] and offset == 0:
            (small_disk / "other").write_bytes(b"x" * 600_000)

    hub.before_piece = fill
    done = run("pull", MODEL, "--cache", str(small_disk / "cache"))
    assert done.status == 1
    assert "cannot be written to" in done.output and "the disk is full. Make room" in done.output
    (small_disk / "other").unlink()
    hub.before_piece = lambda name, offset: None
    assert run("pull", MODEL, "--cache", str(small_disk / "cache")).status == 0


def test_a_cache_for_everybody_stays_readable_whatever_the_umask(pull, cache):
    cache.mkdir(mode=0o755)
    umask = os.umask(0o077)
    try:
        assert pull().status == 0
    finally:
        os.umask(umask)
    assert all(path.stat().st_mode & 0o004 for path in repository_of(MODEL, cache).rglob("*"))


def test_a_cache_of_ones_own_stays_private(pull, cache):
    cache.mkdir(mode=0o700)
    assert pull().status == 0
    assert not any(path.lstat().st_mode & 0o077 for path in cache.rglob("*") if not path.is_symlink())


def test_verify_finds_a_damaged_file_and_repair_fetches_it_alone(pull, run, hub, cache):
    pull()
    assert f"{MODEL}: right, {len(SMALL) + 2} files" in run("verify", "--cache", str(cache)).output
    shard = blob(cache, WEIGHTS[SHARDS[1]])
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    done = run("verify", MODEL, "--cache", str(cache))
    assert done.status == 1
    assert f"{SHARDS[1]} is damaged: {shard}" in done.output and "--repair" in done.output
    hub.asked.clear()
    done = run("verify", MODEL, "--cache", str(cache), "--repair")
    assert done.status == 0 and "right again" in done.output
    assert {name: hub.times(name) for name in SHARDS} == {SHARDS[0]: 0, SHARDS[1]: 1}
    assert run("verify", "--cache", str(cache)).status == 0


def test_verify_finds_what_is_missing(pull, run, cache):
    pull()
    blob(cache, WEIGHTS[SHARDS[0]]).unlink()
    done = run("verify", "--cache", str(cache))
    assert done.status == 1 and f"{SHARDS[0]} is missing" in done.output


def test_a_truncated_file_is_seen_by_the_next_pull(pull, hub, cache):
    pull()
    os.truncate(blob(cache, WEIGHTS[SHARDS[0]]), 1000)
    assert pull().status == 0
    assert blob(cache, WEIGHTS[SHARDS[0]]).read_bytes() == WEIGHTS[SHARDS[0]]


def test_prune_lists_and_removes_what_is_named(pull, run, cache):
    pull()
    done = run("prune", "--cache", str(cache))
    assert f"{MODEL}: 1.2 MiB, last used 20" in done.output and "1 models" in done.output
    assert find_model(MODEL, [cache]) is not None
    assert run("prune", MODEL, "--cache", str(cache)).status == 1  # Nobody answers the question.
    assert find_model(MODEL, [cache]) is not None
    assert f"{MODEL}: removed" in run("prune", MODEL, "--cache", str(cache), "--yes").output
    assert not repository_of(MODEL, cache).exists() and not list(cache.glob(".removed*"))
    assert "is not in" in run("prune", MODEL, "--cache", str(cache), "--yes").output


def test_prune_removes_by_age(pull, run, cache):
    pull()
    assert run("prune", "--older", "30", "--cache", str(cache), "--yes").output == ""
    for path in [repository_of(MODEL, cache), *(repository_of(MODEL, cache) / "blobs").iterdir()]:
        os.utime(path, (time.time() - 31 * 86400,) * 2)
    assert "removed" in run("prune", "--older", "30", "--cache", str(cache), "--yes").output


def test_prune_leaves_what_is_in_use(pull, run, cache):
    pull()
    remove = ("prune", MODEL, "--cache", str(cache), "--yes")
    with model_in_use(MODEL, cache):
        assert f"{MODEL}: stays, a session uses it" in run(*remove).output
    with blob(cache, WEIGHTS[SHARDS[0]]).open("rb"):
        assert f"stays, process {os.getpid()} has a file of it open" in run(*remove).output
    assert find_model(MODEL, [cache]) is not None
    assert "removed" in run(*remove).output


def test_prune_leaves_what_is_being_fetched(start, run, hub, cache):
    hub.before_piece = slowly(0.2)
    process = start()
    wait_until(lambda: list(cache.rglob("*.part")))
    assert "stays, it is being fetched" in run("prune", MODEL, "--cache", str(cache), "--yes").output
    assert process.wait() == 0


def test_a_mark_of_use_is_gone_with_the_session(cache):
    with model_in_use(MODEL, cache):
        assert len(list(uses_of(locks_of(MODEL, cache)))) == 1
    assert list(uses_of(locks_of(MODEL, cache))) == []
    with model_in_use(MODEL, Path("/proc/nowhere")):
        pass


def test_a_mark_that_a_killed_session_left_is_removed_by_the_next(cache):
    program = f"""
import os, pathlib, signal
from llm_hoster.model_use import model_in_use
with model_in_use({MODEL!r}, pathlib.Path({str(cache)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program])
    left = list(uses_of(locks_of(MODEL, cache)))
    with model_in_use(MODEL, cache):
        marks = list(uses_of(locks_of(MODEL, cache)))
    assert len(left) == len(marks) == 1
    assert left != marks


def test_a_session_marks_its_model_once_and_until_it_ends(cache):
    """However often it starts vLLM."""
    program = f"""
import pathlib, threading
from llm_hoster.engine.model.in_use import InUse
mark = InUse({MODEL!r}, [pathlib.Path({str(cache)!r})])
for _ in range(2):
    mark.start(lambda: None)
    [thread.join() for thread in threading.enumerate() if thread.name == "model in use"]
print("marked", flush=True)
input()
"""
    session = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert session.stdout is not None and session.stdout.readline() == b"marked\n"
    marks = list(uses_of(locks_of(MODEL, cache)))
    session.communicate(b"\n")
    assert len(marks) == 1
    assert list(uses_of(locks_of(MODEL, cache))) == []


def test_a_name_of_models_yml_and_the_caches_of_the_site(app, run, hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    hub.model = "owner/m"
    site = app.folder / "config" / "site.yml"
    site.write_text(site.read_text().replace('cache_dir: "/cache"', f'cache_dir: "{tmp_path}/own"'))
    assert run("pull", "m").status == 0
    assert find_model("owner/m", [tmp_path / "own" / "huggingface" / "hub"]) is not None
    assert "has no shared_models" in run("pull", "m", "--shared").output
    site.write_text(site.read_text() + f'shared_models: "{tmp_path}/shared"\n')
    assert run("pull", "m", "--shared").status == 0
    assert find_model("owner/m", [tmp_path / "shared"]) is not None
    assert "neither a Hugging Face id" in run("pull", "nothing").output


def test_as_json_each_says_what_it_did(pull, run, hub, cache):
    [pulled] = pull("--json").document
    assert pulled == {"model": MODEL, "cache": str(cache), "version": COMMIT, "licence": "Apache 2.0"}
    [listed] = run("prune", "--json", "--cache", str(cache)).document
    assert (listed["model"], listed["user"]) == (MODEL, None)
    assert listed["bytes"] > sum(map(len, WEIGHTS.values()))

    assert run("verify", "--json", "--cache", str(cache)).document[0]["is_right"] is True
    damaged = blob(cache, SMALL["config.json"])
    damaged = damaged if damaged.exists() else next(damaged.parent.iterdir())
    damaged.write_bytes(b"damaged")
    done = run("verify", "--json", "--cache", str(cache))
    assert (done.status, done.document[0]["damaged"][0]["path"]) == (1, str(damaged))
    repaired = run("verify", "--json", "--repair", "--cache", str(cache))
    assert (repaired.status, repaired.document[0]["was_repaired"]) == (0, True)

    [removed] = run("prune", MODEL, "--yes", "--json", "--cache", str(cache)).document
    assert (removed["model"], removed["is_removed"]) == (MODEL, True)
    assert run("prune", "--json", "--cache", str(cache)).document == []
