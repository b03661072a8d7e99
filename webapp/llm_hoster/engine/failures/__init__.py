"""Why vLLM has failed, read from its log, and what would help."""
