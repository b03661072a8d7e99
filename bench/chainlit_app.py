"""A chat of Chainlit before an endpoint of OpenAI's kind, as its documentation writes one; run by Chainlit."""

import os

import chainlit
from openai import AsyncOpenAI

client = AsyncOpenAI(base_url=os.environ["ENGINE_URL"], api_key="none")


@chainlit.on_message
async def answer(question: chainlit.Message) -> None:
    reply = chainlit.Message(content="")
    stream = await client.chat.completions.create(
        model="tiny", stream=True, messages=[{"role": "user", "content": question.content}]
    )
    async for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            await reply.stream_token(text)
    await reply.update()
