"""The node side of a session: vLLM, its supervisor and what is known of its state."""
