"""What the model answers: texts that know a little more than their letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Any

import openai
from openai.types import Completion, CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk


class Reply(str):
    """The text of an answer. `completion` is all that the openai package gives: tool calls, usage, log probs."""

    completion: ChatCompletion | Completion

    @classmethod
    def of(cls, completion: ChatCompletion | Completion) -> Reply:
        choice: Any = completion.choices[0]
        reply = cls((choice.message.content if isinstance(completion, ChatCompletion) else choice.text) or "")
        reply.completion = completion
        return reply

    @property
    def reasoning(self) -> str:
        """What the model wrote before its answer; empty where it did not."""
        return _reasoning(getattr(self.completion.choices[0], "message", None))

    @property
    def finish_reason(self) -> str:
        """`stop` for a whole answer, `length` for one that was cut at its limit."""
        return str(self.completion.choices[0].finish_reason)

    @property
    def usage(self) -> CompletionUsage | None:
        return self.completion.usage


class Piece(str):
    """A few letters of an answer that is being written."""

    is_reasoning: bool

    @classmethod
    def of(cls, text: str, *, is_reasoning: bool) -> Piece:
        piece = cls(text)
        piece.is_reasoning = is_reasoning
        return piece


class _Text:
    """What is known of a stream: `finish_reason` and `usage` at its end."""

    def __init__(self, *, with_reasoning: bool) -> None:
        self._with_reasoning = with_reasoning
        self.finish_reason: str | None = None
        self.usage: CompletionUsage | None = None

    def _pieces(self, chunk: ChatCompletionChunk) -> Iterable[Piece]:
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices[:1]:
            self.finish_reason = choice.finish_reason or self.finish_reason
            reasoning = _reasoning(choice.delta)
            if reasoning and self._with_reasoning:
                yield Piece.of(reasoning, is_reasoning=True)
            if choice.delta.content:
                yield Piece.of(choice.delta.content, is_reasoning=False)


class TextStream(_Text):
    """The pieces of an answer as they come. Leaving it, or `close`, ends the model's work."""

    def __init__(self, stream: openai.Stream[ChatCompletionChunk], *, with_reasoning: bool) -> None:
        super().__init__(with_reasoning=with_reasoning)
        self._stream = stream
        self._iterator = self._iterate()

    def __iter__(self) -> Iterator[Piece]:
        return self._iterator

    def __next__(self) -> Piece:
        return next(self._iterator)

    def _iterate(self) -> Iterator[Piece]:
        with self._stream:
            for chunk in self._stream:
                yield from self._pieces(chunk)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> TextStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncTextStream(_Text):
    """TextStream's twin."""

    def __init__(self, stream: openai.AsyncStream[ChatCompletionChunk], *, with_reasoning: bool) -> None:
        super().__init__(with_reasoning=with_reasoning)
        self._stream = stream
        self._iterator = self._iterate()

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self._iterator

    async def __anext__(self) -> Piece:
        return await anext(self._iterator)

    async def _iterate(self) -> AsyncIterator[Piece]:
        async with self._stream:
            async for chunk in self._stream:
                for piece in self._pieces(chunk):
                    yield piece

    async def close(self) -> None:
        await self._stream.close()

    async def __aenter__(self) -> AsyncTextStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _reasoning(message: Any) -> str:
    """vLLM adds it to OpenAI's fields."""
    text = getattr(message, "reasoning", None) or getattr(message, "reasoning_content", None)
    return text if isinstance(text, str) else ""
