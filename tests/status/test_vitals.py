"""The figures beside the chat: what they say, to whom, and that no page waits for them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.engine.record.successor import Successor
from llm_hoster.settings import WebSettings
from llm_hoster.status.clock import hour
from llm_hoster.status.gauges import EngineGauges, Gauges
from llm_hoster.status.gpu import Gpu
from llm_hoster.status.page import session_facts
from llm_hoster.status.vitals import Others, vitals_of
from llm_hoster.usage.record import RequestRecord
from tests.web_session import PASSWORD, MakeClient, ready_state

BUSY = EngineGauges(2, 1, 1234.4, 50.0, 0.125, None)
GPUS = (Gpu("T0 <b>", 90, 8 * 2**30, 80 * 2**30, 61, 312.5), Gpu("T1 MIG", None, 2**30, 5 * 2**30, None, None))


@pytest.fixture
def owner(make_client: MakeClient, recorded_engine: Path) -> FlaskClient:
    """A job that has come to its end: two hours at 100 SU."""
    return make_client(engine=recorded_engine, started_at=0.0, ends_at=7200.0, su_per_hour=100.0)


@pytest.fixture
def guest(owner: FlaskClient, tmp_path: Path) -> FlaskClient:
    secret = KeyFolder(tmp_path / "data").create(ApiKey("key-ada", "Ada", "", created_at=time.time()))
    client = owner.application.test_client()
    assert client.post("/login", data={"password": secret}).status_code == 303
    return client


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def settings_of(client: FlaskClient) -> WebSettings:
    settings: WebSettings = client.application.extensions["llm_hoster"]["settings"]
    return settings


def ask(client: FlaskClient, key_id: str, name: str, route: str = "/v1/chat/completions") -> None:
    recorder = client.application.extensions["llm_hoster"]["recorder"]
    recorder.begin(RequestRecord(time.time(), "r", key_id, name, "tiny", route, True, "")).settle(200)


def test_the_figures_are_those_of_the_moment(owner: FlaskClient) -> None:
    text = words(owner.get("/vitals").text)

    for part in ("KV cache 12 %", "200.0 SU", "Also on nobody else", "KV cache 12 % full", "2 running, 1 waiting"):
        assert part in text


def test_a_page_shows_what_was_read_before_and_waits_for_nothing(owner: FlaskClient) -> None:
    assert "KV cache \N{EN DASH} not known" in words(owner.get("/").text)
    owner.get("/vitals")
    assert "KV cache 12 %" in words(owner.get("/").text)


def test_the_rows_are_the_same_before_anything_is_known(owner: FlaskClient) -> None:
    unknown = owner.get("/").text.partition('id="vitals"')[2].partition("</dl>")[0]
    known = owner.get("/vitals").text.partition("</dl>")[0]
    assert known.count("<dt>") == unknown.count("<dt>") == 5
    assert known.count("<meter") == unknown.count("<meter") == 2


@pytest.mark.parametrize(("gpus", "mean"), [(GPUS, 0.9), (GPUS[1:], None), ((), None)])
def test_the_use_of_gpus_is_the_mean_of_those_that_tell_it(gpus: tuple[Gpu, ...], mean: float | None) -> None:
    assert vitals_of(Gauges(None, gpus), Others(0)).gpu_use == mean


def test_each_gpu_and_the_speed_are_told(owner: FlaskClient) -> None:
    with owner.application.test_request_context():
        text = words(
            owner.application.jinja_env.get_template("status/_vitals.html").render(
                vitals=vitals_of(Gauges(BUSY, GPUS), Others(0)), is_refresh=True, url_for=lambda name: "/vitals",
                engine_state=ready_state, session_facts=lambda state: session_facts(settings_of(owner), state, 0.0),
                hour=hour, is_owner=lambda: True, recent_minutes=5,
            )
        )  # fmt: skip
    for part in ("GPU 90 %", "Writing 1,234 tokens/s", "GPU 0 90 % busy, 8.0 of 80 GiB of memory",
                 "GPU 1 1.0 of 5 GiB of memory", "1,234 tokens/s written, 50 read"):  # fmt: skip
        assert part in text, part


def test_the_owner_reads_who_is_on_and_a_guest_how_many(owner: FlaskClient, guest: FlaskClient) -> None:
    ask(owner, "owner", "owner")
    ask(owner, "key-ada", "Ada")
    ask(owner, "key-ben", "<b>Ben</b>")

    text = words(owner.get("/vitals").text)
    assert "Also on &lt;b&gt;Ben&lt;/b&gt;, Ada, your scripts" in text
    panel = words(owner.get("/engine").text)
    assert "Also on &lt;b&gt;Ben" in panel
    assert "Others have asked something in the last 5 minutes: &lt;b&gt;Ben&lt;/b&gt;, Ada." in panel
    for page in (guest.get("/vitals").text, guest.get("/").text):
        assert "Also on 2 people" in words(page)
        for hidden in ("Ben", "your scripts", "SU"):
            assert hidden not in words(page)


def test_strangers_see_no_figures(make_client: MakeClient) -> None:
    assert make_client(is_logged_in=False).get("/vitals").status_code == 401


@pytest.mark.parametrize("left_s", [800, 50])
def test_a_warning_says_that_the_chats_come_along(make_client: MakeClient, left_s: int) -> None:
    page = make_client(ends_at=time.time() + left_s).get("/").text
    assert "Your conversations are kept: launch again, and the next session has them all." in page


def test_the_next_session_opens_the_chat_from_which_one_comes(make_client: MakeClient, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSWORD)
    client = make_client(state=ready_state(successor=Successor("h", 1, "rnode", "tiny", "Tiny", "2", "/staged-2")))
    headers = {"X-Forwarded-Host": "portal.example.org"}

    def fields(referrer: str) -> list[str]:
        page = client.get("/next-session", headers=headers | {"Referer": referrer}).text
        return re.findall(r'name="chat" value="([^"]*)"', page)

    base = "https://portal.example.org/rnode/c3gpu-a1.example.org/8080"
    assert fields(f"{base}/chat/{'a' * 32}") == ["a" * 32]
    assert fields(f"{base}/") == fields(f"{base}/chat/{'A' * 32}") == fields("") == []
