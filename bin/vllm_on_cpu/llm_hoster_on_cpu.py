"""
What vLLM 0.32 does wrong on a CPU, mended: a plugin of vLLM (`vllm.general_plugins`), loaded in each of its processes.

It goes when vLLM's own repair is in the version that requirements/engine-cpu.in names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

OPERATIONS = ("bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")


def leave_the_base_model_alone() -> None:
    """
    Let no LoRA adapter answer for the base model.

    Each token has the index of its adapter, and -1 where it is the base model's. The operations for GPUs pass over -1;
    those for CPUs take the last adapter there is for it, as Python does, whenever a batch has questions to both. So
    what they multiply is made zero for these tokens. vLLM's pull request 48421 says the same.
    """
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops

    for name in OPERATIONS:
        operation = getattr(lora_ops, name)
        if not hasattr(operation, "__wrapped__"):  # vLLM may load a plugin several times.
            for module in (lora_ops, torch_ops):
                setattr(module, name, _for_adapters_alone(operation))


def _for_adapters_alone(operation: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(operation)
    def repaired(inputs: Any, weights: Any, output: Any, adapter_of_token: Any, *rest: Any, **named: Any) -> None:
        of_adapters = inputs.masked_fill((adapter_of_token < 0).unsqueeze(-1), 0)
        operation(of_adapters, weights, output, adapter_of_token, *rest, **named)

    return repaired
