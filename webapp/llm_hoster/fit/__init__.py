"""How much memory a model takes under vLLM, and whether GPUs have it. Pure, but for reading a model's own files."""
