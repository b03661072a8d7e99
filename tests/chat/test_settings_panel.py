"""Settings, presets and prompts, as forms and links."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.chat import shelf
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.language import LANGUAGES
from tests.chat.test_conversation_settings import VALUES
from tests.gateway.small_upstream import STREAM_HEAD, SmallUpstream
from tests.live_engine import wait_for
from tests.web_session import MakeClient, ready_state

HTMX = {"HX-Request": "true"}
A, B = "a" * 32, "b" * 32
SETTINGS = f"/chat/{A}/settings"
END = b'data: {"choices": [{"delta": {"content": "Yes"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
ANSWER = STREAM_HEAD + b"%x\r\n%s\r\n0\r\n\r\n" % (len(END), END)


def store_of(client: FlaskClient) -> ConversationStore:
    store: ConversationStore = client.application.extensions["llm_hoster"]["store"]
    return store


@pytest.fixture
def upstream(short_dir: Path) -> Iterator[SmallUpstream]:
    upstream = SmallUpstream(short_dir / "upstream.sock", ANSWER)
    yield upstream
    upstream.close()


@pytest.fixture
def client(make_client: MakeClient, upstream: SmallUpstream, short_dir: Path) -> FlaskClient:
    return make_client(engine=short_dir / "upstream.sock")


@pytest.fixture
def guest(client: FlaskClient, tmp_path: Path) -> FlaskClient:
    secret = KeyFolder(tmp_path / "data").create(ApiKey("key-1", "ada", "", created_at=time.time()))
    guest = client.application.test_client()
    assert guest.post("/login", data={"password": secret}).status_code == 303
    return guest


def text_of(client: FlaskClient, path: str, status: int = 200, **more: Any) -> str:
    answer = client.open(path, **more)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return unescape(answer.get_data(as_text=True))


def ask(client: FlaskClient, upstream: SmallUpstream, chat: str = A) -> dict[str, Any]:
    """Ask something, and give what the engine was asked."""
    number = len(upstream.requests)
    assert client.post(f"/chat/{chat}/messages", data={"message": "Is it?"}).status_code == 303
    wait_for(lambda: "message-stop" not in text_of(client, f"/chat/{chat}"), "the reply ends")
    (request,) = upstream.requests[number:]
    asked: dict[str, Any] = json.loads(request.partition(b"\r\n\r\n")[2])
    return asked


def titles(html: str) -> list[str]:
    return re.findall(r'<a href="/chat/[0-9a-f]{32}"[^>]*>(.*?)</a>', html)


def keep(client: FlaskClient, name: str, **fields: str) -> str:
    """Keep a preset and give its id."""
    assert client.post(f"{SETTINGS}/presets", data={"name": name, **fields}).status_code == 303
    return next(item.id for item in store_of(client).shelf.items("preset", "owner") if item.title == name.strip())


def test_settings_that_are_saved_before_the_first_message_are_there_with_it(
    client: FlaskClient, upstream: SmallUpstream
) -> None:
    written = {"system_prompt": " Be brief.\r\n", "temperature": "0,2", "stop": "END", "seed": ""}
    answer = client.post(SETTINGS, data=written)
    assert (answer.status_code, answer.location) == (303, f"/chat/{A}")
    page = text_of(client, f"/chat/{A}")
    assert "Settings: 3 changed" in page and "<title>New chat" in page
    # It stands in no list, and in no export, before it has a message.
    assert titles(page) == [] and A not in text_of(client, "/chats/export.json")

    asked = ask(client, upstream)
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it?"},
    ]
    assert (asked["temperature"], asked["stop"]) == (0.2, ["END"]) and "seed" not in asked
    assert titles(text_of(client, "/")) == ["Is it?"]
    assert A in text_of(client, "/chats/export.json")

    client.post(SETTINGS, data={"system_prompt": "", "temperature": "1", "stop": ""})
    asked = ask(client, upstream)
    assert asked["messages"][0]["role"] == "user" and asked["temperature"] == 1.0 and "stop" not in asked
    client.post(f"{SETTINGS}/reset")
    assert "temperature" not in ask(client, upstream)


def test_each_setting_reaches_the_engine(make_client: MakeClient, upstream: SmallUpstream, short_dir: Path) -> None:
    client = make_client(engine=short_dir / "upstream.sock")
    bare = ask(client, upstream, B)
    client.post(SETTINGS, data={name: written for name, (written, _, _) in VALUES.items()})
    asked = ask(client, upstream)
    expected = {key: value for _, _, request in VALUES.values() for key, value in request.items()}
    assert {key: asked[key] for key in asked.keys() - bare.keys()} == expected


def test_what_is_wrong_is_told_beside_its_field_and_nothing_is_saved(client: FlaskClient) -> None:
    written = {"temperature": "warm", "json_schema": "[", "system_prompt": "\nTwo\nlines"}
    for headers, status in (({}, 422), (HTMX, 200)):
        answer = client.post(SETTINGS, data=written, headers=headers)
        html = unescape(answer.get_data(as_text=True))
        assert answer.status_code == status
        assert "Expected a number from 0 to 2, or nothing; “warm” came." in html
        assert re.search(r'id="setting-temperature"[^>]* value="warm"[^>]* aria-invalid="true" autofocus', html)
        assert re.search(r'<p id="setting-json_schema-error" class="field-error">Expected JSON; ', html)
        assert re.search(r'<textarea id="setting-system_prompt"[^>]*>\n\nTwo\nlines</textarea>', html)
        assert 'aria-describedby="setting-temperature-hint setting-temperature-error"' in html
    assert answer.headers["HX-Retarget"] == "#panel-content"
    assert store_of(client).find_conversation(A, "owner") is None


def test_the_page_is_told_of_the_change_and_becomes_that_of_the_chat(client: FlaskClient) -> None:
    answer = client.post(SETTINGS, data={"seed": "7"}, headers=HTMX)
    html = answer.get_data(as_text=True)
    assert html.strip().startswith('<span id="settings-tool">') and "from your next question on" in html
    assert answer.headers["HX-Replace-Url"] == f"/chat/{A}"
    html = text_of(client, f"{SETTINGS}/reset", method="POST", headers=HTMX)
    assert '<span id="settings-tool" hx-swap-oob="true">' in html and "changed</a>" not in html


@pytest.mark.parametrize(
    ("parser", "offered"),
    [("", set()), ("qwen3", {"thinking"}), ("openai_gptoss", {"reasoning_effort"}), ("mistral", set())],
)
def test_thinking_is_offered_where_the_model_knows_it(make_client: MakeClient, parser: str, offered: set[str]) -> None:
    client = make_client(state=ready_state(model=ServedModel("tiny", "Tiny model", reasoning_parser=parser)))
    html = text_of(client, SETTINGS)
    assert set(re.findall(r'name="(thinking|reasoning_effort)"', html)) == offered


def test_a_setting_that_this_model_does_not_know_stays_for_another(client: FlaskClient) -> None:
    store_of(client).save_settings(A, "owner", {"thinking": False, "cut": "m1"})
    client.post(SETTINGS, data={"seed": "7"})
    assert store_of(client).settings_of(A, "owner") == {"thinking": False, "cut": "m1", "seed": 7}


def test_a_preset_is_kept_used_and_replaced_by_its_name(client: FlaskClient, upstream: SmallUpstream) -> None:
    client.post(SETTINGS, data={"temperature": "0.5"})
    # What is written counts and not what is saved; without fields, what is saved.
    keep(client, "  Precise\n", temperature="0.1", system_prompt="Be <exact>.")
    keep(client, "As it is")
    assert store_of(client).settings_of(A, "owner") == {"temperature": 0.5}
    precise = keep(client, "Precise", temperature="0")
    html = text_of(client, f"/chat/{B}/settings")
    assert re.findall(r"<li>\s*<span>(.*?)</span>", html) == ["As it is", "Precise"]

    client.post(f"/chat/{B}/settings/presets/{precise}/use")
    asked = ask(client, upstream, B)
    assert asked["temperature"] == 0.0
    # Of the former one of this name nothing is left.
    assert asked["messages"][0]["role"] == "user"
    assert "The preset has no name." in text_of(client, f"{SETTINGS}/presets", 400, method="POST", data={"name": " "})
    html = text_of(client, f"{SETTINGS}/presets", 422, method="POST", data={"name": "Odd", "seed": "x"})
    assert "Expected a whole number" in html and 'value="Odd"' in html


def test_new_chats_begin_with_the_preset_that_is_marked(client: FlaskClient, upstream: SmallUpstream) -> None:
    preset = keep(client, "Precise", temperature="0.1", system_prompt="Be exact.")
    other = keep(client, "Loose", temperature="1.5")
    for each in (preset, other, preset):
        client.post(f"{SETTINGS}/presets/{each}/mark")
    html = text_of(client, "/")
    assert "Settings: 2 changed" in html
    assert text_of(client, SETTINGS).count("for new chats</span>") == 1
    assert ask(client, upstream)["temperature"] == 0.1
    assert store_of(client).settings_of(A, "owner") == {"temperature": 0.1, "system_prompt": "Be exact."}

    # Who resets an empty chat has no preset in it.
    client.post(f"/chat/{B}/settings/reset")
    assert "temperature" not in ask(client, upstream, B)
    client.post(f"{SETTINGS}/presets/{preset}/mark")
    assert "changed</a>" not in text_of(client, "/")


def test_a_deleted_preset_comes_back_as_it_was(client: FlaskClient) -> None:
    preset = keep(client, "Precise", temperature="0.1")
    client.post(f"{SETTINGS}/presets/{preset}/mark")
    answer = client.post(f"{SETTINGS}/presets/{preset}/delete")
    html = text_of(client, answer.location)
    assert "Deleted: Precise" in html and "preset-use" not in html
    assert "changed</a>" not in text_of(client, "/")
    assert client.post(f"{SETTINGS}/presets/{preset}/use").status_code == 404
    assert client.post(f"{SETTINGS}/presets/{preset}/delete").status_code == 404
    (undo,) = re.findall(rf'action="({SETTINGS}/presets/\w+/restore)"', html)
    client.post(undo)
    assert "Precise" in text_of(client, SETTINGS) and "Settings: 1 changed" in text_of(client, "/")
    assert client.post(undo).status_code == 404


def test_there_is_an_end_of_presets(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "ITEMS_MAX", 2)
    first = keep(client, "One")
    keep(client, "Two")
    keep(client, "Two", seed="1")
    assert client.post(f"{SETTINGS}/presets", data={"name": "Three"}).status_code == 409
    client.post(f"{SETTINGS}/presets/{first}/delete")
    keep(client, "Three")


def test_a_guest_has_settings_presets_and_prompts_of_their_own(client: FlaskClient, guest: FlaskClient) -> None:
    client.post(SETTINGS, data={"system_prompt": "The owners."})
    preset = keep(client, "Owners preset")
    client.post(f"{SETTINGS}/presets/{preset}/mark")
    client.post("/prompts/", data={"title": "Owners prompt", "text": "Secret"})
    prompt = store_of(client).shelf.items("prompt", "owner")[0].id

    assert guest.post(SETTINGS, data={"seed": "1"}).status_code == 404
    for what in ("use", "mark", "delete", "restore"):
        assert guest.post(f"/chat/{B}/settings/presets/{preset}/{what}").status_code == 404, what
    for path in (f"/prompts/{prompt}", f"/prompts/{prompt}/edit"):
        assert guest.get(path).status_code == 404
    for path in (f"/prompts/{prompt}", f"/prompts/{prompt}/delete", f"/prompts/{prompt}/restore"):
        assert guest.post(path, data={"title": "Mine", "text": "Mine"}).status_code == 404, path
    for path in ("/", SETTINGS, f"/chat/{B}/settings", "/prompts/", "/prompts/menu"):
        assert "Owners" not in text_of(guest, path) and "The owners." not in text_of(guest, path), path

    # All of it works for the guest.
    assert guest.post(f"/chat/{B}/settings", data={"seed": "1"}).status_code == 303
    assert guest.post(f"/chat/{B}/settings/presets", data={"name": "Mine"}).status_code == 303
    assert guest.post("/prompts/", data={"title": "Mine", "text": "Mine"}).status_code == 303
    assert "Mine" in text_of(guest, "/prompts/menu") and "Mine" not in text_of(client, "/prompts/")
    assert [item.body for item in store_of(client).shelf.items("preset", "key-1")] == [{"seed": 1}]


@pytest.mark.parametrize("path", ["/chat/short/settings", f"/chat/{'é' * 32}/settings"])
def test_an_id_that_is_none_begins_no_chat(client: FlaskClient, path: str) -> None:
    assert client.post(path, data={"seed": "1"}).status_code == 404


# --- Prompts ---


def test_a_prompt_is_written_changed_deleted_and_back(client: FlaskClient) -> None:
    html = text_of(client, "/prompts/new", method="POST", data={"message": "\nTranslate {{text}}"})
    assert re.search(r"<textarea[^>]*>\nTranslate {{text}}</textarea>", html)
    text = "Translate {{text}} to {{ my language }}: {{text}} {{ }}"
    client.post("/prompts/", data={"title": "My <b>", "text": text})
    (item,) = store_of(client).shelf.items("prompt", "owner")
    answer = client.get("/prompts/").get_data(as_text=True)
    # One's own stand first, and are text.
    assert re.findall(r'class="prompt-title">(.*?)</span>', answer)[:2] == ["My &lt;b&gt;", "Explain this code"]
    html = text_of(client, f"/prompts/{item.id}")
    assert re.findall(r'data-fills="(.*?)"', html) == ["text", "my language"]
    assert '<span data-variable="my language">{{ my language }}</span>: <span' in html
    assert "</span> {{ }}" in html  # Nothing to ask for.

    client.post(f"/prompts/{item.id}", data={"title": "Other", "text": "No variables"})
    assert "No variables" in text_of(client, f"/prompts/{item.id}/edit")
    answer = client.post(f"/prompts/{item.id}/delete")
    html = text_of(client, answer.location)
    assert "Deleted: Other" in html and "No variables" not in html
    assert client.get(f"/prompts/{item.id}").status_code == 404
    client.post(re.findall(r'action="(/prompts/\w+/restore)"', html)[0])
    assert "No variables" in text_of(client, "/prompts/")


def test_what_is_missing_in_a_prompt_is_told_and_the_rest_stays(client: FlaskClient) -> None:
    html = text_of(client, "/prompts/", 422, method="POST", data={"title": " ", "text": "Still here"})
    assert "Expected a title; nothing came." in html and "Still here</textarea>" in html
    html = text_of(client, "/prompts/", method="POST", headers=HTMX, data={"title": "T", "text": "x" * 100_001})
    assert "Expected at most 100,000 characters; 100,001 came." in html
    assert store_of(client).shelf.items("prompt", "owner") == []


def test_the_prompts_of_the_app_ask_for_what_they_need_and_are_copied_to_be_changed(client: FlaskClient) -> None:
    html = text_of(client, "/prompts/")
    addresses = re.findall(r'data-prompt="(.*?)"', html)
    assert len(addresses) >= 8
    for address in addresses:
        assert "data-fills" in text_of(client, address), address
    html = text_of(client, "/prompts/slurm-script/edit")
    assert 'action="/prompts/"' in html and "Write a Slurm batch script" in html and "prompt-delete" not in html
    for what in ("", "/delete"):
        assert client.post(f"/prompts/slurm-script{what}", data={"title": "T", "text": "x"}).status_code == 404


def test_the_prompts_of_the_app_are_the_same_in_each_language(client: FlaskClient) -> None:
    found = {}
    for language in LANGUAGES:
        html = text_of(client, "/prompts/", headers={"Accept-Language": language})
        addresses = re.findall(r'data-prompt="(.*?)"', html)
        pages = [text_of(client, address, headers={"Accept-Language": language}) for address in addresses]
        found[language] = [(address, page.count("data-fills")) for address, page in zip(addresses, pages, strict=True)]
    assert found["de"] == found["en"]
    assert "Ein Slurm-Skript schreiben" in html and "Write a Slurm script" not in html


def test_a_disk_that_takes_nothing_is_told_in_a_sentence(client: FlaskClient) -> None:
    database = store_of(client).file.connection
    database.execute("PRAGMA query_only = ON")
    for path, data in ((SETTINGS, {"seed": "1"}), ("/prompts/", {"title": "T", "text": "x"})):
        assert "This could not be saved" in text_of(client, path, 507, method="POST", data=data)
    database.execute("PRAGMA query_only = OFF")
