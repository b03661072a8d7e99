"""The client for asyncio: the same methods, to be awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, overload

import openai

from llm_hoster.client.endpoint import Endpoint
from llm_hoster.client.following import Following, FollowingAsyncHttpClient
from llm_hoster.client.health import READY, Health, health_of
from llm_hoster.client.options import MAX_RETRIES, READY_TIMEOUT_S, TIMEOUT_S, Options
from llm_hoster.client.question import Messages, asked_texts, messages_of
from llm_hoster.client.reply import AsyncTextStream, Reply
from llm_hoster.client.source import source_of
from llm_hoster.client.waiting import Waiting, wait_header


def connect_async(
    session: str | os.PathLike[str] | None = None,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    timeout_s: float = TIMEOUT_S,
    max_retries: int = MAX_RETRIES,
    wait_for_model_s: float = 0.0,
) -> AsyncClient:
    """Find a session as `connect` does, before it returns, and give its client for asyncio."""
    options = Options(model, timeout_s, max_retries, wait_for_model_s)
    return AsyncClient(Following(source_of(session, base_url, api_key)), options)


class AsyncClient:
    """Client's twin. Made by `connect_async`; belongs to one event loop."""

    def __init__(self, following: Following, options: Options) -> None:
        self._following = following
        self._options = options
        self._listed_model = ""
        self.openai = openai.AsyncOpenAI(
            http_client=FollowingAsyncHttpClient(following), **options.for_openai(following.endpoint)
        )
        following.tell(self._move)

    def __repr__(self) -> str:
        return f"AsyncClient({self._following.endpoint.base_url!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self.openai.close()

    async def model(self) -> str:
        """Give the model that is asked: the one named to `connect_async`, or the one that the session serves now."""
        model = self._options.model or (await self._look()).model or self._listed_model
        if not model:
            model = self._listed_model = (await self.models())[0]
        return model

    async def chat(
        self, question: Messages, *, system: str | None = None, model: str | None = None, **options: Any
    ) -> Reply:
        """Give the answer to a text or to messages, as Client.chat does."""
        asked = model or await self.model()
        with self._following.explained():
            completion = await self.openai.chat.completions.create(
                model=asked, messages=messages_of(question, system), stream=False, **options
            )
        return Reply.of(completion)

    async def stream(
        self,
        question: Messages,
        *,
        system: str | None = None,
        model: str | None = None,
        with_reasoning: bool = False,
        **options: Any,
    ) -> AsyncTextStream:
        """Give the answer in pieces, for `async for`, as Client.stream does."""
        asked = model or await self.model()
        with self._following.explained():
            stream = await self.openai.chat.completions.create(
                model=asked, messages=messages_of(question, system), stream=True, **options
            )
        return AsyncTextStream(stream, with_reasoning=with_reasoning)

    async def complete(self, prompt: str, *, model: str | None = None, **options: Any) -> Reply:
        """Let the model go on with a text, without the form of a conversation."""
        asked = model or await self.model()
        with self._following.explained():
            completion = await self.openai.completions.create(model=asked, prompt=prompt, stream=False, **options)
        return Reply.of(completion)

    @overload
    async def embed(self, texts: str, *, model: str | None = None, **options: Any) -> list[float]: ...

    @overload
    async def embed(self, texts: Sequence[str], *, model: str | None = None, **options: Any) -> list[list[float]]: ...

    async def embed(
        self, texts: str | Sequence[str], *, model: str | None = None, **options: Any
    ) -> list[float] | list[list[float]]:
        """Give the numbers of a text, or those of each of several."""
        asked = model or await self.model()
        with self._following.explained():
            answer = await self.openai.embeddings.create(
                model=asked, input=asked_texts(texts), encoding_format="float", **options
            )
        vectors = [each.embedding for each in answer.data]
        return vectors[0] if isinstance(texts, str) else vectors

    async def models(self) -> list[str]:
        """Name what the session serves: the model and its adapters."""
        await self._look()
        with self._following.explained():
            return [each.id async for each in self.openai.models.list()]

    async def health(self) -> Health:
        """Say whether the model answers, or what it is at. Asks once."""
        await self._look()
        with self._following.explained():
            return await self._ask_health(0.0)

    async def wait_until_ready(
        self, timeout_s: float = READY_TIMEOUT_S, on_step: Callable[[str], object] | None = None
    ) -> None:
        """Return when the model answers, as Client.wait_until_ready does."""
        waiting = Waiting(timeout_s, on_step)
        while not waiting.is_over:
            await self._look()
            try:
                with self._following.explained():
                    waiting.hear(await self._ask_health(waiting.begin()))
            except openai.APIConnectionError as error:
                waiting.hear_nothing(error)
            await asyncio.sleep(waiting.pause_s)

    async def _ask_health(self, hold_s: float) -> Health:
        try:
            await self.openai.with_options(max_retries=0).models.list(extra_headers=wait_header(hold_s))
        except openai.APIStatusError as error:
            return health_of(error)
        return READY

    async def _look(self) -> Endpoint:
        """The file may lie on a slow file system, which must not stop the loop."""
        return await asyncio.to_thread(self._following.look)

    def _move(self, endpoint: Endpoint) -> None:
        self._listed_model = ""
        self.openai.base_url = endpoint.base_url
        self.openai.api_key = endpoint.api_key
