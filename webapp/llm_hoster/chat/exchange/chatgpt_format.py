"""
ChatGPT's conversations.json: a tree of nodes for each conversation, most of which a reader never sees.

What is hidden is left out, and what stands after it stands after the message before it. Thoughts belong to the answer
that follows them, and an answer that tools have interrupted is one answer.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from llm_hoster.chat.exchange.arrival import Arrival, NotAConversationError
from llm_hoster.chat.exchange.hostile_value import dict_of, id_of, list_of, number_of, text_of, time_of
from llm_hoster.chat.exchange.remark import Remark
from llm_hoster.chat.message import Conversation, Message, title_of

SHOWN = {"text", "multimodal_text"}
# What ChatGPT's page shows as something else: sources, between characters that no font has or in such brackets, and
# files that were made there and are gone.
CITATION = re.compile("( ?)(\ue200[^\ue200\ue201]*\ue201|【[^【】†\\n]*†[^【】\\n]*】)")
CITATION_REST = re.compile("[\ue200-\ue206]")
MADE_FILE = re.compile(r"!?\[([^\[\]\n]*)\]\(sandbox:[^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")


@dataclass(frozen=True)
class Before:
    """What stands before a node: the message, and the thoughts since then."""

    message_id: str | None = None
    thoughts: str = ""
    thought_s: float | None = None


def is_entry(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("mapping"), dict)


def read(entry: dict[str, Any]) -> Arrival:
    conversation_id = id_of(entry.get("conversation_id")) or id_of(entry.get("id"))
    if conversation_id is None:
        raise NotAConversationError(Remark.UNKNOWN)
    created_at = time_of(entry.get("create_time"), time.time())
    updated_at = time_of(entry.get("update_time"), created_at)
    nodes = _Nodes(conversation_id, {key: dict_of(value) for key, value in entry["mapping"].items()}, created_at)
    nodes.walk()
    leaf_id = nodes.shown.get(id_of(entry.get("current_node")) or "")
    messages, joined = joined_answers(nodes.messages)
    leaf_id = joined.get(leaf_id or "", leaf_id)
    first, last = next(iter(messages.values()), None), next(reversed(messages), None)
    conversation = Conversation(
        id=conversation_id,
        title=title_of(text_of(entry.get("title")) or (first.content if first else "")),
        created_at=created_at,
        updated_at=updated_at,
        key_id="",
        leaf_id=leaf_id or last,
        pinned=entry.get("is_starred") is True,
    )
    return Arrival("chatgpt", conversation, messages, updated_at, remarks=nodes.remarks)


class _Nodes:
    def __init__(self, conversation_id: str, nodes: dict[str, dict[str, Any]], created_at: float) -> None:
        self._conversation_id = conversation_id
        self._nodes = nodes
        self._created_at = created_at
        self.messages: dict[str, Message] = {}
        # Where a reader sees each node: itself, or the message before it.
        self.shown: dict[str, str | None] = {}
        self.remarks: Counter[Remark] = Counter()

    def walk(self) -> None:
        """Take the nodes that can be reached from a root; then those of circles, each a root of its own."""
        children: dict[str | None, list[str]] = {}
        for key, node in self._nodes.items():
            parent = id_of(node.get("parent"))
            children.setdefault(parent if parent in self._nodes else None, []).append(key)
        for root in [*children.get(None, []), *self._nodes]:
            if root not in self.shown and root not in children.get(None, []):
                self.remarks[Remark.CIRCULAR] += 1
            waiting = [(root, Before())]
            while waiting:
                key, before = waiting.pop()
                if key in self.shown:
                    continue
                after = self._take(key, before)
                self.shown[key] = after.message_id
                waiting += [(child, after) for child in reversed(children.get(key, []))]

    def _take(self, key: str, before: Before) -> Before:
        told = dict_of(self._nodes[key].get("message"))
        if not told:
            return before
        content, facts = dict_of(told.get("content")), dict_of(told.get("metadata"))
        role, kind = text_of(dict_of(told.get("author")).get("role")), text_of(content.get("content_type"))
        if kind == "thoughts":
            return replace(before, thoughts=_joined(before.thoughts, _thoughts(content)))
        if kind == "reasoning_recap":
            return replace(before, thought_s=number_of(facts.get("finished_duration_sec")))
        text = self._text(content, facts) if kind in SHOWN else ""
        is_hidden = facts.get("is_visually_hidden_from_conversation") is True or told.get("recipient", "all") != "all"
        if role not in ("user", "assistant") or kind not in SHOWN or is_hidden or not text:
            self.remarks[Remark.HIDDEN] += bool(text or kind not in SHOWN)
            return before
        is_reply = role == "assistant"
        self.messages[key] = Message(
            self._conversation_id,
            "assistant" if is_reply else "user",
            text,
            id=key,
            parent_id=before.message_id,
            reasoning=before.thoughts if is_reply else "",
            reasoning_s=before.thought_s if is_reply else None,
            model=text_of(facts.get("model_slug")) or None if is_reply else None,
            created_at=time_of(told.get("create_time"), self._created_at),
        )
        return Before(key)

    def _text(self, content: dict[str, Any], facts: dict[str, Any]) -> str:
        parts = [_part(each) for each in list_of(content.get("parts"))]
        text = _without_marks("\n\n".join(part for part in parts if part), list_of(facts.get("content_references")))
        files = [text_of(dict_of(each).get("name")) for each in list_of(facts.get("attachments"))]
        pictures = sum(
            dict_of(each).get("content_type") == "image_asset_pointer" for each in list_of(content.get("parts"))
        )
        named = [f"[Attached: {name}]" for name in files if name] or ["[Attached: a picture]"] * pictures
        self.remarks[Remark.FILES] += len(named)
        return "\n\n".join(part for part in [text, *named] if part).strip()


def _part(part: Any) -> str:
    """Speech has its words beside the sound."""
    return text_of(part) or text_of(dict_of(part).get("text"))


def _without_marks(text: str, references: list[Any]) -> str:
    """Put the links of the sources in place of their marks, where the export has them; each is used once."""
    links: dict[str, list[str]] = {}
    for each in map(dict_of, reversed(references)):
        links.setdefault(text_of(each.get("matched_text")), []).append(text_of(each.get("alt")))

    def link(mark: re.Match[str]) -> str:
        known = links.get(mark[2])
        told = known.pop() if known else ""
        return mark[1] + told if told else ""

    return MADE_FILE.sub(r"\1", CITATION_REST.sub("", CITATION.sub(link, text)))


def _thoughts(content: dict[str, Any]) -> str:
    told = [dict_of(each) for each in list_of(content.get("thoughts"))]
    pieces = [part for each in told for part in (text_of(each.get("summary")), text_of(each.get("content")))]
    return "\n\n".join(piece for piece in pieces if piece)


def _joined(first: str, second: str) -> str:
    return f"{first}\n\n{second}" if first and second else first or second


def joined_answers(messages: dict[str, Message]) -> tuple[dict[str, Message], dict[str, str]]:
    """
    Make one of answers that follow one another without a question; say into which one each has gone.

    `messages` has each after the one that it stands after.
    """
    children = Counter(message.parent_id for message in messages.values())
    kept: dict[str, Message] = {}
    gone: dict[str, str] = {}
    for message in messages.values():
        parent_id = gone.get(message.parent_id or "", message.parent_id)
        before = kept.get(parent_id or "")
        is_only = children[message.parent_id] == 1
        if before is not None and before.role == message.role == "assistant" and is_only:
            before.content = _joined(before.content, message.content)
            before.reasoning = _joined(before.reasoning, message.reasoning)
            before.reasoning_s = before.reasoning_s if message.reasoning_s is None else message.reasoning_s
            gone[message.id] = before.id
        else:
            message.parent_id = parent_id
            kept[message.id] = message
    return kept, gone
