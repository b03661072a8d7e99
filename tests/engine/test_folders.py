import os
import socket
import stat
from pathlib import Path

import pytest

from llm_hoster.engine.folders import RUNTIME_DIR_LIMIT, make_cache_dir, make_runtime_dir
from llm_hoster.engine.port import bind_port
from llm_hoster.errors import SessionError


def test_a_runtime_dir_is_private_and_short_enough_for_sockets(short_dir):
    path = make_runtime_dir(short_dir)
    assert len(str(path)) <= RUNTIME_DIR_LIMIT
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path / "t")] == [0o700, 0o700]


def test_a_long_node_dir_is_refused_with_the_reason():
    with pytest.raises(SessionError, match="too long for node_dir"):
        make_runtime_dir(Path("/tmp") / ("x" * 30))


def test_a_cache_dir_is_made_for_its_owner_alone(tmp_path):
    path = make_cache_dir(tmp_path / "with space" / "cache")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_cache_dir_that_cannot_be_made_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="cannot be made on this node"):
        make_cache_dir(tmp_path / "file" / "cache")


def test_a_taken_port_of_the_range_is_passed_over():
    with bind_port(None) as first:
        taken = first.getsockname()[1]
        with bind_port((taken, taken + 20)) as second:
            assert taken < second.getsockname()[1] <= taken + 20


def test_a_range_without_a_free_port_is_a_sentence():
    with bind_port(None) as first:
        taken = first.getsockname()[1]
        with pytest.raises(SessionError, match=f"All ports from {taken} to {taken}"):
            bind_port((taken, taken))


def test_nobody_can_bind_our_port_beside_us():
    with bind_port(None) as first, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match=os.strerror(98)):
            other.bind(("127.0.0.1", first.getsockname()[1]))
