"""Show an answer while it is written, what the model thinks before it too."""

from llm_hoster.client import connect

with connect(wait_for_model_s=600) as client, client.stream("Think, then answer.", with_reasoning=True) as stream:
    for piece in stream:
        print(f"({piece})" if piece.is_reasoning else piece, end="", flush=True)
    print()
