"""How a model is shared out: the one rule for the memory arithmetic and for vLLM's arguments."""

from __future__ import annotations

from typing import NamedTuple


class Split(NamedTuple):
    tensor_parallel: int
    """GPUs that share each layer."""
    pipeline_parallel: int
    """Groups of layers, one after the other."""


def split(num_gpus: int, nodes: int) -> Split:
    """
    Share each layer within a node, and the layers among the nodes, as vLLM recommends.

    The GPUs of one layer exchange data several times in it; from node to node only its result goes.
    """
    return Split(max(1, num_gpus // max(1, nodes)), max(1, nodes))
