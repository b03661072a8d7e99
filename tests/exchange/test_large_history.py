"""Ten thousand conversations, out and in: in a process of its own, whose memory is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

COUNT = 10_000
MEMORY_MAX_MB = 40
PROGRAM = """
import json, sys, time
from contextlib import closing
from pathlib import Path
from llm_hoster.api_keys.api_key import OWNER, ApiKey
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange import own_format
from llm_hoster.chat.exchange.import_run import ImportRun
from llm_hoster.chat.message import Message
from llm_hoster.chat.row import INSERT_MESSAGE, row_from_message

def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mb("VmRSS")

def memory_mb(name="VmHWM"):
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024

folder, count, owner = Path(sys.argv[1]), int(sys.argv[2]), ApiKey(OWNER, OWNER, "", created_at=0.0)
text = "words of a message " * 20

def filled(store, first, last):
    with store.file.transaction() as database:
        for number in range(first, last):
            chat = f"{number:032x}"
            database.execute(
                "INSERT INTO conversations (id, title, created_at, updated_at, key_id, changed_at) "
                "VALUES (?, ?, 5, 5, ?, 5)",
                (chat, f"Number {number}", OWNER),
            )
            for place in range(4):
                message = Message(chat, ("user", "assistant")[place % 2], text, created_at=5.0)
                database.execute(INSERT_MESSAGE, row_from_message(message, 5.0))

def exported(store, path):
    lines = own_format.document(store, own_format.all_conversations(store, OWNER))
    with path.open("w") as file:
        return sum(1 for line in lines if file.write(line))

def imported(store, path):
    run = ImportRun(store, owner, path.open("rb"), path.stat().st_size)
    run.start()
    run.wait(250)
    return run.tally.added

few, some, all = folder / "few.json", folder / "some.json", folder / "all.json"
with closing(ConversationStore(folder / "history.sqlite3")) as store:
    filled(store, 0, 100)
    exported(store, few)
    filled(store, 100, count // 10)
    exported(store, some)
    filled(store, count // 10, count)
    before_mb, began = forget_peak(), time.monotonic()
    found = {"lines": exported(store, all), "mb": all.stat().st_size / 1e6, "out_mb": memory_mb() - before_mb}
    found["export_s"] = time.monotonic() - began
with closing(ConversationStore(folder / "other.sqlite3")) as store:
    imported(store, few)
    before_mb, began = forget_peak(), time.monotonic()
    found |= {"added": imported(store, some), "in_mb": memory_mb() - before_mb, "import_s": time.monotonic() - began}
print(json.dumps(found))
"""


def test_a_large_history_needs_no_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(COUNT)]
    environment = {"PYTHONPATH": str(REPOSITORY / "webapp"), "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["lines"] == COUNT + 2 and found["mb"] > 20
    assert found["out_mb"] < MEMORY_MAX_MB and found["in_mb"] < MEMORY_MAX_MB, found
