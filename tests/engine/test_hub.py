"""Small files of a model: where the cache has them, and what is asked of the hub with which login."""

from __future__ import annotations

import os
import threading
import time

import pytest

from llm_hoster.errors import ArchitectureError
from llm_hoster.hub import Hub, Request
from tests.engine.conftest import wait_until
from tests.engine.small_hub import small_hub

PATH = "/org/model/resolve/main/config.json"
TOKEN = "hf_" + "t" * 30


@pytest.fixture
def make_hub(tmp_path):
    return lambda **environment: Hub.from_environment({"HF_HOME": str(tmp_path / "hf")} | environment)


def fetch(hub, *, bytes_max=1000, timeout_s=5.0):
    return hub.fetch("org/model", "config.json", bytes_max=bytes_max, timeout_s=timeout_s)


def test_a_file_is_asked_of_the_endpoint_of_the_environment_with_the_login(make_hub):
    with small_hub() as server:
        server.files[PATH] = b"{}"
        assert fetch(make_hub(HF_ENDPOINT=server.address + "/", HF_TOKEN=f" {TOKEN}\n")) == b"{}"
        assert server.asked == [(PATH, f"Bearer {TOKEN}")]


def test_the_login_does_not_follow_to_another_host(make_hub):
    with small_hub() as server, small_hub("127.0.0.2") as other:
        server.files[PATH] = other.address + "/elsewhere"
        other.files["/elsewhere"] = b"{}"
        assert fetch(make_hub(HF_ENDPOINT=server.address, HF_TOKEN=TOKEN)) == b"{}"
        assert other.asked == [("/elsewhere", None)]


def test_a_login_of_the_netrc_is_not_sent(make_hub, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login ann password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with small_hub() as server:
        server.files[PATH] = b"{}"
        fetch(make_hub(HF_ENDPOINT=server.address))
        assert server.asked == [(PATH, None)]


def test_the_login_stays_here_when_nobody_wants_it_sent(make_hub):
    with small_hub() as server:
        server.files[PATH] = b"{}"
        hub = make_hub(HF_ENDPOINT=server.address, HF_TOKEN=TOKEN)
        hub.ask(Request("org/model", "config.json", 10, 5.0, with_login=False))
        assert server.asked == [(PATH, None)]


def test_an_answer_holds_status_and_beginning_and_the_whole_size(make_hub):
    path = "/org/model/resolve/abc/x"
    with small_hub() as server:
        server.files = {path: b"x" * 10**6, "/org/model/resolve/main/x": 403}
        hub = make_hub(HF_ENDPOINT=server.address)
        for bytes_max in (8, 10**5):
            answer = hub.ask(Request("org/model", "x", bytes_max, 5.0, revision="abc"))
            assert (answer.status, answer.content, answer.total) == (200, b"x" * bytes_max, 10**6)
        assert hub.ask(Request("org/model", "x", 8, 5.0)).status == 403


def test_a_large_file_is_put_together_in_little_time(make_hub):
    """Each piece copied with all before it would take minutes of a processor."""
    with small_hub() as server:
        server.files[PATH] = b"x" * (96 * 2**20)
        began = time.process_time()
        assert len(fetch(make_hub(HF_ENDPOINT=server.address), bytes_max=128 * 2**20, timeout_s=30.0)) == 96 * 2**20
        assert time.process_time() - began < 3


def test_a_pipe_in_the_place_of_the_login_is_not_waited_for(make_hub, tmp_path):
    os.mkfifo(tmp_path / "login")
    assert make_hub(HF_TOKEN_PATH=str(tmp_path / "login")).token is None


@pytest.mark.parametrize(
    ("environment", "token"),
    [
        ({}, "of HF_HOME"),
        ({"HF_TOKEN_PATH": "{folder}/login"}, "of the login"),
        ({"HUGGING_FACE_HUB_TOKEN": "old"}, "old"),
        ({"HUGGING_FACE_HUB_TOKEN": "old", "HF_TOKEN": "new"}, "new"),
        ({"HF_TOKEN": "new", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, None),
        ({"HF_TOKEN_PATH": "{folder}/nowhere"}, None),
    ],
)
def test_the_token_is_the_one_that_vllm_takes(make_hub, tmp_path, environment, token):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("of HF_HOME\n")
    (tmp_path / "login").write_text("of the login\n")
    hub = make_hub(**{name: value.format(folder=tmp_path) for name, value in environment.items()})
    assert hub.token == token
    assert token is None or token not in repr(hub)


@pytest.mark.parametrize(
    ("environment", "is_offline"),
    [
        ({}, False),
        ({"HF_HUB_OFFLINE": "1"}, True),
        ({"TRANSFORMERS_OFFLINE": "yes"}, True),
        ({"HF_HUB_OFFLINE": "0"}, False),
    ],
)
def test_offline_is_what_vllm_takes_for_it(make_hub, environment, is_offline):
    assert make_hub(**environment).is_offline is is_offline


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(401, r"http://127\.0\.0\.1:\d+: it answered with status 401", id="no login"),
        pytest.param(b"x" * 2**20, "it is larger than 0 MiB", id="too large"),
        pytest.param("ftp://127.0.0.1/x", r"the connection failed \(InvalidSchema\)", id="another protocol"),
        pytest.param(PATH, r"the connection failed \(TooManyRedirects\)", id="round and round"),
    ],
)
def test_an_answer_that_is_none_is_told(make_hub, answer, sentence):
    with small_hub() as server:
        server.files[PATH] = answer
        with pytest.raises(ArchitectureError, match=r"config\.json of org/model cannot be had from .*" + sentence):
            fetch(make_hub(HF_ENDPOINT=server.address, HF_TOKEN=TOKEN))


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1", "nonsense", "http://", "http://[", "http://u:secret@127.0.0.1:1"]
)
def test_an_endpoint_that_does_not_answer_is_told_without_its_login(make_hub, endpoint):
    with pytest.raises(ArchitectureError, match="the connection failed") as error:
        fetch(make_hub(HF_ENDPOINT=endpoint))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("wait_s", [0.1, 30.0])
def test_a_slow_hub_is_waited_for_in_all_no_longer_than_allowed(make_hub, wait_s):
    """Each piece in time, and yet never ready: a limit for each reading would not do."""
    with small_hub() as server:
        server.files[PATH] = wait_s
        began = time.monotonic()
        with pytest.raises(ArchitectureError, match="cannot be had"):
            fetch(make_hub(HF_ENDPOINT=server.address), bytes_max=10**9, timeout_s=1.0)
        assert time.monotonic() - began < 2.5
        if wait_s < 1:
            wait_until(lambda: "hub" not in {thread.name for thread in threading.enumerate()}, timeout_s=2)
