"""Ask many questions at once: the session answers them together, so all take little longer than one."""

import asyncio

from llm_hoster.client import connect_async

QUESTIONS = ["Say hello.", "Count to twenty.", "Think, then answer."]


async def main() -> None:
    async with connect_async(wait_for_model_s=600) as client:
        replies = await asyncio.gather(*(client.chat(question) for question in QUESTIONS))
    for question, reply in zip(QUESTIONS, replies, strict=True):
        print(f"{question} {reply}")


asyncio.run(main())
