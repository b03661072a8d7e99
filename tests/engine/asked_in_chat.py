"""Questions in the chat of a session that runs, as a browser asks them, and what its history has of the replies."""

from __future__ import annotations

from typing import Any

import requests

from tests.engine.conftest import wait_until
from tests.web_session import PASSWORD


def log_in(url: str) -> requests.Session:
    browser = requests.Session()
    browser.post(f"{url}/login", data={"password": PASSWORD}).raise_for_status()
    return browser


def ask_in_chat(
    browser: requests.Session, url: str, chat: str, question: str, *, max_tokens: int, **form: object
) -> list[dict[str, Any]]:
    """Ask in a new chat, without chance; give the replies."""
    settings = {"temperature": "0", "max_tokens": str(max_tokens)}
    browser.post(f"{url}/chat/{chat}/settings", data=settings).raise_for_status()
    browser.post(f"{url}/chat/{chat}/messages", data={"message": question} | form).raise_for_status()
    wait_until(lambda: "message-stop" not in browser.get(f"{url}/chat/{chat}").text, timeout_s=60)
    messages = browser.get(f"{url}/chats/{chat}/export.json").json()["conversations"][0]["messages"]
    return [each for each in messages if each["role"] == "assistant"]
