"""Those who use a session: programs and a page, each a thread that tells of every request how it ended."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from soak.page import TIMEOUT_S, Answer, Outcome, Page, Shown, judge_refusal
from soak.session import SoakSession

GREETING = "Hello! I am the tiny model of LLM Hoster."
QUESTIONS = ("Say hello.", "Count to twenty.", "Show me markdown.", "Think, then answer.", "Write for a long time.")
PAGES = ("/", "/session", "/status", "/engine", "/gauges", "/connect", "/healthz")
FIGURES = ("/status.json", "/metrics", "/v1/models")
# Between two requests of one client: two cores serve all of them, and vLLM.
PAUSE_S = (0.2, 1.5)

# A client asks with the connections and the dice of its own.
Ask = Callable[[requests.Session, random.Random], Answer]


@dataclass(frozen=True)
class Result:
    """Times are those of time.monotonic."""

    client: str
    began: float
    ended: float
    outcome: Outcome
    detail: str = ""


class Clients:
    """All of them; they ask only while `gate` is open."""

    def __init__(self, session: SoakSession, seed: int) -> None:
        self.results: list[Result] = []
        self._url = f"http://127.0.0.1:{session.wait_for_port()}"
        endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
        self._model = endpoint["model"]
        self._key = {"Authorization": f"Bearer {endpoint['api_key']}"}
        self._gate = threading.Event()
        self._busy = 0
        self._lock = threading.Lock()
        self._has_ended = False
        self._pages = [Page(session) for _ in range(3)]
        looking, *talking = self._pages
        kinds: dict[str, Ask] = {"plain": self._plain, "stream": self._stream, "stream 2": self._stream}
        kinds |= {"figures": self._figures, "pages": lambda _, dice: looking.look(dice.choice(PAGES))}
        kinds |= {"chat": _chat_on(talking[0]), "chat 2": _chat_on(talking[1])}
        self._threads = [
            threading.Thread(target=self._work, args=(name, ask, random.Random(f"{seed} {name}")), daemon=True)  # noqa: S311
            for name, ask in kinds.items()
        ]
        for thread in self._threads:
            thread.start()

    @property
    def shown(self) -> list[Shown]:
        return [shown for page in self._pages for shown in page.shown]

    def go_on(self) -> None:
        self._gate.set()

    def pause(self) -> None:
        """Returns when the last request has ended."""
        self._gate.clear()
        while self._busy:
            time.sleep(0.05)

    def end(self) -> None:
        self._has_ended = True
        self._gate.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_S)

    def _work(self, name: str, ask: Ask, dice: random.Random) -> None:
        browser = requests.Session()
        while not self._has_ended:
            self._gate.wait()
            with self._lock:
                self._busy += 1
            began = time.monotonic()
            try:
                outcome, detail = ask(browser, dice)
            except requests.RequestException as error:
                outcome, detail = "broken", f"{type(error).__name__}: {error}"
            except Exception as error:  # A client that ends would leave the rest of the soak without load.
                outcome, detail = "wrong", f"{type(error).__name__}: {error}"
            self.results.append(Result(name.removesuffix(" 2"), began, time.monotonic(), outcome, detail[:300]))
            with self._lock:
                self._busy -= 1
            time.sleep(dice.uniform(*PAUSE_S))

    # --- What they ask ---

    def _plain(self, browser: requests.Session, dice: random.Random) -> Answer:
        answer = self._complete(browser, {"temperature": 0}, "Say hello.")
        if answer.status_code != 200:
            return judge_refusal(answer)
        said = answer.json()["choices"][0]["message"]["content"]
        return ("whole", "") if said == GREETING else ("wrong", f"it says {said!r}")

    def _stream(self, browser: requests.Session, dice: random.Random) -> Answer:
        length = dice.randrange(20, 500)
        more = {"stream": True, "max_tokens": length, "ignore_eos": True, "stream_options": {"include_usage": True}}
        with self._complete(browser, more, "Write for a long time.") as answer:
            if answer.status_code != 200:
                return judge_refusal(answer)
            return judge_stream(answer.iter_lines(), length)

    def _complete(self, browser: requests.Session, more: dict[str, object], question: str) -> requests.Response:
        body = {"model": self._model, "messages": [{"role": "user", "content": question}], **more}
        address = f"{self._url}/v1/chat/completions"
        return browser.post(address, json=body, headers=self._key, stream="stream" in more, timeout=TIMEOUT_S)

    def _figures(self, browser: requests.Session, dice: random.Random) -> Answer:
        path = dice.choice(FIGURES)
        answer = browser.get(self._url + path, headers=self._key, timeout=TIMEOUT_S)
        if answer.status_code != 200:
            return judge_refusal(answer)
        return ("whole", "") if answer.text else ("wrong", f"{path} is empty")


def _chat_on(page: Page) -> Ask:
    return lambda _, dice: page.chat(dice.choice(QUESTIONS))


def judge_stream(lines: Iterator[bytes], length: int) -> Answer:
    """It is whole when it has all of its tokens and its last word."""
    last, tokens = "", None
    for line in lines:
        text = line.decode().removeprefix("data: ")
        if not text:
            continue
        if text != "[DONE]":
            event = json.loads(text)
            if "error" in event:
                return "cut", text
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        last = text
    if last != "[DONE]":
        return "broken", "the stream ended without an end"
    return ("whole", "") if tokens == length else ("wrong", f"{tokens} tokens of {length}")
