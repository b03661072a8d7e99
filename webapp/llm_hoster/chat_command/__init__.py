"""`llm-hoster chat`: a conversation with one's own session in a terminal."""
