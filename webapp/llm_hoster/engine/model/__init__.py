"""The model's files, from the hub to the page cache, and all that lets vLLM start on them sooner."""
