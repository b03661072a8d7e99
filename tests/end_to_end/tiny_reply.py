"""What the tiny model answers to its greeting, and the request that asks for it."""

from __future__ import annotations

GREETING = "Hello! I am the tiny model of LLM Hoster."
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}], "temperature": 0}
