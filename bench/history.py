"""
How quick a large history is: the list, the search, a long conversation, and what a new session does with it.

The words are made up, with the frequencies that words have. While the history of an ended session is taken in, a probe
writes turns and reads the list, as pages do; its waits are what people would feel.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from llm_hoster.chat import merge
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.merge import Merger
from llm_hoster.chat.message import Message
from llm_hoster.chat.row import INSERT_MESSAGE, row_from_message

SEED = 1
VOCABULARY = 30_000
DAY_S = 86400.0
LONG_MESSAGES = 1000
TIMES = 15


class Words:
    """Text of words that are as often as the n-th most frequent of a language is: 1/n of the first."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)  # noqa: S311 - nothing here is secret
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(self._random.choices(letters, k=self._random.randint(2, 10))) for _ in range(VOCABULARY)]
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))

    def text(self, number: int) -> str:
        return " ".join(self._random.choices(self.words, cum_weights=self._weights, k=number))

    def age_s(self) -> float:
        return self._random.random() * 300 * DAY_S


def fill(store: ConversationStore, words: Words, conversations: int, messages: int) -> None:
    """Write them with few transactions: how turns are written is measured elsewhere."""
    for number in range(conversations):
        conversation_id, at = f"{number:032x}", time.time() - words.age_s()
        parent_id = None
        with store.file.transaction() as database:
            for turn in range(messages):
                role, length = ("assistant", 150) if turn % 2 else ("user", 30)
                message = Message(
                    conversation_id, role, words.text(length), parent_id=parent_id, created_at=at + turn  # type: ignore[arg-type]
                )  # fmt: skip
                database.execute(INSERT_MESSAGE, row_from_message(message, at))
                parent_id = message.id
            database.execute(
                "INSERT INTO conversations (id, title, created_at, updated_at, key_id, leaf_id, changed_at) "
                "VALUES (?, ?, ?, ?, 'owner', ?, ?)",
                (conversation_id, words.text(6), at, at, parent_id, at),
            )


def milliseconds(work: Callable[[], object]) -> float:
    """Give the median."""
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(found), 2)


def measure_store(store: ConversationStore, words: Words) -> dict[str, float]:
    last = store.conversations("owner")[-1]
    parent_id = None
    for _ in range(LONG_MESSAGES // 2):
        question = Message("long", "user", words.text(30), parent_id=parent_id)
        reply = Message("long", "assistant", words.text(150))
        store.add_turn(question, reply, "owner")
        parent_id = reply.id
    running = Message("long", "assistant", words.text(1000), parent_id=parent_id, state="running")
    store.add_reply(running, "owner")
    often, seldom = words.words[0], words.words[VOCABULARY // 10]
    found = {
        "list_ms": milliseconds(lambda: store.conversations("owner")),
        "next_page_ms": milliseconds(lambda: store.conversations("owner", after=last)),
        "search_frequent_word_ms": milliseconds(lambda: store.search(f"{often} ", "owner")),
        "search_rare_word_ms": milliseconds(lambda: store.search(f"{seldom} ", "owner")),
        "search_beginning_ms": milliseconds(lambda: store.search(words.words[1][:2], "owner")),
        "search_of_a_guest_ms": milliseconds(lambda: store.search(f"{often} ", "key-1")),
        "open_1000_messages_ms": milliseconds(lambda: store.messages("long", "owner")),
        "save_running_reply_ms": milliseconds(lambda: store.save_message(running)),
    }
    began = time.perf_counter()
    for offset in range(2000):
        store.write_shown(running.id, "text", offset, "word ")
    found["write_shown_us"] = round((time.perf_counter() - began) / 2000 * 1e6, 1)
    store.delete("long", "owner")
    store.erase("long", "owner")
    return found


def measure_merge(data_dir: Path, *, row_by_row: bool) -> dict[str, float]:
    """Take in the other files of the folder, beside a probe."""
    merge.OWN_MAX = 0 if row_by_row else 1000
    name = "rows" if row_by_row else "whole"
    waits: list[float] = []
    ending = threading.Event()
    with closing(ConversationStore(data_dir / merge.FOLDER / f"{name}.sqlite3")) as store:

        def probe() -> None:
            for number in itertools.count():
                if ending.wait(0.01):
                    return
                began = time.perf_counter()
                store.add_turn(Message(f"p{number}", "user", "Hello"), Message(f"p{number}", "assistant"), "owner")
                store.conversations("owner")
                waits.append((time.perf_counter() - began) * 1000)

        thread = threading.Thread(target=probe)
        thread.start()
        began = time.perf_counter()
        Merger(store, data_dir, data_dir).look()
        took_s = time.perf_counter() - began
        ending.set()
        thread.join()
    waits.sort()
    return {
        f"merge_{name}_s": round(took_s, 2),
        f"merge_{name}_probe_p50_ms": round(statistics.median(waits), 2),
        f"merge_{name}_probe_max_ms": round(waits[-1], 1),
    }


@click.command()
@click.option("--conversations", default=10_000, show_default=True)
@click.option("--messages", default=20, show_default=True, help="In each conversation.")
@click.option("--by-rows/--not-by-rows", default=True, help="Measure a merge row by row too, which takes a minute.")
def main(conversations: int, messages: int, by_rows: bool) -> None:
    """Measure, and print one JSON object as the last line."""
    words = Words()
    with tempfile.TemporaryDirectory(prefix="llmh-bench-") as name:
        data_dir = Path(name)
        path = data_dir / merge.FOLDER / "earlier.sqlite3"
        click.echo(f"writing {conversations:,} conversations of {messages} messages")
        with closing(ConversationStore(path)) as store:
            fill(store, words, conversations, messages)
            found = measure_store(store, words)
        found["size_mb"] = round(path.stat().st_size / 1e6, 1)
        began = time.perf_counter()
        ConversationStore(path).close()
        found["open_again_s"] = round(time.perf_counter() - began, 2)
        found |= measure_merge(data_dir, row_by_row=False)
        if by_rows:
            (data_dir / merge.FOLDER / "whole.sqlite3").unlink()
            found |= measure_merge(data_dir, row_by_row=True)
    for key, value in found.items():
        click.echo(f"{key:28} {value:10,.2f}")
    click.echo(json.dumps({"conversations": conversations, "messages": messages} | found))


if __name__ == "__main__":
    main()
