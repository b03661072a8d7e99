"""Several GPUs and several nodes, as arguments of `vllm serve`."""

from __future__ import annotations

from llm_hoster.fit.split import split


def parallel_arguments(num_gpus: int, nodes: int, replicas: int = 1) -> list[str]:
    """`num_gpus` are those of all nodes and replicas together. One GPU needs no argument."""
    parts = split(num_gpus // replicas, nodes)
    arguments = []
    if parts.tensor_parallel > 1:
        arguments += ["--tensor-parallel-size", str(parts.tensor_parallel)]
    if parts.pipeline_parallel > 1:
        # Within a node vLLM takes its own processes; Ray must be asked for.
        arguments += ["--pipeline-parallel-size", str(parts.pipeline_parallel), "--distributed-executor-backend", "ray"]
    if replicas > 1:
        arguments += ["--data-parallel-size", str(replicas)]
    return arguments
