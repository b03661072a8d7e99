"""The shown branch of a conversation as one HTML file that needs nothing else: no script, no address, our own style."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

from flask import render_template
from markupsafe import Markup

from llm_hoster.bundle import bundle_style_sheets
from llm_hoster.chat.message import Conversation, Message

STATIC = Path(__file__).parents[2] / "static"
STYLE_SHEETS = ("app.css", "message.css", "prose.css")


def html_of(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Whoever opens it has no session: nothing of it is loaded or run, which its policy holds too."""
    style, digest = _style()
    return render_template(
        "exchange/html_file.html",
        conversation=conversation,
        messages=messages,
        style=Markup(style),  # noqa: S704 - our own file
        digest=digest,
        time_of=lambda seconds: datetime.fromtimestamp(seconds, timezone.utc),
    )


@lru_cache(maxsize=1)
def _style() -> tuple[str, str]:
    style = bundle_style_sheets(STATIC / name for name in STYLE_SHEETS)
    return style, b64encode(hashlib.sha256(style.encode()).digest()).decode()
