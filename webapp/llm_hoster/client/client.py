"""The client whose methods return when the answer is there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, overload

import openai

from llm_hoster.client.endpoint import Endpoint
from llm_hoster.client.following import Following, FollowingHttpClient
from llm_hoster.client.health import READY, Health, health_of
from llm_hoster.client.options import MAX_RETRIES, READY_TIMEOUT_S, TIMEOUT_S, Options
from llm_hoster.client.question import Messages, asked_texts, messages_of
from llm_hoster.client.reply import Reply, TextStream
from llm_hoster.client.source import source_of
from llm_hoster.client.waiting import Waiting, wait_header


def connect(
    session: str | os.PathLike[str] | None = None,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    timeout_s: float = TIMEOUT_S,
    max_retries: int = MAX_RETRIES,
    wait_for_model_s: float = 0.0,
) -> Client:
    """
    Find a session and give its client; raise NoSessionError where there is none.

    `session` is an endpoint file, a session's folder or the beginning of its id. Without it and without `base_url`,
    LLM_HOSTER_ENDPOINT names an endpoint file or LLM_HOSTER_BASE_URL an address; else the newest session that runs is
    taken. An `api_key` (or LLM_HOSTER_API_KEY) is used instead of the owner's. With `wait_for_model_s`, questions wait
    for a model that still loads.
    """
    options = Options(model, timeout_s, max_retries, wait_for_model_s)
    return Client(Following(source_of(session, base_url, api_key)), options)


class Client:
    """Questions to one session, or to the one that has taken its place. Made by `connect`; threads may share it."""

    def __init__(self, following: Following, options: Options) -> None:
        self._following = following
        self._options = options
        self._listed_model = ""
        self.openai = openai.OpenAI(
            http_client=FollowingHttpClient(following), **options.for_openai(following.endpoint)
        )
        following.tell(self._move)

    def __repr__(self) -> str:
        return f"Client({self._following.endpoint.base_url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.openai.close()

    @property
    def base_url(self) -> str:
        """Where the session answers now."""
        return self._following.look().base_url

    @property
    def model(self) -> str:
        """The model that is asked: the one named to `connect`, or else the one that the session serves now."""
        model = self._options.model or self._following.look().model or self._listed_model
        if not model:
            model = self._listed_model = self.models()[0]
        return model

    def chat(self, question: Messages, *, system: str | None = None, model: str | None = None, **options: Any) -> Reply:
        """
        Give the answer to a text, or to messages as OpenAI's API has them.

        `options` are those of OpenAI's chat completions: temperature, max_tokens, tools, response_format, ...
        """
        with self._following.explained():
            completion = self.openai.chat.completions.create(
                model=model or self.model, messages=messages_of(question, system), stream=False, **options
            )
        return Reply.of(completion)

    def stream(
        self,
        question: Messages,
        *,
        system: str | None = None,
        model: str | None = None,
        with_reasoning: bool = False,
        **options: Any,
    ) -> TextStream:
        """Give the answer in pieces, as they are written. It is not asked for again once it has begun."""
        with self._following.explained():
            stream = self.openai.chat.completions.create(
                model=model or self.model, messages=messages_of(question, system), stream=True, **options
            )
        return TextStream(stream, with_reasoning=with_reasoning)

    def complete(self, prompt: str, *, model: str | None = None, **options: Any) -> Reply:
        """Let the model go on with a text, without the form of a conversation."""
        with self._following.explained():
            completion = self.openai.completions.create(
                model=model or self.model, prompt=prompt, stream=False, **options
            )
        return Reply.of(completion)

    @overload
    def embed(self, texts: str, *, model: str | None = None, **options: Any) -> list[float]: ...

    @overload
    def embed(self, texts: Sequence[str], *, model: str | None = None, **options: Any) -> list[list[float]]: ...

    def embed(
        self, texts: str | Sequence[str], *, model: str | None = None, **options: Any
    ) -> list[float] | list[list[float]]:
        """Give the numbers of a text, or those of each of several."""
        with self._following.explained():
            answer = self.openai.embeddings.create(
                model=model or self.model, input=asked_texts(texts), encoding_format="float", **options
            )
        vectors = [each.embedding for each in answer.data]
        return vectors[0] if isinstance(texts, str) else vectors

    def models(self) -> list[str]:
        """Name what the session serves: the model and its adapters."""
        self._following.look()
        with self._following.explained():
            return [each.id for each in self.openai.models.list()]

    def health(self) -> Health:
        """Say whether the model answers, or what it is at. Asks once."""
        self._following.look()
        with self._following.explained():
            return self._ask_health(0.0)

    def wait_until_ready(
        self, timeout_s: float = READY_TIMEOUT_S, on_step: Callable[[str], object] | None = None
    ) -> None:
        """
        Return when the model answers; raise NotReadyError when it has failed, or is not there in time.

        `on_step` gets the session's sentence for the step that it is at, each once.
        """
        waiting = Waiting(timeout_s, on_step)
        while not waiting.is_over:
            self._following.look()
            try:
                with self._following.explained():
                    waiting.hear(self._ask_health(waiting.begin()))
            except openai.APIConnectionError as error:
                waiting.hear_nothing(error)
            time.sleep(waiting.pause_s)

    def _ask_health(self, hold_s: float) -> Health:
        try:
            self.openai.with_options(max_retries=0).models.list(extra_headers=wait_header(hold_s))
        except openai.APIStatusError as error:
            return health_of(error)
        return READY

    def _move(self, endpoint: Endpoint) -> None:
        self._listed_model = ""
        self.openai.base_url = endpoint.base_url
        self.openai.api_key = endpoint.api_key
