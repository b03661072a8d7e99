"""What the engine is asked for a turn, in the words of the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_hoster.chat.conversation_settings import ConversationSettings
from llm_hoster.chat.message import Message
from llm_hoster.chat.turn import Turn

ContentOf = Callable[[Message], Any]


def engine_request(turn: Turn, settings: ConversationSettings, content_of: ContentOf) -> dict[str, Any]:
    """`content_of` gives a question as the engine reads it, with what is attached to it."""
    messages = settings.first_messages() + messages_for_engine([*turn.earlier, turn.question], content_of)
    request = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    if turn.reply.content:
        messages.append({"role": "assistant", "content": turn.reply.content})
        if turn.reply.reasoning:
            messages[-1]["reasoning"] = turn.reply.reasoning
        request |= {"continue_final_message": True, "add_generation_prompt": False}
    return request | settings.request_fields(goes_on=bool(turn.reply.content))


def messages_for_engine(messages: list[Message], content_of: ContentOf) -> list[dict[str, Any]]:
    """
    Say the conversation in the API's words.

    Many chat templates refuse two user messages in a row: questions whose replies were stopped before their first word
    are told as one with the next, and one whose reply failed is left out, for it is asked again. What a reply has asked
    of tools is told as a text: people give the result as their next message, and some templates refuse a call without a
    result of its own.
    """
    told: list[dict[str, Any]] = []
    waiting: list[Any] = []
    for before, message in zip([None, *messages], messages, strict=False):
        text = _said(message)
        if message.role == "user":
            if before is not None and before.state == "failed" and not _said(before):
                waiting = waiting[:-1]
            waiting.append(content_of(message))
        elif text and (waiting or told):
            told += _asked(waiting)
            told.append({"role": "assistant", "content": text})
            waiting = []
    return told + _asked(waiting)


def _asked(contents: list[Any]) -> list[dict[str, Any]]:
    if all(isinstance(content, str) for content in contents):
        content: Any = "\n\n".join(contents)
    else:
        content = [part for content in contents for part in _parts(content)]
    return [{"role": "user", "content": content}] if contents else []


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _said(message: Message) -> str:
    calls = [f'{{"name": "{call.get("name")}", "arguments": {call.get("arguments")}}}' for call in message.tool_calls]
    return "\n".join([message.content.rstrip(), *calls]).lstrip() if calls else message.content
