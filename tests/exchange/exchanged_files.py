"""Files with conversations as people bring them, and histories to bring them into."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.api_keys.api_key import OWNER, ApiKey
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange import own_format
from llm_hoster.chat.exchange.import_run import ImportRun

MakeStore = Callable[[], ConversationStore]
THE_OWNER = ApiKey(OWNER, OWNER, "", created_at=0.0)
GUEST = ApiKey("key-1", "ada", "", created_at=0.0)
A, B = "a" * 32, "b" * 32


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[MakeStore]:
    stores: list[ConversationStore] = []

    def make() -> ConversationStore:
        stores.append(ConversationStore(tmp_path / f"history-{len(stores)}.sqlite3"))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def take_in(store: ConversationStore, content: Any, visitor: ApiKey = THE_OWNER) -> ImportRun:
    """Import a file, or what JSON shall say, to its end."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    run = ImportRun(store, visitor, as_file(data), len(data))
    run.start()
    run.wait(60)
    assert not run.is_running
    return run


def as_file(data: bytes) -> Any:
    """A real file: archives are mapped into memory."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever imports it closes it
    file.write(data)
    file.seek(0)
    return file


def exported(store: ConversationStore, key_id: str = OWNER) -> list[dict[str, Any]]:
    text = "".join(own_format.document(store, own_format.all_conversations(store, key_id)))
    conversations: list[dict[str, Any]] = json.loads(text)["conversations"]
    return conversations


def document(*conversations: Any, **head: Any) -> dict[str, Any]:
    return {"format": own_format.FORMAT, "version": 1, **head, "conversations": list(conversations)}


def own(conversation_id: str = A, **changes: Any) -> dict[str, Any]:
    """A conversation of ours, of one turn."""
    question = {"id": f"{conversation_id[:31]}1", "role": "user", "content": "Why?", "created_at": 10.0}
    answer = {
        "id": f"{conversation_id[:31]}2",
        "parent_id": question["id"],
        "role": "assistant",
        "content": "So.",
        "created_at": 11.0,
    }
    values = {"id": conversation_id, "title": "A title", "created_at": 10.0, "updated_at": 20.0, "changed_at": 20.0}
    return values | {"leaf_id": answer["id"], "messages": [question, answer]} | changes


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with closing(zipfile.ZipFile(buffer, "w", method)) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def node(key: str, parent: str | None, role: str, *parts: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
    """A node of ChatGPT's tree."""
    metadata = more.pop("metadata", {})
    content = more.pop("content", {"content_type": kind, "parts": list(parts)})
    message = {
        "id": key, "author": {"role": role, "name": None, "metadata": {}}, "create_time": 1_700_000_000.5,
        "content": content, "status": "finished_successfully", "weight": 1.0, "metadata": metadata, "recipient": "all",
        "channel": None,
    }  # fmt: skip
    return {"id": key, "parent": parent, "children": [], "message": message | more}


def chatgpt(*nodes: dict[str, Any], current: str = "", **more: Any) -> dict[str, Any]:
    """A conversation as ChatGPT exports it, below the empty root that it has."""
    root: dict[str, Any] = {"id": "root", "parent": None, "children": [], "message": None}
    mapping = {each["id"]: each for each in (root, *nodes)}
    for each in nodes:
        if each["parent"] in mapping:
            mapping[each["parent"]]["children"].append(each["id"])
    return {
        "title": "Trees", "create_time": 1_700_000_000.0, "update_time": 1_700_000_100.0, "mapping": mapping,
        "moderation_results": [], "current_node": current, "conversation_id": "6650f0a3-0000-8000-9000-000000000001",
        "id": "6650f0a3-0000-8000-9000-000000000001", "is_archived": False, "is_starred": None,
    } | more  # fmt: skip


def open_webui(*messages: dict[str, Any], current: str = "", **more: Any) -> dict[str, Any]:
    """A chat as Open WebUI exports it."""
    by_id = {each["id"]: each for each in messages}
    return {
        "id": "0b9c1d52-0000-4000-8000-000000000002", "user_id": "someone", "title": "Cells",
        "chat": {
            "id": "", "title": "Cells", "models": ["llama3.1:8b"], "params": {}, "timestamp": 1_700_000_000_000,
            "history": {"messages": by_id, "currentId": current}, "messages": list(messages), "tags": [], "files": [],
        },
        "updated_at": 1_700_000_200, "created_at": 1_700_000_000, "share_id": None, "archived": False, "pinned": True,
        "meta": {}, "folder_id": None,
    } | more  # fmt: skip


def said(message_id: str, parent_id: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message of Open WebUI's tree."""
    values = {"id": message_id, "parentId": parent_id, "childrenIds": [], "role": role, "content": content}
    return values | {"timestamp": 1_700_000_050} | more
