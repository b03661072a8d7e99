"""Where the client learns its endpoint: from its arguments, the environment, or the sessions that run."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_hoster.client.endpoint import Endpoint, is_address, read_endpoint
from llm_hoster.client.errors import HOW_TO_LAUNCH, NoSessionError
from llm_hoster.client.own_folder import tunnels_folder
from llm_hoster.client.session_files import ENDPOINT_FILE, OUTCOME_FILE, STAGED_FILE
from llm_hoster.client.staged_session import StagedSession, sessions_named, staged_folders

ENDPOINT_VARIABLE = "LLM_HOSTER_ENDPOINT"
BASE_URL_VARIABLE = "LLM_HOSTER_BASE_URL"
API_KEY_VARIABLE = "LLM_HOSTER_API_KEY"


class Source(ABC):
    @abstractmethod
    def find(self) -> Endpoint:
        """Look anew; raise NoSessionError where there is none."""

    def read_again(self, endpoint: Endpoint) -> Endpoint | None:
        """Read the file of what was found before; None where there is none, or not at the moment."""
        return None if endpoint.path is None else read_endpoint(endpoint.path)


@dataclass(frozen=True)
class OwnKey(Source):
    """Another key than the owner's, with the session of today: keys may outlive sessions."""

    source: Source
    api_key: str = field(repr=False)

    def find(self) -> Endpoint:
        return replace(self.source.find(), api_key=self.api_key)

    def read_again(self, endpoint: Endpoint) -> Endpoint | None:
        found = self.source.read_again(endpoint)
        return None if found is None else replace(found, api_key=self.api_key)


@dataclass(frozen=True)
class GivenEndpoint(Source):
    endpoint: Endpoint

    def find(self) -> Endpoint:
        return self.endpoint


@dataclass(frozen=True)
class EndpointFile(Source):
    """The session rewrites it when it changes its model, and the next session in a row when it takes over."""

    path: Path

    def find(self) -> Endpoint:
        endpoint = read_endpoint(self.path)
        if endpoint is None:
            raise NoSessionError(self._why_not())
        return endpoint

    def _why_not(self) -> str:
        folder = self.path.parent
        if self.path.exists():
            return f"{self.path} is not the endpoint file of a session, which has base_url, api_key and model."
        if (folder / STAGED_FILE).exists() and not (folder / OUTCOME_FILE).exists():
            return f"Session {folder.name} has no address yet: its job waits in the queue, or has just begun."
        return f"{self.path} is not there: no session runs in that folder. {HOW_TO_LAUNCH}"


class NewestSession(Source):
    """The newest that answers, of the tunnels that are open here and the sessions that OnDemand has staged."""

    def find(self) -> Endpoint:
        asked = []
        for endpoint in self._candidates():
            if endpoint.answers():
                return endpoint
            asked.append(endpoint.host)
        raise NoSessionError(self._why_none(asked))

    def _candidates(self) -> Iterator[Endpoint]:
        for path in sorted(tunnels_folder().glob("*.json"), key=_age, reverse=True):
            endpoint = read_endpoint(path)
            if endpoint is not None:
                yield endpoint
        for session in map(StagedSession, staged_folders()):
            endpoint = session.endpoint
            if endpoint is not None and not session.has_ended:
                yield endpoint

    def _why_none(self, asked: list[str]) -> str:
        if asked:
            return (
                f"None of your sessions answers ({', '.join(asked[:5])}): they have ended, or this machine cannot "
                "reach their nodes. On a laptop, open `llm-hoster tunnel` first."
            )
        waiting = [session.id for session in map(StagedSession, staged_folders()) if not session.outcome]
        if waiting:
            return f"No session of yours runs yet. The newest, {waiting[0]}, waits in the queue, or has just begun."
        return (
            f"No session of yours runs. {HOW_TO_LAUNCH} "
            f"On a laptop, open `llm-hoster tunnel` first, or set {ENDPOINT_VARIABLE} to an endpoint file."
        )


def source_of(
    session: str | os.PathLike[str] | None, base_url: str | None = None, api_key: str | None = None
) -> Source:
    """`session` is an endpoint file, a session's folder, or the beginning of its id. Raise NoSessionError for none."""
    if session is not None and base_url is not None:
        raise NoSessionError("Both a session and a base_url were given: which is meant?")
    if session is None and base_url is None:
        path = os.environ.get(ENDPOINT_VARIABLE)
        base_url = None if path else os.environ.get(BASE_URL_VARIABLE) or None
        api_key = api_key or os.environ.get(API_KEY_VARIABLE) or None
        session = path or None
    if base_url is not None:
        return _given(base_url, api_key)
    source = NewestSession() if session is None else _source_of_session(session)
    return source if api_key is None else OwnKey(source, api_key)


def _given(base_url: str, api_key: str | None) -> Source:
    if api_key is None:
        raise NoSessionError(f"An address without a key was given: add api_key, or {API_KEY_VARIABLE}.")
    if not is_address(base_url):
        raise NoSessionError(f"The address is {base_url!r}; expected one such as http://NODE:PORT/v1.")
    return GivenEndpoint(Endpoint(base_url.rstrip("/"), api_key))


def _source_of_session(session: str | os.PathLike[str]) -> Source:
    path = Path(session).expanduser()
    if path.is_dir():
        return EndpointFile(path / ENDPOINT_FILE)
    if path.is_file() or len(path.parts) > 1:
        return EndpointFile(path)
    sessions = list(map(StagedSession, staged_folders()))
    fitting = sessions_named(str(session), sessions)
    if len(fitting) == 1:
        return EndpointFile(fitting[0].folder / ENDPOINT_FILE)
    problem = f"Several of your sessions begin with {session!r}" if fitting else f"No session of yours is {session!r}"
    known = ", ".join(each.id for each in (fitting or sessions)[:10])
    raise NoSessionError(f"{problem}. " + (f"There is: {known}." if known else "None was found at all."))


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
