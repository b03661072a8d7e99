"""
The way to the session of now. Trying again is the openai package's own work; between two tries we look for the address.

Only what has not been answered is asked again: a stream that has begun ends with its session.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai

from llm_hoster.client.endpoint import Endpoint
from llm_hoster.client.errors import HOW_TO_LAUNCH, NoSessionError
from llm_hoster.client.source import Source

# By this header of an answer the openai package is told to ask once more.
RETRY_HEADER = "x-should-retry"
UNAUTHORIZED = 401


class UnreachableError(openai.APIConnectionError):
    """Nobody answers at the address of the session; the message says what to do."""


class Following:
    """The endpoint as it was found last. Shared by threads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Endpoint], None]] = []
        self.endpoint = source.find()

    def tell(self, listener: Callable[[Endpoint], None]) -> None:
        """Call it each time that the endpoint is another."""
        self._listeners.append(listener)

    def look(self) -> Endpoint:
        """Read the session's file again: it names another model after a switch, and the next session in a row."""
        self._take(self._source.read_again(self.endpoint))
        return self.endpoint

    def search(self) -> bool:
        """Look for a session as in the beginning; say whether the endpoint is another than before."""
        try:
            return self._take(self._source.find())
        except NoSessionError:
            return False

    def _take(self, found: Endpoint | None) -> bool:
        with self._lock:
            if found is None or found == self.endpoint:
                return False
            self.endpoint = found
            for listener in self._listeners:
                listener(found)
            return True

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say what to do where the openai package only says "Connection error."."""
        try:
            yield
        except openai.APIConnectionError as error:
            if isinstance(error, openai.APITimeoutError) and not _is(error.__cause__, "ConnectTimeout"):
                raise
            message = (
                f"The session at {self.endpoint.host} does not answer: it has ended, or this machine cannot reach its "
                f"node. {HOW_TO_LAUNCH}"
            )
            raise UnreachableError(message=message, request=error.request) from error


class FollowingHttpClient(openai.DefaultHttpxClient):
    """What the openai package sends its requests with."""

    def __init__(self, following: Following) -> None:
        super().__init__(**_http_options(following.endpoint))
        self._following = following

    def send(self, *arguments: Any, **options: Any) -> Any:
        try:
            response = super().send(*arguments, **options)
        except Exception as error:
            _end_a_long_wait(error)
            self._following.search()
            raise
        if response.status_code == UNAUTHORIZED and self._following.search():
            response.headers[RETRY_HEADER] = "true"
        return response


class FollowingAsyncHttpClient(openai.DefaultAsyncHttpxClient):
    def __init__(self, following: Following) -> None:
        super().__init__(**_http_options(following.endpoint))
        self._following = following

    async def send(self, *arguments: Any, **options: Any) -> Any:
        try:
            response = await super().send(*arguments, **options)
        except Exception as error:
            _end_a_long_wait(error)
            await asyncio.to_thread(self._following.search)
            raise
        if response.status_code == UNAUTHORIZED and await asyncio.to_thread(self._following.search):
            response.headers[RETRY_HEADER] = "true"
        return response


def _end_a_long_wait(error: Exception) -> None:
    """A question that the model has not answered in time would take as long again: it is not tried again."""
    if _is(error, "ReadTimeout"):
        raise openai.APITimeoutError(request=getattr(error, "request", None)) from error  # type: ignore[arg-type]


def _is(error: BaseException | None, name: str) -> bool:
    """Know httpx's errors by name: the openai package has httpx or httpx2, by its version."""
    return type(error).__name__ == name


def _http_options(endpoint: Endpoint) -> dict[str, Any]:
    """Whoever has the port of a dead session cannot send us elsewhere."""
    return {"trust_env": not endpoint.is_of_the_cluster, "follow_redirects": False}
