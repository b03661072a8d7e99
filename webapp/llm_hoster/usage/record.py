"""One request, as it is counted and kept."""

from __future__ import annotations

from dataclasses import dataclass

# Who chats in the page is the session's owner.
CHAT_ROUTE = "chat"
# What a request came to whose client has hung up (nginx's number), and one whose engine has ended under it.
CLIENT_GONE = (499, "client_gone")
ENGINE_ENDED = (502, "engine_ended")
SESSION_KILLED = (502, "session_killed")


@dataclass(frozen=True)
class RequestRecord:
    """
    `status` is what the request came to, also where its answer had begun with 200; None while it runs.

    `is_estimated`: the engine has not told the tokens. Then the prompt's are a quarter of the question's bytes, and the
    reply's are the events that came, which is at most what was generated. `begun_at` is in Unix seconds. `prompt` is
    what was asked, for the audit log alone, and None unless the site wants it there.
    """

    begun_at: float
    request_id: str
    key_id: str
    key_name: str
    model: str
    route: str
    is_stream: bool
    address: str
    status: int | None = None
    error_code: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    duration_s: float | None = None
    first_byte_s: float | None = None
    prompt: str | None = None

    @property
    def tokens(self) -> int:
        """Prompt and reply together, as limits and shares count them."""
        return self.prompt_tokens + self.completion_tokens
