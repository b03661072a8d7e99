"""A lock among nodes: taken by one, taken over from the dead, and not from those who live."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from llm_hoster.lease import CLOCKS_APART_S, Lease, Owner, is_held
from tests.engine.conftest import wait_until


def write_owner(path: Path, owner: Owner) -> None:
    path.write_text(json.dumps(asdict(owner)))


def test_one_has_it_until_it_lets_go(tmp_path):
    first, second = Lease(tmp_path / "lock"), Lease(tmp_path / "lock")
    assert first.take()
    assert not second.take() and is_held(first.path)
    first.release()
    assert second.take()
    first.release()  # Once more: it is not ours any longer.
    assert is_held(second.path)
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_of_this_node_has_it_no_longer(tmp_path):
    program = f"""
import os, pathlib
from llm_hoster.lease import Lease
assert Lease(pathlib.Path({str(tmp_path / "lock")!r})).take()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    lease = Lease(tmp_path / "lock")
    assert not is_held(lease.path)
    began = time.monotonic()
    lease.wait(lambda owner: None, poll_s=0.01)
    assert time.monotonic() - began < 1
    lease.release()


def test_a_later_process_with_the_same_id_is_another_one(tmp_path):
    write_owner(tmp_path / "lock", replace(Owner.here(), started="1"))
    assert not is_held(tmp_path / "lock")


def test_one_on_another_node_has_it_while_it_beats(tmp_path):
    path = tmp_path / "lock"
    write_owner(path, replace(Owner.here(), node="another", host="far"))
    lease, hosts = Lease(path, stale_s=0.5), []

    def beat(owner: Owner | None) -> None:
        hosts.append(owner.host if owner else None)
        if len(hosts) < 20:
            os.utime(path)

    lease.wait(beat, poll_s=0.05)
    assert len(hosts) >= 25 and set(hosts) == {"far"}
    lease.release()


def test_from_outside_one_on_another_node_is_believed_for_some_time(tmp_path):
    path = tmp_path / "lock"
    write_owner(path, replace(Owner.here(), node="another"))
    assert is_held(path)
    os.utime(path, (time.time() - CLOCKS_APART_S - 1,) * 2)
    assert not is_held(path)


def test_what_nobody_can_read_is_waited_for_and_then_taken(tmp_path):
    for text in ("", "{", "[]", '{"pid": 1}', json.dumps(asdict(Owner.here()) | {"pid": "1"})):
        (tmp_path / "lock").write_text(text)
        assert is_held(tmp_path / "lock")
        lease = Lease(tmp_path / "lock", stale_s=0.05)
        lease.wait(lambda owner: None, poll_s=0.01)
        lease.release()


def test_who_lost_it_is_told(tmp_path):
    lease = Lease(tmp_path / "lock", beat_s=0.05)
    assert lease.take()
    beaten = lease.path.stat().st_mtime_ns
    wait_until(lambda: lease.path.stat().st_mtime_ns > beaten)
    assert not lease.lost.is_set()
    write_owner(lease.path, replace(Owner.here(), node="another"))
    assert lease.lost.wait(5)
    lease.release()
    assert lease.path.exists()
