"""
Questions without a pause, to one address: `python load.py BASE_URL KEY THREADS` goes on until its stdin is closed.

Whole answers and streams, short ones and long ones; the same question must have the same answer each time. It prints
how many were asked and what went wrong, as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

# Tokens of a stream; 0 = a whole answer.
KINDS = (0, 5, 0, 0, 25, 0, 0, 0, 150, 0, 0, 0)
WHOLE_TOKENS = 8
# As the tiny model is asked in a chat; it goes on for as long as one likes.
PROMPT = "<|im_start|>user\nWrite for a long time.<|im_end|>\n<|im_start|>assistant\n"


class Load:
    def __init__(self, base_url: str, key: str) -> None:
        address = urlsplit(base_url)
        assert address.hostname is not None
        self.host, self.port, self.path = address.hostname, address.port, f"{address.path}/completions"
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.is_over = threading.Event()
        self.asked = 0
        self.faults: list[str] = []
        self.answers: dict[int, str] = {}
        self.slowest_s = 0.0
        self.lock = threading.Lock()

    def run(self, number: int) -> None:
        while not self.is_over.is_set():
            for tokens in KINDS[number % len(KINDS) :] + KINDS[: number % len(KINDS)]:
                if self.is_over.is_set():
                    break
                began = time.monotonic()
                fault = self.ask(tokens)
                with self.lock:
                    self.asked += 1
                    if not tokens:
                        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                    if fault:
                        self.faults.append(f"{time.time():.2f} {tokens} {fault}"[:500])

    def ask(self, tokens: int) -> str:
        """Give what went wrong; nothing when the answer was whole."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        body = {"model": "tiny", "prompt": PROMPT, "stream": bool(tokens), "max_tokens": tokens or WHOLE_TOKENS}
        body |= {"temperature": 0, "ignore_eos": True}
        try:
            connection.request("POST", self.path, json.dumps(body), self.headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()
        if answer.status != 200:
            return f"{answer.status} {text}"
        events = [line.removeprefix("data: ") for line in text.splitlines() if line] if tokens else [text, "[DONE]"]
        try:
            end, said = events.pop(), "".join(json.loads(event)["choices"][0]["text"] for event in events)
        except (LookupError, ValueError):
            end, said = "", ""
        if end != "[DONE]":
            return f"cut: {text[-200:]}"
        with self.lock:
            expected = self.answers.setdefault(tokens, said)
        return "" if said == expected != "" else f"not the answer of before: {said[-200:]}"


def main() -> None:
    load = Load(sys.argv[1], sys.argv[2])
    threads = [threading.Thread(target=load.run, args=(number,)) for number in range(int(sys.argv[3]))]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    load.is_over.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"asked": load.asked, "faults": load.faults, "slowest_s": round(load.slowest_s, 3)}))


if __name__ == "__main__":
    main()
