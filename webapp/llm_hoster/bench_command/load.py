"""Questions to an endpoint, as many at a time as are wanted, with the times of what comes back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from openai import APIError, AsyncOpenAI

from llm_hoster.bench_command.figures import Answer, Figures

TIMEOUT_S = 600.0
# Prompts are tokens by number, so that they have the length that is wanted. Every model has these numbers, and low ones
# may have a meaning of their own. A prompt that nobody has sent before is in no cache.
FIRST_TOKEN, LAST_TOKEN = 300, 600


@dataclass(frozen=True)
class Target:
    """Where to ask, and how long questions and replies are, in tokens."""

    base_url: str
    api_key: str
    model: str
    input_tokens: int
    output_tokens: int


def measure(target: Target, concurrency: int, requests: int, on_answer: Callable[[int], None]) -> Figures:
    """Ask `requests` times, after once that does not count; an error of the endpoint is one of the figures."""
    return asyncio.run(_measure(target, concurrency, requests, on_answer))


async def _measure(target: Target, concurrency: int, requests: int, on_answer: Callable[[int], None]) -> Figures:
    answers: list[Answer] = []
    left = iter(range(requests))

    async def ask_in_turn(client: AsyncOpenAI) -> None:
        for _ in left:
            answers.append(await ask(client, target))
            on_answer(1)

    async with AsyncOpenAI(
        base_url=target.base_url, api_key=target.api_key, timeout=TIMEOUT_S, max_retries=0
    ) as client:
        await ask(client, target)
        began_at = time.perf_counter()
        await asyncio.gather(*(ask_in_turn(client) for _ in range(concurrency)))
        return Figures(concurrency, answers, time.perf_counter() - began_at)


async def ask(client: AsyncOpenAI, target: Target) -> Answer:
    prompt = random.choices(range(FIRST_TOKEN, LAST_TOKEN), k=target.input_tokens)  # noqa: S311 - no secret
    answer = Answer()
    began_at = heard_at = time.perf_counter()
    try:
        stream = await client.completions.create(
            model=target.model,
            prompt=prompt,
            max_tokens=target.output_tokens,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
        async for piece in stream:
            now = time.perf_counter()
            if piece.usage is not None:
                answer.input_tokens, answer.output_tokens = piece.usage.prompt_tokens, piece.usage.completion_tokens
            if not piece.choices:
                continue
            if answer.ttft_s is None:
                answer.ttft_s = now - began_at
            else:
                answer.gaps_s.append(now - heard_at)
            heard_at = now
    except APIError as error:
        answer.error = str(error)
    answer.duration_s = time.perf_counter() - began_at
    return answer
