"""`llm-hoster verify` with small programs in vLLM's place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# Speaks HTTP on the socket that it is told, as vLLM does, and knows one reply.
ANSWERS = """
import http.server, json, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"content": "You said: " + asked["messages"][0]["content"]}
        self.answer({"choices": [{"message": message}]})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

print("INFO:     Application startup complete.", flush=True)
socketserver.UnixStreamServer(sys.argv[sys.argv.index("--uds") + 1], Handler).serve_forever()
"""

DIES = """
import sys
sys.exit("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`")
"""


def verify(prefix: Path, program: str, *arguments: str, name: str = "vllm-cpu-1") -> subprocess.CompletedProcess[str]:
    vllm = prefix / "engine" / name / "bin" / "vllm"
    vllm.parent.mkdir(parents=True)
    vllm.write_text(f"#!{sys.executable}\n{program}")
    vllm.chmod(0o755)
    command = [sys.executable, "-m", "llm_hoster", "verify", "--prefix", str(prefix), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_an_engine_that_works_shows_its_steps_and_its_first_answer(tmp_path: Path) -> None:
    run = verify(tmp_path / "prefix", ANSWERS)

    assert run.returncode == 0, run.stdout + run.stderr
    assert f"vllm-cpu-1 (venv, {tmp_path}/prefix/engine/vllm-cpu-1)" in run.stdout
    assert "'You said: Say hello.'" in run.stdout
    assert run.stdout.endswith("The engine works.\n")


def test_an_engine_that_dies_is_told_in_a_sentence(tmp_path: Path) -> None:
    run = verify(tmp_path / "prefix", DIES)

    assert run.returncode == 1
    assert "The engine does not work. The model leaves no memory for conversations." in run.stdout


def test_a_prefix_without_an_engine_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llm_hoster", "verify", "--prefix", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert run.returncode == 1
    assert "holds no engine. Run bin/install first." in run.stderr


def test_as_json_the_steps_go_to_stderr(tmp_path: Path) -> None:
    run = verify(tmp_path / "prefix", DIES, "--json")

    document = json.loads(run.stdout)
    assert (run.returncode, document["engine"], document["works"]) == (1, "vllm-cpu-1", False)
    assert "leaves no memory" in document["failure"]
    assert document["steps"][0]["seconds"] is not None
    assert "The engine does not work." in run.stderr
