"""The cards, through OnDemand's own Markdown: what they say in each state, and that no value becomes markup."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.price import su_text
from tests.ood.renderer import render

HOSTILE = (
    "<script>alert(1)</script> **bold** [a](javascript:x) `c` \"'>\n\n# h\n\n| a | b |\n|---|---|\n www.example.org é"
)
SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
CONNECTION = {
    "host": "node1",
    "port": 40001,
    "base_url": "http://node1:40001/v1",
    "model": "qwen3-4b",
    "endpoint_file": "/home/jo o'neil/endpoint.json",
    "connect_path": "/rnode/node1/40001/login",
}
OUTCOME = {
    "reason": "The time limit was reached.",
    "started_at": 1,
    "ended_at": 2,
    "su_used": 3.14159,
    "su_estimate": 6.43,
    "log": None,
    "deciding_line": None,
}


class Page(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]


def view(app: Path, password: str = "p" * 32, **values: Any) -> tuple[str, Page]:
    card = base64.b64encode(json.dumps(CONNECTION | values).encode()).decode()
    connect = {"host": "node1", "port": 40001, "password": password, "card": card}
    answer = render(app / "view.html.erb", "view", connect, markdown=True)
    assert answer["error"] is None
    return answer["html"], Page(answer["html"])


def card(app: Path, name: str, staged_root: Path, *, completed: bool = False) -> Page:
    values = {"staged_root": str(staged_root), "completed": completed}
    answer = render(app / name, "session", values, markdown=True)
    assert answer["error"] is None
    return Page(answer["html"])


def stage(folder: Path, app: Path, **context: str) -> Path:
    catalogue = json.loads((app / "catalogue.json").read_text())
    chosen = {"model": "qwen3-4b", "gpu_type": "a100_80gb", "num_gpus": "2", "bc_num_hours": "4"} | context
    (folder / "session.json").write_text(json.dumps({"context": chosen, "catalogue": catalogue}))
    return folder


def test_connect_posts_the_password_in_a_new_tab_and_never_in_an_address(alpine_app: Path) -> None:
    text, page = view(alpine_app)
    form = next(attributes for tag, attributes in page.elements if tag == "form")
    assert (form["action"], form["method"], form["target"]) == ("/rnode/node1/40001/login", "post", "_blank")
    fields = [attributes for tag, attributes in page.elements if tag == "input"]
    assert (fields[0]["type"], fields[0]["name"], fields[0]["value"]) == ("hidden", "password", "p" * 32)
    assert text.count("p" * 32) == 1


def test_the_card_offers_the_address_the_model_and_the_endpoint_file_to_copy(alpine_app: Path) -> None:
    _, page = view(alpine_app)
    copied = [attributes["value"] for tag, attributes in page.elements if tag == "input" and "readonly" in attributes]
    assert copied == ["http://node1:40001/v1", "qwen3-4b", "/home/jo o'neil/endpoint.json"]
    assert "inside the cluster: from outside, the portal asks for a browser login first" in page.text


def test_the_view_is_one_block_without_a_blank_line(alpine_app: Path) -> None:
    text, page = view(alpine_app)
    assert text.startswith('<div class="llm-hoster">')
    assert text.rstrip().endswith("</div>")
    assert "\n\n" not in text.strip()
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_copy_buttons_are_hidden_until_script_runs_and_it_arrives_as_written(alpine_app: Path) -> None:
    text, page = view(alpine_app)
    buttons = [attributes for tag, attributes in page.elements if "data-llm-hoster-copy" in attributes]
    assert [(each["aria-label"], "hidden" in each) for each in buttons] == [
        ("Copy Base URL", True),
        ("Copy Model", True),
        ("Copy File with URL, model and key, for you alone", True),
    ]
    written = SCRIPT.findall((alpine_app / "view.html.erb").read_text())
    assert SCRIPT.findall(text) == written
    assert len(written) == 1


def test_hostile_values_of_the_connection_stay_text(alpine_app: Path) -> None:
    plain, plain_page = view(alpine_app)
    text, page = view(alpine_app, password=HOSTILE, **dict.fromkeys(CONNECTION, HOSTILE))
    assert page.tags() == plain_page.tags()
    assert SCRIPT.findall(text) == SCRIPT.findall(plain)
    values = [attributes["value"] for tag, attributes in page.elements if tag == "input"]
    assert values == [HOSTILE] * 4


@pytest.mark.parametrize("completed", [False, True])
def test_the_info_tells_model_gpus_and_price(alpine_app: Path, tmp_path: Path, completed: bool) -> None:
    page = card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app), completed=completed)
    assert "Qwen3 4B on 2 x NVIDIA A100 80 GB:" in page.text
    assert "at most 948.8 SU, which is 4 h at 237.2 SU per hour" in page.text
    assert ("Connect to the chat" in page.text) is not completed


@pytest.mark.parametrize(
    ("num_gpus", "preset", "place"),
    [
        ("2", "throughput", "Qwen3 4B on 2 x NVIDIA H200, 2 replicas, each on 1 GPU:"),
        ("2", "interactive", "Qwen3 4B on 2 x NVIDIA H200:"),
        ("1", "throughput", "Qwen3 4B on 1 x NVIDIA H200:"),
    ],
)
def test_the_info_tells_how_many_replicas_there_are(
    alpine_app: Path, tmp_path: Path, num_gpus: str, preset: str, place: str
) -> None:
    context = {"gpu_type": "h200", "num_gpus": num_gpus, "quantization": "none", "preset": preset}
    assert place in card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app, **context)).text


@pytest.mark.parametrize(
    ("context", "price"),
    [
        ({"gpu_type": "a100_3g.20gb", "num_gpus": "1", "bc_num_hours": "1"}, "6.4 SU, which is 1 h at 6.4 SU"),
        # Its ordinary QoS costs ten times as much.
        ({"gpu_type": "mi100", "num_gpus": "1", "bc_num_hours": "1"}, "118.6 SU, which is 1 h at 118.6 SU"),
        (
            {"gpu_type": "mi100", "num_gpus": "1", "bc_num_hours": "1", "qos": "gpu-testing"},
            "11.9 SU, which is 1 h at 11.9 SU",
        ),
        # As sessions were staged before there was a choice of the QoS.
        ({"num_gpus": "1", "bc_num_hours": "168"}, "19924.8 SU, which is 168 h at 118.6 SU"),
    ],
)
def test_the_info_prices_the_qos_that_was_chosen_or_that_the_hours_lead_to(
    alpine_app: Path, tmp_path: Path, context: dict[str, str], price: str
) -> None:
    staged = stage(tmp_path, alpine_app, **context)
    assert f"at most {price} per hour" in card(alpine_app, "info.md.erb", staged).text


def test_amounts_are_rounded_half_up_as_in_python(alpine_app: Path, tmp_path: Path) -> None:
    document = json.loads((stage(tmp_path, alpine_app) / "session.json").read_text())
    for rate in (0.05, 0.15, 0.25, 0.35, 1.005, 0.049999, 1e-06, 12345.65, 237.249999, 0.0):
        document["catalogue"]["offers"]["a100_80gb"]["2"]["qos"][0]["su_per_hour"] = rate
        (tmp_path / "session.json").write_text(json.dumps(document))
        text = card(alpine_app, "info.md.erb", tmp_path).text
        assert f"at most {su_text(rate, 4)} SU, which is 4 h at {su_text(rate)} SU per hour" in text


def test_the_info_names_a_model_that_was_typed_as_text(alpine_app: Path, tmp_path: Path) -> None:
    plain = card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app)).tags()
    page = card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app, model="other", typed_model=HOSTILE))
    assert page.tags() == plain
    assert f"{HOSTILE} on 2 x NVIDIA A100 80 GB" in page.text


def test_the_info_links_to_the_sites_help(alpine_app: Path, tmp_path: Path) -> None:
    page = card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app))
    links = [attributes for tag, attributes in page.elements if tag == "a"]
    address = "https://curc.readthedocs.io/"
    assert links == [{"href": address, "target": "_blank", "rel": "noopener"}]
    assert f"Help: {address}" in page.text


@pytest.mark.parametrize(
    ("address", "href"),
    [
        ("https://example.org/a_b_c?x=1&y=*2*#top", "https://example.org/a_b_c?x=1&y=*2*#top"),
        ('https://example.org/"><script>alert(1)</script>', 'https://example.org/"><script>alert(1)</script>'),
        ("javascript:alert(1)", None),
        ("x\nhttps://example.org", None),
        (None, None),
    ],
)
def test_nothing_but_an_address_of_the_web_becomes_a_link(
    alpine_app: Path, tmp_path: Path, address: str | None, href: str | None
) -> None:
    document = json.loads((stage(tmp_path, alpine_app) / "session.json").read_text())
    document["catalogue"]["site"]["support_url"] = address
    (tmp_path / "session.json").write_text(json.dumps(document))
    page = card(alpine_app, "info.md.erb", tmp_path)
    assert [attributes["href"] for tag, attributes in page.elements if tag == "a"] == ([href] if href else [])
    assert "script" not in page.tags()


def test_the_info_says_when_the_files_are_gone(alpine_app: Path, tmp_path: Path) -> None:
    assert "cannot be shown" in card(alpine_app, "info.md.erb", tmp_path / "gone").text


def test_a_hostile_title_stays_text_in_the_info(alpine_app: Path, tmp_path: Path) -> None:
    plain = card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app)).tags()
    document = json.loads((tmp_path / "session.json").read_text())
    for entry in document["catalogue"]["models"] + document["catalogue"]["gpu_types"]:
        entry["title"] = HOSTILE
    (tmp_path / "session.json").write_text(json.dumps(document))
    page = card(alpine_app, "info.md.erb", tmp_path)
    assert page.tags() == plain
    assert HOSTILE in page.text


def test_a_completed_card_tells_why_and_what_it_cost(alpine_app: Path, tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text(json.dumps(OUTCOME))
    page = card(alpine_app, "completed.md.erb", tmp_path, completed=True)
    assert "The time limit was reached." in page.text
    assert "3.14 SU of an estimated 6.43 SU" in page.text
    assert "Log" not in page.text


def test_a_session_that_never_began_names_no_estimate(alpine_app: Path, tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text(json.dumps(OUTCOME | {"su_used": 0, "su_estimate": None}))
    page = card(alpine_app, "completed.md.erb", tmp_path, completed=True)
    assert "Used: 0.00 SU." in page.text
    assert "estimated" not in page.text


def test_a_completed_card_shows_the_line_of_the_log_that_decided(alpine_app: Path, tmp_path: Path) -> None:
    outcome = OUTCOME | {"deciding_line": "ValueError: <b>no</b> memory", "log": "/tmp/a b/vllm.log"}
    (tmp_path / "outcome.json").write_text(json.dumps(outcome))
    page = card(alpine_app, "completed.md.erb", tmp_path, completed=True)
    assert "ValueError: <b>no</b> memory" in page.text
    assert "Log: /tmp/a b/vllm.log" in page.text


@pytest.mark.parametrize("content", [None, "", "{", "\x00"])
def test_a_completed_card_without_an_outcome_says_so(alpine_app: Path, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "outcome.json").write_text(content)
    assert "left no word" in card(alpine_app, "completed.md.erb", tmp_path, completed=True).text


def test_a_hostile_log_line_stays_text(alpine_app: Path, tmp_path: Path) -> None:
    values = {"reason": "r", "deciding_line": "d", "log": "l"}
    (tmp_path / "outcome.json").write_text(json.dumps(OUTCOME | values))
    plain = card(alpine_app, "completed.md.erb", tmp_path).tags()
    (tmp_path / "outcome.json").write_text(json.dumps(OUTCOME | dict.fromkeys(values, HOSTILE)))
    page = card(alpine_app, "completed.md.erb", tmp_path)
    assert page.tags() == plain
    assert page.text.count(HOSTILE) == 3


def test_a_log_line_with_broken_characters_is_still_shown(alpine_app: Path, tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text(json.dumps(OUTCOME | {"deciding_line": "broken \udcff byte"}))
    assert "broken" in card(alpine_app, "completed.md.erb", tmp_path).text


def test_the_three_cards_need_no_file_name_and_no_catalogue(alpine_app: Path, tmp_path: Path) -> None:
    for name in ("view.html.erb", "info.md.erb", "completed.md.erb"):
        shutil.copy(alpine_app / name, tmp_path / name)
        assert "__dir__" not in (tmp_path / name).read_text()
    view(tmp_path)
    card(tmp_path, "info.md.erb", tmp_path)
    card(tmp_path, "completed.md.erb", tmp_path)


def test_values_are_written_in_character_references(alpine_app: Path) -> None:
    text, _ = view(alpine_app, model="a<b>*c*")
    assert not re.search(r"a<b>", text)
    assert "a<b>*c*" in html.unescape(text)


SUCCESSOR = {
    "host": "node2",
    "port": 40002,
    "job_id": "12",
    "folder": "/staged-2",
    "connect_path": "/rnode/node2/40002/login",
    "base_url": "http://node2:40002/v1",
}


def ended(folder: Path, **files: Any) -> Path:
    """Lay out the files of a session that has ended."""
    for name, content in {"outcome": OUTCOME, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "secret").write_text("s" * 32)
    return folder


def test_the_info_prices_all_sessions_in_a_row(alpine_app: Path, tmp_path: Path) -> None:
    page = card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app, chain_length="2"))
    assert "at most 1897.6 SU, which is 2 x 4 h at 237.2 SU per hour" in page.text
    assert "first of 2 sessions in a row" in page.text
    alone = card(alpine_app, "info.md.erb", stage(tmp_path, alpine_app))
    assert "in a row" not in alone.text


def test_a_completed_card_opens_the_session_that_has_taken_over(alpine_app: Path, tmp_path: Path) -> None:
    folder = ended(tmp_path, successor=SUCCESSOR | {"folder": str(tmp_path / "next")})
    page = card(alpine_app, "completed.md.erb", folder, completed=True)
    form = next(attributes for tag, attributes in page.elements if tag == "form")
    assert (form["action"], form["method"], form["target"]) == ("/rnode/node2/40002/login", "post", "_blank")
    (field,) = [attributes for tag, attributes in page.elements if tag == "input"]
    assert (field["type"], field["name"], field["value"]) == ("hidden", "password", "s" * 32)
    assert "job 12" in page.text


def test_a_completed_card_says_that_the_next_session_waits_or_has_ended(alpine_app: Path, tmp_path: Path) -> None:
    waiting = {"job_id": "12", "folder": str(tmp_path / "next")}
    folder = ended(tmp_path, next=waiting)
    page = card(alpine_app, "completed.md.erb", folder, completed=True)
    assert "waits in the queue as job 12" in page.text
    (tmp_path / "next").mkdir()
    running = tmp_path / "next" / "outcome.json"
    running.write_text(json.dumps(OUTCOME | {"ended_at": None}))
    folder = ended(tmp_path, next=waiting, successor=SUCCESSOR | {"folder": str(tmp_path / "next")})
    assert "form" in card(alpine_app, "completed.md.erb", folder, completed=True).tags()
    # It would have written since then: somebody else may have its port.
    os.utime(running, (time.time() - 700, time.time() - 700))
    assert "form" not in card(alpine_app, "completed.md.erb", folder, completed=True).tags()
    running.write_text(json.dumps(OUTCOME | {"reason": "It was idle."}))
    folder = ended(tmp_path, next=waiting, successor=SUCCESSOR | {"folder": str(tmp_path / "next")})
    page = card(alpine_app, "completed.md.erb", folder, completed=True)
    assert "have ended too. The last one said: It was idle." in page.text
    # One after it in its turn.
    (tmp_path / "next" / "next.json").write_text(json.dumps({"job_id": "13", "folder": str(tmp_path / "third")}))
    page = card(alpine_app, "completed.md.erb", folder, completed=True)
    assert "waits in the queue as job 13" in page.text
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "called_off").write_text("The session was cancelled.")
    page = card(alpine_app, "completed.md.erb", folder, completed=True)
    assert "The last one said: The session was cancelled." in page.text
    assert "form" not in page.tags()


def test_hostile_values_of_the_next_session_stay_text(alpine_app: Path, tmp_path: Path) -> None:
    folder = ended(tmp_path, successor=SUCCESSOR | {"folder": str(tmp_path / "next")})
    plain = card(alpine_app, "completed.md.erb", folder).tags()
    folder = ended(tmp_path, successor=dict.fromkeys(SUCCESSOR, f"/{HOSTILE}"))
    (tmp_path / "secret").write_text(HOSTILE)
    page = card(alpine_app, "completed.md.erb", folder)
    assert page.tags() == plain
    assert next(attributes["action"] for tag, attributes in page.elements if tag == "form") == f"/{HOSTILE}"


@pytest.mark.parametrize("content", [[], "x", {"folder": None}, {}, 3])
def test_a_broken_file_of_the_row_breaks_no_card(alpine_app: Path, tmp_path: Path, content: Any) -> None:
    card(alpine_app, "completed.md.erb", ended(tmp_path, successor=content, next=content))
