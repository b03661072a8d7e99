"""A session with a small engine, and the official client that asks it for batches."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import werkzeug.serving
from openai.types import Batch

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.batches.views import EXTENSION
from llm_hoster.settings import WebSettings
from llm_hoster.web import create_app
from tests.batches.batch_engine import BatchEngine
from tests.live_engine import wait_for
from tests.web_session import API_KEY, MakeSettings, WebServer

CHAT = "/v1/chat/completions"
FINAL = {"completed", "failed", "expired", "cancelled"}
MakeClient = Callable[..., openai.OpenAI]
MakeServer = Callable[..., WebServer]


@dataclass
class LightServer:
    """The web app in this process, behind a small server: for tests that neither kill it nor measure it."""

    settings: WebSettings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"


@pytest.fixture
def engine(short_dir: Path) -> Iterator[BatchEngine]:
    engine = BatchEngine(short_dir / "vllm.sock")
    with engine.serving():
        yield engine


@pytest.fixture
def make_light_server(make_settings: MakeSettings) -> Iterator[Callable[..., LightServer]]:
    with ExitStack() as servers:

        def make(**changes: Any) -> LightServer:
            return servers.enter_context(light_server(make_settings, **changes))

        yield make


@contextmanager
def light_server(make_settings: MakeSettings, **changes: Any) -> Iterator[LightServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = make_settings(host="127.0.0.1", port=listener.getsockname()[1], **changes)
        app = create_app(settings)
        http_server = werkzeug.serving.make_server("", 0, app, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=http_server.serve_forever, args=(0.05,))
        thread.start()
        yield LightServer(settings)
        http_server.shutdown()
        thread.join()
        http_server.server_close()
        app.extensions[EXTENSION][2].stop()
        app.extensions["llm_hoster"]["store"].close()
        app.extensions["llm_hoster"]["recorder"].close()


@pytest.fixture
def server(make_light_server: Callable[..., LightServer]) -> LightServer:
    return make_light_server()


@pytest.fixture
def client(server: LightServer, make_openai: MakeClient) -> openai.OpenAI:
    return make_openai(server)


@pytest.fixture
def make_openai() -> Iterator[MakeClient]:
    """Make a client of a server, with the owner's key or another one."""
    with ExitStack() as clients:

        def make(server: WebServer | LightServer, api_key: str = API_KEY) -> openai.OpenAI:
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=api_key, max_retries=0, timeout=30)
            return clients.enter_context(client)

        yield make


@pytest.fixture
def new_key(tmp_path: Path) -> Callable[..., str]:
    """Give a colleague a key to this person's sessions."""

    def make(name: str, **values: Any) -> str:
        return KeyFolder(tmp_path / "data").create(ApiKey(f"key-{name}", name, "", created_at=time.time(), **values))

    return make


def worker_of(server: WebServer) -> int:
    """Give the id of gunicorn's one worker."""
    pid = server.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def chat_lines(*questions: str, model: str = "tiny", **body: Any) -> bytes:
    """Give an input of one line for each question, which is its custom_id too."""
    lines = [
        {
            "custom_id": question,
            "method": "POST",
            "url": CHAT,
            "body": {"model": model, "messages": [{"role": "user", "content": question}], **body},
        }
        for question in questions
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def start_batch(client: openai.OpenAI, content: bytes, endpoint: Any = CHAT, window: Any = "24h") -> Batch:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window=window)


def wait_for_end(client: openai.OpenAI, batch: Batch, timeout_s: float = 30.0) -> Batch:
    wait_for(lambda: client.batches.retrieve(batch.id).status in FINAL, "the batch has ended", timeout_s=timeout_s)
    return client.batches.retrieve(batch.id)


def answers(client: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    """Give the lines of a file of answers by their custom_id, each of which is there once."""
    if file_id is None:
        return {}
    lines = [json.loads(line) for line in client.files.content(file_id).text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found
