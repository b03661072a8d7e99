"""The steps of the smoke test, in the order in which a person would take them; each returns what to say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from portal.demo_site import DemoSite
from portal.html_page import Form, HtmlPage
from portal.process import Process, descendants_of

NEW_FORM = "/pun/sys/dashboard/batch_connect/sys/llm_hoster/session_contexts/new"
SESSIONS = "/pun/sys/dashboard/batch_connect/sessions"
QUESTION = "Count to twenty."
ANSWER = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
API_QUESTION = "Say hello."
API_ANSWER = "Hello! I am the tiny model of LLM Hoster."
REQUEST_TIMEOUT_S = 60
CARD_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 600.0
END_TIMEOUT_S = 30.0


class SmokeError(Exception):
    """A step did not hold; the message is one sentence."""


class SmokeSteps:
    """A visitor with cookies and a password, who reads pages without a browser."""

    def __init__(self, site: DemoSite) -> None:
        self.site = site
        self.visitor = requests.Session()
        self.visitor.trust_env = False
        self.node_dir = site.node_dir
        self.runtime_folder: Path | None = None
        self.form: Form | None = None
        self.connect: Form | None = None
        self.job_id = ""
        self.processes: list[Process] = []
        self.chat_url = ""
        self.page = HtmlPage("")

    def open(self, url: str) -> HtmlPage:
        return self.read(self.visitor.get(urljoin(self.site.url, url), timeout=REQUEST_TIMEOUT_S))

    def send(self, form: Form, base: str, **more: str) -> requests.Response:
        """Send a form as a browser does, with the page's own values unless `more` has others."""
        url = urljoin(base, form.action)
        return self.visitor.request(form.method, url, data={**form.fields, **more}, timeout=REQUEST_TIMEOUT_S)

    def read(self, answer: requests.Response) -> HtmlPage:
        if not answer.ok:
            raise SmokeError(
                f"{answer.request.method} {answer.url} was answered with {answer.status_code}: {gist(answer)}"
            )
        return HtmlPage(answer.text)

    def log_in(self) -> str:
        stranger = self.visitor.get(self.site.url + SESSIONS, timeout=REQUEST_TIMEOUT_S)
        if stranger.status_code != 401:
            raise SmokeError(f"The portal let a stranger in: status {stranger.status_code}.")
        self.visitor.auth = (self.site.user, self.site.password)
        self.open("/")
        return "a stranger gets 401, the user the dashboard"

    def open_form(self) -> str:
        page = self.open(NEW_FORM)
        self.form = next((form for form in page.forms if form.id == "new_batch_connect_session_context"), None)
        if self.form is None:
            raise SmokeError(f"The form's page has no form: {' '.join(page.text_of('pre'))}")
        chosen = {name[30:-1]: value for name, value in self.form.fields.items() if name.startswith("batch_connect_")}
        return ", ".join(f"{name} {value}" for name, value in chosen.items() if value)

    def launch(self) -> str:
        assert self.form is not None  # noqa: S101 - the step before
        page = self.read(self.send(self.form, self.site.url))
        if page.text_of("pre"):
            raise SmokeError(f"The launch was refused: {' '.join(page.text_of('pre'))}")
        self.job_id = (page.text_of("card-text") or ["", ""])[1].strip("()")
        return f"job {self.job_id}"

    def wait_for_card(self) -> str:
        """Wait for Connect on the card."""
        deadline = time.monotonic() + CARD_TIMEOUT_S
        while time.monotonic() < deadline:
            page = self.open(SESSIONS)
            self.connect = page.find_form("node/")
            if self.connect is not None:
                return "Running, with a Connect button"
            state = " ".join(page.text_of("session-state"))
            if state not in {"Queued", "Starting"} or page.text_of("pre"):
                raise SmokeError(f"The card says {state}, without a Connect button. {' '.join(page.text_of('pre'))}")
            time.sleep(0.2)
        raise SmokeError(f"The card had no Connect button after {CARD_TIMEOUT_S:.0f} s.")

    def log_in_to_session(self) -> str:
        """Post the card's own form."""
        assert self.connect is not None  # noqa: S101 - the step before
        runner = self.site.jobs.process(self.job_id)
        self.processes = descendants_of(runner.pid) if runner else []
        self.runtime_folder = self.find_runtime_folder(self.connect.action)
        answer = self.send(self.connect, self.site.url)
        self.page = self.read(answer)
        self.chat_url = answer.url
        return answer.url

    def find_runtime_folder(self, connect_path: str) -> Path:
        """Return the session's node-local folder, the one whose settings name the port of the Connect button.

        They also name a folder of this site, since a session that was killed may have left one with the same port.
        """
        port = connect_path.partition("node/")[2].split("/")[1]
        for folder in map(Path, runtime_folders(self.node_dir)):
            settings = settings_of(folder)
            is_ours = Path(settings.get("staged_root", "")).is_relative_to(self.site.folder)
            if is_ours and str(settings.get("port")) == port:
                return folder
        raise SmokeError(f"No session's folder in {self.node_dir} names port {port}.")

    def wait_until_ready(self) -> str:
        seen: list[str] = []
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self.page.find_form("/messages") is None:
            if time.monotonic() > deadline:
                raise SmokeError(f"The model was not ready after {READY_TIMEOUT_S:.0f} s.")
            if any("failed" in values.get("class", "").split() for tag, values in self.page.tags if tag == "section"):
                said = " ".join(text for _, text in self.page.texts)
                raise SmokeError(said[said.find("The engine has failed") :][:800])
            seen = self.page.text_of("step-title") or seen
            time.sleep(0.3)
            self.page = self.open(self.chat_url)
        return f"steps seen: {', '.join(seen) or 'none'}"

    def chat(self) -> str:
        """Send a message as the page's script does, and read the reply's own stream."""
        composer = self.page.find_form("/messages")
        assert composer is not None  # noqa: S101 - the step before
        began = time.monotonic()
        pieces: list[str] = []
        first_s = 0.0
        for name, data in self.read_events(composer):
            if name == "text":
                first_s = first_s or time.monotonic() - began
                pieces.append(data)
            elif name == "done":
                break
        text = "".join(pieces).strip()
        if text != ANSWER:
            raise SmokeError(f"The reply to «{QUESTION}» was «{text}».")
        if len(pieces) < 3:
            raise SmokeError(f"The reply came in {len(pieces)} piece(s), so it was not streamed.")
        return f"«{text[:13]} ... {text[-6:]}» in {len(pieces)} pieces, the first after {first_s:.2f} s"

    def read_events(self, composer: Form) -> Iterator[tuple[str, str]]:
        """Send the question; yield each server-sent event of the answer: its name, and its data when that is a text."""
        name = ""
        with self.visitor.request(
            composer.method,
            urljoin(self.chat_url, composer.action),
            data={**composer.fields, "message": QUESTION},
            headers={"Accept": "text/event-stream"},
            stream=True,
            timeout=REQUEST_TIMEOUT_S,
        ) as answer:
            if not answer.ok:
                raise SmokeError(f"The message was answered with {answer.status_code}: {gist(answer)}")
            for line in answer.iter_lines(chunk_size=None, decode_unicode=True):
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                    yield name, data if isinstance(data, str) else ""

    def call_api(self) -> str:
        """Ask base_url directly, as a script on the cluster does, with the key from the page."""
        panel = self.open(urljoin(self.chat_url, "connect"))
        url, key, model = (panel.inputs.get(name, "") for name in ("base-url", "api-key", "served-model-name"))
        if not (url and key and model):
            raise SmokeError("The Connect panel lacks the base URL, the key or the model.")
        body = {"model": model, "messages": [{"role": "user", "content": API_QUESTION}], "temperature": 0}
        script = requests.Session()
        script.trust_env = False
        address = f"{url}/chat/completions"
        refused = script.post(address, json=body, timeout=REQUEST_TIMEOUT_S)
        if refused.status_code != 401:
            raise SmokeError(f"The API answered {refused.status_code} without a key, not 401.")
        bearer = {"Authorization": f"Bearer {key}"}
        answer = script.post(address, json=body, headers=bearer, timeout=REQUEST_TIMEOUT_S)
        if not answer.ok:
            raise SmokeError(f"The API answered {answer.status_code}: {gist(answer)}")
        text = answer.json()["choices"][0]["message"]["content"]
        if text != API_ANSWER:
            raise SmokeError(f"The API's reply to «{API_QUESTION}» was «{text}».")
        return f"{url} says «{text}»"

    def delete(self) -> str:
        runner = self.site.jobs.process(self.job_id)
        self.processes += descendants_of(runner.pid) if runner else []
        form = next((form for form in self.open(SESSIONS).forms if form.fields.get("_method") == "delete"), None)
        if form is None:
            raise SmokeError("The card has no Delete button.")
        self.read(self.send(form, self.site.url))
        return "the card is gone"

    def find_nothing_left(self) -> str:
        deadline = time.monotonic() + END_TIMEOUT_S
        while True:
            alive = [process.pid for process in self.processes if process.alive]
            folder = self.runtime_folder if self.runtime_folder and self.runtime_folder.exists() else None
            running = self.site.jobs.info(self.job_id).state == "running"
            if not (alive or folder or running):
                return (
                    f"all {len({process.pid for process in self.processes})} processes and the runtime folder are gone"
                )
            if time.monotonic() > deadline:
                raise SmokeError(f"After {END_TIMEOUT_S:.0f} s there were left: processes {alive}, folder {folder}.")
            time.sleep(0.1)


def runtime_folders(node_dir: Path = Path("/tmp")) -> set[str]:  # noqa: S108 - where the demo's sessions live
    """Return the node-local folders of all sessions on this machine."""
    return {str(path) for path in node_dir.glob("llmh-*")}


def settings_of(runtime_folder: Path) -> dict[str, Any]:
    """Return a session's settings; nothing for one of another user or one that has just ended."""
    try:
        settings: dict[str, Any] = json.loads((runtime_folder / "settings.json").read_text())
    except (OSError, ValueError):
        return {}
    return settings


def gist(answer: requests.Response) -> str:
    """Return a short part of what an answer says, for a sentence."""
    texts = [text for place, text in HtmlPage(answer.text).texts if place not in {"style", "title"}]
    return " ".join(texts)[:300]
