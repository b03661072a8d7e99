"""Open WebUI's export: a list of chats, each with a tree of messages, or with a list of them in early versions."""

from __future__ import annotations

import html
import re
import time
from collections import Counter
from typing import Any

from llm_hoster.chat.exchange.arrival import Arrival, NotAConversationError
from llm_hoster.chat.exchange.hostile_value import dict_of, id_of, list_of, number_of, text_of, time_of, whole_of
from llm_hoster.chat.exchange.remark import Remark
from llm_hoster.chat.message import Conversation, Message, title_of

# It keeps thoughts and tool calls in the text, as HTML that its page shows folded.
FOLDED = re.compile(r'<details type="(\w{1,40})"([^<>]{0,500})>\s{0,9}(?:<summary>[^<]{0,200}</summary>)?')
FOLDED_END = "</details>"
DURATION = re.compile(r'duration="(\d{1,9})')
QUOTE = re.compile(r"^> ?", re.MULTILINE)


def is_entry(entry: dict[str, Any]) -> bool:
    chat = _chat(entry)
    return isinstance(dict_of(chat.get("history")).get("messages"), dict) or (
        isinstance(entry.get("chat"), dict) and isinstance(chat.get("messages"), list)
    )


def read(entry: dict[str, Any]) -> Arrival:
    chat = _chat(entry)
    conversation_id = id_of(entry.get("id")) or id_of(chat.get("id"))
    if conversation_id is None:
        raise NotAConversationError(Remark.UNKNOWN)
    created_at = time_of(entry.get("created_at"), time_of(chat.get("timestamp"), time.time()))
    updated_at = time_of(entry.get("updated_at"), created_at)
    history, remarks = dict_of(chat.get("history")), Counter[Remark]()
    told = _from_tree(dict_of(history.get("messages"))) or _from_list(list_of(chat.get("messages")))
    messages: dict[str, Message] = {}
    for message_id, value in told.items():
        message = _message(message_id, value, conversation_id, created_at, remarks)
        if message is None:
            remarks[Remark.HIDDEN] += 1
        else:
            messages[message_id] = message
    for message in messages.values():
        message.parent_id = _shown_parent(message.parent_id, told, messages)
    leaf_id = id_of(history.get("currentId"))
    first = next(iter(messages.values()), None)
    title = text_of(entry.get("title")) or text_of(chat.get("title")) or (first.content if first else "")
    conversation = Conversation(
        id=conversation_id,
        title=title_of(title),
        created_at=created_at,
        updated_at=updated_at,
        key_id="",
        leaf_id=leaf_id if leaf_id in messages else next(reversed(messages), None),
        pinned=entry.get("pinned") is True,
    )
    return Arrival("open_webui", conversation, messages, updated_at, remarks=remarks)


def _chat(entry: dict[str, Any]) -> dict[str, Any]:
    return dict_of(entry.get("chat")) or entry


def _from_tree(messages: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: dict_of(value) for key, value in messages.items() if id_of(key)}


def _from_list(messages: list[Any]) -> dict[str, dict[str, Any]]:
    """Each stands after the one before it."""
    told: dict[str, dict[str, Any]] = {}
    before = None
    for number, each in enumerate(messages):
        value = dict_of(each)
        message_id = id_of(value.get("id")) or f"number {number}"
        told.setdefault(message_id, value | {"parentId": before})
        before = message_id
    return told


def _shown_parent(parent_id: str | None, told: dict[str, dict[str, Any]], messages: dict[str, Message]) -> str | None:
    """Pass over what was left out."""
    for _ in told:
        if parent_id is None or parent_id in messages or parent_id not in told:
            break
        parent_id = id_of(told[parent_id].get("parentId"))
    return parent_id if parent_id in messages else None


def _message(
    message_id: str, value: dict[str, Any], conversation_id: str, created_at: float, remarks: Counter[Remark]
) -> Message | None:
    role = value.get("role")
    if role not in ("user", "assistant"):
        return None
    message = Message(
        conversation_id,
        role,
        _text(value),
        id=message_id,
        parent_id=id_of(value.get("parentId")),
        created_at=time_of(value.get("timestamp"), created_at),
    )
    names = [text_of(dict_of(each).get("name")) for each in list_of(value.get("files"))]
    names = [name or "a file" for name in names]
    if names:
        remarks[Remark.FILES] += len(names)
        message.content = "\n\n".join([message.content, *(f"[Attached: {name}]" for name in names)]).strip()
    if role == "assistant":
        _read_reply(message, value, remarks)
    return message


def _read_reply(message: Message, value: dict[str, Any], remarks: Counter[Remark]) -> None:
    _unfold(message, remarks)
    usage, rating = (
        dict_of(value.get("usage")) or dict_of(value.get("info")),
        dict_of(value.get("annotation")).get("rating"),
    )
    message.model = text_of(value.get("model")) or text_of(value.get("modelName")) or None
    message.prompt_tokens = whole_of(usage.get("prompt_tokens", usage.get("prompt_eval_count")))
    message.completion_tokens = whole_of(usage.get("completion_tokens", usage.get("eval_count")))
    message.rating = rating if isinstance(rating, int) and rating in (-1, 1) else 0
    error = value.get("error")
    if error:
        message.state = "failed"
        message.failure = text_of(dict_of(error).get("content")) or text_of(error) or "The reply failed."
    elif value.get("done") is False:
        message.state = "stopped"


def _text(value: dict[str, Any]) -> str:
    """The text stands in `content`; as a list of parts where there were pictures; in `output` in late versions."""
    content = value.get("content")
    parts = [text_of(dict_of(each).get("text")) for each in list_of(content)]
    text = text_of(content) or "\n\n".join(part for part in parts if part)
    if text:
        return text
    items = [dict_of(each) for each in list_of(value.get("output"))]
    pieces = [dict_of(part) for item in items if item.get("type") == "message" for part in list_of(item.get("content"))]
    return "\n\n".join(text_of(piece.get("text")) for piece in pieces).strip()


def _unfold(message: Message, remarks: Counter[Remark]) -> None:
    """Take apart in one pass: of hostile text, a pattern for the whole would read the rest again for each beginning."""
    text, shown, thoughts, place = message.content, list[str](), list[str](), 0
    for match in FOLDED.finditer(text):
        end = text.find(FOLDED_END, match.end())
        if end < 0:
            break
        if match.start() < place:
            continue
        shown.append(text[place : match.start()])
        if match[1] == "reasoning":
            thoughts.append(QUOTE.sub("", html.unescape(text[match.end() : end]).strip()))
            duration = DURATION.search(match[2])
            message.reasoning_s = number_of(float(duration[1])) if duration else None
        else:
            remarks[Remark.HIDDEN] += 1
        place = end + len(FOLDED_END)
    if place:
        message.content = "".join([*shown, text[place:]]).strip()
        message.reasoning = "\n\n".join(thoughts)
