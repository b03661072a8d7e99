"""`llm-hoster bench`: how fast an endpoint answers several at the same time."""
