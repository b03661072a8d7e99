"""The folders of a session, its port, and how many files it may open."""

import os
import resource
import socket
import stat
from pathlib import Path

import pytest

from llm_hoster.engine.process.file_limit import raise_file_limit
from llm_hoster.engine.process.folders import RUNTIME_DIR_LIMIT, make_cache_dir, make_data_dir, runtime_dir_in
from llm_hoster.engine.process.port import bind_port
from llm_hoster.errors import SessionError


def test_a_runtime_dir_is_private_and_short_enough_for_sockets(short_dir):
    with runtime_dir_in(short_dir) as path:
        assert len(str(path)) <= RUNTIME_DIR_LIMIT
        assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path / "t")] == [0o700, 0o700]
    assert list(short_dir.iterdir()) == []


def test_a_runtime_dir_is_removed_when_the_session_does_not_come_to_run(short_dir):
    with pytest.raises(SessionError), runtime_dir_in(short_dir):
        raise SessionError("no")
    assert list(short_dir.iterdir()) == []


def test_a_long_node_dir_is_refused_with_the_reason():
    with pytest.raises(SessionError, match="too long for node_dir"), runtime_dir_in(Path("/tmp") / ("x" * 30)):
        pass


LASTING = [pytest.param(make_cache_dir, "cache_dir", id="cache"), pytest.param(make_data_dir, "data_dir", id="data")]


@pytest.mark.parametrize(("make", "setting"), LASTING)
def test_a_lasting_folder_is_made_for_its_owner_alone_and_left_empty(tmp_path, make, setting):
    path = make(tmp_path / "with space" / "folder")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert list(path.iterdir()) == []


@pytest.mark.parametrize(("make", "setting"), LASTING)
def test_a_lasting_folder_that_cannot_be_made_names_the_setting(tmp_path, make, setting):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match=f"{setting} of site.yml cannot be written on this node"):
        make(tmp_path / "file" / "folder")


@pytest.mark.parametrize(("make", "setting"), LASTING)
def test_a_lasting_folder_that_is_there_but_takes_no_file_names_the_setting(make, setting):
    """/proc/self is a folder in which not even root can make a file."""
    with pytest.raises(SessionError, match=f"{setting} of site.yml cannot be written on this node"):
        make(Path("/proc/self"))


def test_the_limit_of_open_files_is_raised_as_far_as_allowed():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 400), hard))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 65_536), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
