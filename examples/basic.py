"""Ask a question, and the same with more said about how to answer it."""

from llm_hoster.client import connect

with connect() as client:
    client.wait_until_ready(on_step=print)
    print(client.chat("Say hello."))

    reply = client.chat("Count to twenty.", system="Answer briefly.", temperature=0, max_tokens=100)
    print(reply)
    if reply.usage is not None:
        print(f"{reply.usage.completion_tokens} tokens, ended by {reply.finish_reason}")
