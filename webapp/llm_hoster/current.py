"""What the running web app was made with. Views reach it here, so that none imports the factory."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.replies import Replies
from llm_hoster.engine.record.state import State
from llm_hoster.gateway.gate import Gate
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state
from llm_hoster.usage.recorder import Recorder

EXTENSION = "llm_hoster"


def install(
    app: Flask, settings: WebSettings, store: ConversationStore, replies: Replies, gate: Gate, recorder: Recorder
) -> None:
    app.extensions[EXTENSION] = {
        "settings": settings, "store": store, "replies": replies, "gate": gate, "recorder": recorder
    }  # fmt: skip


def current_settings() -> WebSettings:
    return cast(WebSettings, current_app.extensions[EXTENSION]["settings"])


def current_store() -> ConversationStore:
    return cast(ConversationStore, current_app.extensions[EXTENSION]["store"])


def current_replies() -> Replies:
    return cast(Replies, current_app.extensions[EXTENSION]["replies"])


def current_gate() -> Gate:
    return cast(Gate, current_app.extensions[EXTENSION]["gate"])


def current_recorder() -> Recorder:
    return cast(Recorder, current_app.extensions[EXTENSION]["recorder"])


def current_engine_state() -> State:
    return engine_state(current_settings())
