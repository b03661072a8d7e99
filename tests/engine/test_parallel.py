"""How several GPUs and nodes are shared out: the same in vLLM's arguments as in the arithmetic of the memory."""

from __future__ import annotations

import pytest

from llm_hoster.engine.vllm.parallel import parallel_arguments
from llm_hoster.fit.wish import Wish

RAY = ["--distributed-executor-backend", "ray"]


@pytest.mark.parametrize(
    ("num_gpus", "nodes", "replicas", "arguments"),
    [
        (1, 1, 1, []),
        (4, 1, 1, ["--tensor-parallel-size", "4"]),
        (2, 2, 1, ["--pipeline-parallel-size", "2", *RAY]),
        (8, 2, 1, ["--tensor-parallel-size", "4", "--pipeline-parallel-size", "2", *RAY]),
        (12, 3, 1, ["--tensor-parallel-size", "4", "--pipeline-parallel-size", "3", *RAY]),
        (4, 1, 4, ["--data-parallel-size", "4"]),
        (4, 1, 2, ["--tensor-parallel-size", "2", "--data-parallel-size", "2"]),
    ],
)
def test_layers_are_shared_within_a_node_and_the_model_among_nodes(
    num_gpus: int, nodes: int, replicas: int, arguments: list[str]
) -> None:
    assert parallel_arguments(num_gpus, nodes, replicas) == arguments
    named = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert str(Wish(num_gpus=num_gpus // replicas, nodes=nodes).tensor_parallel) == named.get(
        "--tensor-parallel-size", "1"
    )
