"""What the next start is expected to take."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from llm_hoster.engine.record.state import Step
from llm_hoster.engine.run.estimate import (
    BYTES_MAX,
    FILES_MAX,
    Estimate,
    StartKey,
    is_longer_than_usual,
    read_starts,
    record_start,
    trusted_owners,
)

KEY = StartKey("org/Model-7B", "h100", 2, 1, "vllm-cuda-0.32.0", "none", "interactive")


def done(**seconds: float) -> tuple[Step, ...]:
    return tuple(Step(name, name, taken, "done") for name, taken in seconds.items())


def test_the_middle_of_the_last_five_starts_counts(tmp_path: Path) -> None:
    for weights in (500.0, 10.0, 12.0, 300.0, 11.0, 13.0):
        record_start(KEY, done(start=5.0, weights=weights), tmp_path)
    estimate = Estimate.read(KEY, [tmp_path])
    assert (estimate.expected("start"), estimate.expected("weights")) == (5.0, 12.0)


def test_without_an_earlier_start_nothing_is_expected(tmp_path: Path) -> None:
    estimate = Estimate.read(KEY, [tmp_path, tmp_path / "none"])
    steps = (Step("start", "", 3.0, "running"), Step("weights", "", None, "waiting"))
    assert estimate.fill(steps) == steps
    assert estimate.remaining_s(steps) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other/Model-7B"},
        {"gpu": "a100"},
        {"gpus": 4},
        {"nodes": 2},
        {"engine": "vllm-cuda-0.33.0"},
        {"quantization": "fp8"},
        {"preset": "throughput"},
    ],
)
def test_another_kind_of_start_tells_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    record_start(KEY, done(start=5.0), tmp_path)
    other = StartKey(**(KEY.__dict__ | changes))  # type: ignore[arg-type]
    assert Estimate.read(other, [tmp_path]).expected("start") is None
    # Nor does it when its file is put in the other's place.
    os.replace(tmp_path / KEY.file_name, tmp_path / other.file_name)
    assert Estimate.read(other, [tmp_path]).expected("start") is None


def test_what_remains_is_what_the_steps_have_not_used_yet(tmp_path: Path) -> None:
    record_start(KEY, done(start=10.0, weights=30.0, ready=2.0), tmp_path)
    steps = (
        Step("start", "", 20.0, "done"),
        Step("weights", "", 12.0, "running"),
        Step("compile", "", None, "waiting"),  # No start of this kind had it.
        Step("ready", "", None, "waiting"),
    )
    assert Estimate.read(KEY, [tmp_path]).remaining_s(steps) == 20.0


def test_a_step_that_takes_much_longer_ends_the_estimate_instead_of_staying_at_zero(tmp_path: Path) -> None:
    record_start(KEY, done(weights=30.0), tmp_path)
    estimate = Estimate.read(KEY, [tmp_path])
    assert estimate.remaining_s((Step("weights", "", 34.0, "running"),)) == 0.0
    late = (Step("weights", "", 40.0, "running"),)
    assert estimate.remaining_s(late) is None
    assert [is_longer_than_usual(step) for step in estimate.fill(late)] == [True]


def test_a_download_that_was_never_seen_is_not_guessed(tmp_path: Path) -> None:
    record_start(KEY, done(start=10.0), tmp_path)
    steps = (Step("download", "", 3.0, "running"), Step("start", "", None, "waiting"))
    assert Estimate.read(KEY, [tmp_path]).remaining_s(steps) is None
    assert Estimate.read(KEY, [tmp_path]).remaining_s((Step("download", "", 3.0, "done"), steps[1])) == 10.0


def test_a_start_that_failed_is_not_recorded(tmp_path: Path) -> None:
    record_start(KEY, (*done(start=5.0), Step("weights", "", 3.0, "failed")), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_sites_starts_count_as_well_as_ones_own(tmp_path: Path) -> None:
    own, shared = tmp_path / "cache" / "starts", tmp_path / "prefix" / "starts"
    umask = os.umask(0o077)  # As `llm-hoster warm` and `serve` have it.
    try:
        record_start(KEY, done(start=10.0), own)
        record_start(KEY, done(start=20.0), shared, is_shared=True)
    finally:
        os.umask(umask)
    assert Estimate.read(KEY, [own, shared]).expected("start") == 15.0
    assert (own / KEY.file_name).stat().st_mode & 0o777 == 0o600
    assert (shared / KEY.file_name).stat().st_mode & 0o777 == 0o644
    assert (own.stat().st_mode & 0o777, shared.stat().st_mode & 0o777) == (0o700, 0o755)


def test_the_file_of_a_stranger_is_not_read(tmp_path: Path) -> None:
    record_start(KEY, done(start=10.0), tmp_path)
    path = tmp_path / KEY.file_name
    owner = path.stat().st_uid
    assert len(read_starts(path, KEY, {owner})) == 1
    assert read_starts(path, KEY, {owner + 1}) == []


def test_this_user_root_and_the_owner_of_the_prefix_are_trusted(tmp_path: Path) -> None:
    assert trusted_owners(tmp_path / "starts") == {0, os.geteuid(), tmp_path.stat().st_uid}
    assert trusted_owners(Path("/no/prefix/starts")) == {0, os.geteuid()}


def document(**changes: object) -> str:
    start = {"at": time.time(), "steps": {"start": 10.0}}
    return json.dumps({"version": 1, "key": KEY.__dict__, "starts": [start]} | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        document(version=2),
        document(starts=[{"at": 0, "steps": {"start": -1}}]),
        document(starts=[{"at": 0, "steps": {"start": float("nan")}}]),
        document(starts=[{"at": 0, "steps": {"start": 10**400}}]),
        document(starts=[{"at": 0, "steps": {str(number): 1 for number in range(40)}}]),
        document(starts=[{"at": time.time() + 10**6, "steps": {"start": 1}}]),
        document(starts=[{"at": 0, "steps": [1]}]),
        document(starts="starts"),
        document(starts={}),
        "[" * 50000,
        document(padding=" " * BYTES_MAX),
    ],
)
def test_a_broken_or_hostile_file_counts_as_none_and_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / KEY.file_name).write_text(text)
    assert Estimate.read(KEY, [tmp_path]).expected("start") is None
    record_start(KEY, done(start=7.0), tmp_path)
    assert Estimate.read(KEY, [tmp_path]).expected("start") == 7.0


def test_a_pipe_in_the_files_place_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / KEY.file_name)
    assert Estimate.read(KEY, [tmp_path]).expected("start") is None


def test_two_jobs_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=lambda: [record_start(KEY, done(start=10.0), tmp_path) for _ in range(30)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == [KEY.file_name]
    assert Estimate.read(KEY, [tmp_path]).expected("start") == 10.0
    assert (tmp_path / KEY.file_name).stat().st_size < 4096


def test_the_folder_does_not_grow_without_end(tmp_path: Path) -> None:
    for number in range(FILES_MAX + 5):
        path = tmp_path / f"{number}.json"
        path.write_text("{}")
        os.utime(path, (number, number))
    record_start(KEY, done(start=10.0), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == FILES_MAX
    assert KEY.file_name in names
    assert "0.json" not in names


def test_a_full_disk_costs_the_estimate_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    record_start(KEY, done(start=10.0), tmp_path / "file" / "starts")


def test_a_models_name_cannot_lead_elsewhere() -> None:
    for model in ("../../etc/passwd", "/models/..", "", "a\0b", "ä" * 300):
        name = StartKey(model, "h100", 1, 1, "e", "none", "interactive").file_name
        assert "/" not in name and "\0" not in name and not name.startswith(".") and len(name) < 100
