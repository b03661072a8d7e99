"""
Our exceptions:

* LLMHosterError                 a sentence for a person; the command line prints it and exits 1
  x ConfigError                  site.yml, models.yml or a file made from them is wrong
  x ChoiceError                  the values of the form do not go together
  x SessionError                 the staged session.json cannot be served
  x ArchitectureError            a model's config.json or weight files cannot be understood
  x HubError                     a model cannot be fetched from the hub, or what was fetched is damaged
  x EngineError                  vLLM could not be started or does not answer
  x HTTPError                    an answer of the web app, with its status and OpenAI's error code
"""


class LLMHosterError(Exception):
    """Say what was found, what was expected and what to do, in one sentence or two."""


class ConfigError(LLMHosterError):
    """A configuration file is wrong; the message names file, line and field."""


class ChoiceError(LLMHosterError):
    """What was chosen is not offered; the message says what to choose instead, word by word as the form does."""


class SessionError(LLMHosterError):
    """The session's files do not describe something that can be served."""


class ArchitectureError(LLMHosterError):
    """A config.json or a weight file cannot be counted; the message says what was found and what is known."""


class HubError(LLMHosterError):
    """A model cannot be fetched, checked or removed; the message says what to do."""


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
