"""
The client's own exceptions. What the endpoint answers comes as the openai package's classes, and is left as it is.

* ClientError
  x NoSessionError               no session runs, or what was named is none
  x NotReadyError                the model is not there in time, or has failed
* openai.APIConnectionError
  x UnreachableError             the session does not answer any more, and no other has taken its place (following.py)
"""

from __future__ import annotations

HOW_TO_LAUNCH = "Launch one from the portal's Interactive Apps, or with `llm-hoster launch`."


class ClientError(Exception):
    """Say what was looked for, and what to do."""


class NoSessionError(ClientError):
    """Nothing tells where an endpoint is."""


class NotReadyError(ClientError):
    """The session's model does not answer yet, or never will; the message has the session's own words."""
