"""
A small server that stands in vLLM's place and misbehaves on request: what vLLM does once in a month, in a second.

It starts in no time, answers on its unix socket, and keeps the figures that vLLM keeps. `~/engine/` steers it:
    starts       each start appends its arguments here, as JSON
    refuse       its text is printed at the next starts, which then fail
    refuse_with  a start with this argument fails
    hold         questions are answered when this file is gone
    wait         starts come to their end when this file is gone
    refuse_once  its text is printed at the next start, which then fails
    refuse_sleep, refuse_wake  it does not fall asleep, or does not wake up, while there is such a file
    hold_sleep, hold_wake  it falls asleep, or wakes up, when this file is gone
    refuse_load  its text is the refusal of the next LoRA adapters
    hold_load    adapters are loaded when this file is gone
    loads        each adapter that is loaded while it runs appends its path here
    figures      its text is added to the figures: those of another replica

As vLLM's processes do, it shares memory: a file in /dev/shm, which stays when it is killed.

A question with `stream` is answered in `max_tokens` events, one in 20 ms. The question "share" has a process beside it
share memory of its own.
"""

from __future__ import annotations

import http.server
import json
import mmap
import os
import socketserver
import subprocess
import sys
import time
import zlib
from pathlib import Path

FOLDER = Path(os.environ["HOME"]) / "engine"
# Of this session, so that tests beside each other know their own.
SHARED = f"/dev/shm/llmt-{zlib.crc32(bytes(FOLDER)):08x}-"
WORKER = f"import mmap, os, signal; file = open(f'{SHARED}{{os.getpid()}}', 'wb+'); file.truncate(mmap.PAGESIZE);"
WORKER += "memory = mmap.mmap(file.fileno(), 0); print(flush=True); signal.pause()"
TOO_LARGE = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"


class Figures:
    is_asleep = False
    running = 0
    ended = 0
    tokens = 0

    @classmethod
    def text(cls) -> str:
        return (
            f'vllm:num_requests_running{{engine="0"}} {cls.running}\n'
            f'vllm:num_requests_waiting{{engine="0"}} 0.0\n'
            f'vllm:generation_tokens_total{{engine="0"}} {cls.tokens}\n'
            f'vllm:request_success_total{{engine="0",finished_reason="length"}} {cls.ended}\n'
        )


class Adapters:
    """As vLLM has them: loaded at the start or it fails, and later only where its environment allows that."""

    paths: dict[str, str] = {}  # noqa: RUF012 - one engine in this process

    @classmethod
    def start(cls, arguments: list[str]) -> None:
        for argument in arguments[arguments.index("--lora-modules") + 1 :] if "--lora-modules" in arguments else []:
            if argument.startswith("--"):
                return
            module = json.loads(argument)
            if not Path(module["path"]).is_dir():
                sys.exit(f"ValueError: Loading lora {module['name']} failed: No adapter found for {module['path']}")
            cls.paths[module["name"]] = module["path"]

    @classmethod
    def change(cls, path: str, body: dict[str, str]) -> tuple[int, str]:
        name = body["lora_name"]
        if os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") != "1":
            return 404, "Not Found"
        if path.endswith("unload_lora_adapter"):
            found = cls.paths.pop(name, None)
            return (200, "removed") if found else (404, f"The lora adapter '{name}' cannot be found.")
        while (FOLDER / "hold_load").exists():
            time.sleep(0.01)
        if (FOLDER / "refuse_load").exists():
            return 500, (FOLDER / "refuse_load").read_text()
        if name in cls.paths:
            return 400, f"The lora adapter '{name}' has already been loaded."
        cls.paths[name] = body["lora_path"]
        with (FOLDER / "loads").open("a") as loads:
            loads.write(body["lora_path"] + "\n")
        return 200, "added"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        more = (FOLDER / "figures").read_text() if (FOLDER / "figures").exists() else ""
        models = [{"id": name} for name in [argument_of("--served-model-name"), *Adapters.paths]]
        texts = {"/metrics": Figures.text() + more, "/v1/models": json.dumps({"object": "list", "data": models})}
        self._answer(texts.get(self.path, ""))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path in ("/sleep?level=1", "/wake_up"):
            word = "sleep" if self.path.startswith("/sleep") else "wake"
            while (FOLDER / f"hold_{word}").exists():
                time.sleep(0.01)
            is_refused = os.environ.get("VLLM_SERVER_DEV_MODE") != "1" or (FOLDER / f"refuse_{word}").exists()
            Figures.is_asleep = Figures.is_asleep if is_refused else word == "sleep"
            self._answer("{}", 500 if is_refused else 200)
            return
        while Figures.is_asleep:
            time.sleep(0.01)
        if self.path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
            status, message = Adapters.change(self.path, body)
            self._answer(json.dumps({"error": {"message": message, "code": status}}), status)
            return
        if body.get("prompt") == "share":
            worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE)
            assert worker.stdout is not None
            worker.stdout.readline()
        Figures.running += 1
        while body.get("prompt") == "hold" and (FOLDER / "hold").exists():
            time.sleep(0.01)
        try:
            if body.get("stream"):
                self._stream(body["max_tokens"])
                return
        finally:
            Figures.running -= 1
            Figures.tokens += 1
            Figures.ended += 1
        self._answer(json.dumps({"model": body["model"], "choices": [{"text": "one", "index": 0}]}))

    def _answer(self, text: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _stream(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            self._write_chunk(f"data: {json.dumps({'choices': [{'text': 'one', 'index': number}]})}\n\n")
            time.sleep(0.02)
        self._write_chunk("data: [DONE]\n\n")
        self._write_chunk("")

    def _write_chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """vLLM is asked not to log requests either."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def argument_of(option: str) -> str:
    return sys.argv[sys.argv.index(option) + 1] if option in sys.argv else ""


def main() -> None:
    arguments = sys.argv[1:]
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "starts").open("a") as starts:
        starts.write(json.dumps(arguments) + "\n")
    if (FOLDER / "refuse").exists():
        sys.exit((FOLDER / "refuse").read_text())
    if (FOLDER / "refuse_once").exists():
        text = (FOLDER / "refuse_once").read_text()
        (FOLDER / "refuse_once").unlink()
        sys.exit(text)
    if (FOLDER / "refuse_with").exists() and (FOLDER / "refuse_with").read_text() in arguments:
        sys.exit(TOO_LARGE)
    if "broken" in arguments[1]:
        sys.exit(TOO_LARGE)
    Adapters.start(arguments)
    while (FOLDER / "wait").exists():
        time.sleep(0.01)
    with open(f"{SHARED}{os.getpid()}", "wb+") as file:
        file.truncate(mmap.PAGESIZE)
        memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)  # noqa: F841 - used as long as it is open
    server = Server(arguments[arguments.index("--uds") + 1], Handler)
    print("INFO:     Application startup complete.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
