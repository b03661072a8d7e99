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

    A question whose reply never came is left out: many chat templates refuse two user messages in a row. What a reply
    has asked of tools is told as a text: people give the result as their next message, and some templates refuse a call
    without a result of its own.
    """
    told: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "user":
            if told and told[-1]["role"] == "user":
                told.pop()
            told.append({"role": "user", "content": content_of(message)})
        elif told and (text := _said(message)):
            told.append({"role": "assistant", "content": text})
    return told


def _said(message: Message) -> str:
    calls = [f'{{"name": "{call.get("name")}", "arguments": {call.get("arguments")}}}' for call in message.tool_calls]
    return "\n".join([message.content.rstrip(), *calls]).lstrip() if calls else message.content
