"""What a browser does with a session's page, without a browser; and how an answer is judged."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import requests

from soak.session import SoakSession
from tests.chat.test_live_chat import read_events

# refused: 503 or 502 that says when to ask again. cut: a stream whose last event is an error. broken: the connection
# ended. wrong: anything else.
Outcome = Literal["whole", "refused", "cut", "broken", "wrong"]
Answer = tuple[Outcome, str]

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Shown:
    """A reply that the page has shown as done."""

    message_id: str
    text: str


class Page:
    def __init__(self, session: SoakSession) -> None:
        self.shown: list[Shown] = []
        self._url = f"http://127.0.0.1:{session.wait_for_port()}"
        self._secret = (session.staged_root / "secret").read_text()
        self._browser = requests.Session()

    def look(self, path: str) -> Answer:
        self._log_in()
        answer = self._browser.get(self._url + path, timeout=TIMEOUT_S)
        return ("whole", "") if answer.status_code in (200, 204) else judge_refusal(answer)

    def chat(self, question: str, on_done: Callable[[], None] = lambda: None) -> Answer:
        """Ask in a new conversation and follow the reply; `on_done` is called when it is shown as done."""
        self._log_in()
        headers = {"Accept": "text/event-stream"}
        address = f"{self._url}/chat/{uuid.uuid4().hex}/messages"
        with self._browser.post(
            address, data={"message": question}, headers=headers, stream=True, timeout=TIMEOUT_S
        ) as answer:
            if answer.status_code != 200:
                return judge_refusal(answer)
            message_id, text = "", ""
            for name, data in read_events(answer):
                if name == "turn":
                    found = re.search(r'id="message-(\w+)" class="message message-assistant"', data["html"])
                    message_id = found[1] if found else ""
                elif name == "text":
                    text += data
                elif name == "done" and data["state"] == "done":
                    on_done()
                    self.shown.append(Shown(message_id, text))
                    return "whole", ""
                elif name == "done":
                    return "cut", re.sub(r"<[^>]*>|\s+", " ", data["html"])[-200:]
        return "broken", "the events ended without an end"

    def _log_in(self) -> None:
        if not self._browser.cookies:
            answer = self._browser.post(f"{self._url}/login", data={"password": self._secret}, timeout=TIMEOUT_S)
            answer.raise_for_status()


def judge_refusal(answer: requests.Response) -> Answer:
    said = f"{answer.status_code} {answer.text}"
    is_clear = answer.status_code in (502, 503) and answer.headers.get("Retry-After", "").isdecimal()
    return "refused" if is_clear else "wrong", said
