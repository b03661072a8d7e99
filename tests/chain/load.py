"""
Questions without a pause, to one address: `python load.py BASE_URL KEY THREADS` goes on until its stdin is closed.

Whole answers and streams, short ones and long ones. It prints how many were asked and what went wrong, as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

# Events of a stream, 20 ms each; 0 = a whole answer.
KINDS = (0, 5, 0, 0, 25, 0, 0, 0, 150, 0, 0, 0)


class Load:
    def __init__(self, base_url: str, key: str) -> None:
        address = urlsplit(base_url)
        assert address.hostname is not None
        self.host, self.port, self.path = address.hostname, address.port, f"{address.path}/completions"
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.is_over = threading.Event()
        self.asked = 0
        self.faults: list[str] = []
        self.slowest_s = 0.0
        self.lock = threading.Lock()

    def run(self, number: int) -> None:
        while not self.is_over.is_set():
            for events in KINDS[number % len(KINDS) :] + KINDS[: number % len(KINDS)]:
                if self.is_over.is_set():
                    break
                began = time.monotonic()
                fault = self.ask(events)
                with self.lock:
                    self.asked += 1
                    if not events:
                        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                    if fault:
                        self.faults.append(f"{time.time():.2f} {events} {fault}"[:500])

    def ask(self, events: int) -> str:
        """Give what went wrong; nothing when the answer was whole."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        body = {"model": "tiny", "prompt": "count", "max_tokens": events, "stream": bool(events)}
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
        if not events:
            return "" if json.loads(text)["choices"][0]["text"] == "one" else text
        lines = text.split()
        return "" if lines.count("data:") == events + 1 and lines[-1] == "[DONE]" else f"cut: {text[-200:]}"


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
