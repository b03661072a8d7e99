"""
Our exceptions:

* LLMHosterError                 a sentence for a person; the command line prints it and exits with `exit_status`
  x ConfigError                  site.yml, models.yml or a file made from them is wrong
  x ChoiceError                  the values of the form do not go together
  x SessionError                 the staged session.json cannot be served, or a session does not do what was asked
    x NoSessionError             no session of the person's is called so, or none runs; exit status 3
    x NotReadyError              a session has not come up in the time that was given; exit status 4
  x ArchitectureError            a model's config.json or weight files cannot be understood
  x HubError                     a model cannot be fetched from the hub, or what was fetched is damaged
  x UsageError                   a record of requests cannot be read
  x AttachmentError              a file cannot be attached, or what was attached is lost
  x EngineError                  vLLM could not be started or does not answer
  x HTTPError                    an answer of the web app, with its status and OpenAI's error code
"""

from __future__ import annotations

from collections.abc import Mapping


class LLMHosterError(Exception):
    """Say what was found, what was expected and what to do, in one sentence or two."""

    exit_status = 1


class ConfigError(LLMHosterError):
    """A configuration file is wrong; the message names file, line and field."""


class ChoiceError(LLMHosterError):
    """What was chosen is not offered; the message says what to choose instead, word by word as the form does."""


class SessionError(LLMHosterError):
    """The session's files do not describe something that can be served, or it does not do what was asked."""


class NoSessionError(SessionError):
    """No session is meant, or several are; the message lists what there is."""

    exit_status = 3


class NotReadyError(SessionError):
    """It goes on, but takes longer than somebody wanted to wait."""

    exit_status = 4


class ArchitectureError(LLMHosterError):
    """A config.json or a weight file cannot be counted; the message says what was found and what is known."""


class HubError(LLMHosterError):
    """A model cannot be fetched, checked or removed; the message says what to do."""


class ApiKeyError(LLMHosterError):
    """A key cannot be made or revoked as asked; the message says what there is."""


class UsageError(LLMHosterError):
    """The record of a session's requests cannot be read, or what was asked of it makes no sense."""


class AttachmentError(LLMHosterError):
    """A file cannot be attached; `reason` and `values` are what the sentence was made of."""

    def __init__(self, message: str, *, reason: str, values: Mapping[str, object]) -> None:
        super().__init__(message)
        self.reason = reason
        self.values = values


class EngineError(LLMHosterError):
    """The engine did not start, ended, or did not answer."""


class HTTPError(LLMHosterError):
    """An error answer; rendered as OpenAI's envelope under /v1 and as a page elsewhere."""

    def __init__(self, status: int, message: str, *, code: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s
