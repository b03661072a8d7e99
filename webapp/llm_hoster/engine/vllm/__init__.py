"""One `vllm serve`: its command line, its log, its figures, its answers."""
