"""
Let vLLM build real models, as large as they are, without any weights: `python real_sizes.py FOLDER`.

FOLDER holds cases.json; answers.json is written beside it. Run by an engine's own Python. The models are vLLM's own
classes on torch's meta device, whose tensors have a shape and a type but no memory. Each is built as one GPU of many
sees it: vLLM only asks how many there are, so one process answers for eight.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before vLLM is imported: it reads them then.
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "OMP_NUM_THREADS": "1",
}

import torch
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.distributed import (
    destroy_distributed_environment,
    destroy_model_parallel,
    init_distributed_environment,
    initialize_model_parallel,
    parallel_state,
)
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import ModelRegistry
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.core import kv_cache_utils
from vllm.v1.kv_cache_interface import KVCacheSpec

# vLLM has FP8 and MLA on CPUs with these instructions only; nothing is computed here.
torch.cpu._is_amx_tile_supported = lambda: True


@contextlib.contextmanager
def one_of_many(config: VllmConfig, folder: Path) -> Iterator[None]:
    """Set up a world of one process that believes in its tensor and pipeline parallel peers."""
    parallel = config.parallel_config
    with set_current_vllm_config(config):
        try:
            init_distributed_environment(1, 0, f"file://{folder}/rendezvous", 0, backend="gloo")
            initialize_model_parallel(1, 1)
            parallel_state._TP.world_size = parallel.tensor_parallel_size
            parallel_state._PP.world_size = parallel.pipeline_parallel_size
            parallel_state._PP.ranks = list(range(parallel.pipeline_parallel_size))
            yield
        finally:
            destroy_model_parallel()
            destroy_distributed_environment()
            (folder / "rendezvous").unlink(missing_ok=True)


def build(config: VllmConfig, stage: int) -> tuple[torch.nn.Module, dict[str, KVCacheSpec]]:
    """Build the layers of one pipeline stage and return them with what each keeps of a conversation."""
    parallel_state._PP.rank = parallel_state._PP.rank_in_group = stage
    layers = config.compilation_config.static_forward_context
    layers.clear()
    with set_default_torch_dtype(config.model_config.dtype), torch.device("meta"):
        model = initialize_model(vllm_config=config)
    current_platform.update_block_size_for_backend(config)
    specs = {
        name: layer.get_kv_cache_spec(config)
        for name, layer in layers.items()
        if isinstance(layer, AttentionLayerBase) and not getattr(layer, "kv_sharing_target_layer_name", None)
    }
    return model, {name: spec for name, spec in specs.items() if spec}


def judge(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    (folder / "config.json").write_text(json.dumps(case["config"]))
    (name,) = case["config"]["architectures"]
    # vLLM would start another Python to look at the class, for ten seconds.
    ModelRegistry.register_model(name, ModelRegistry.models[name].load_model_cls())
    config = EngineArgs(
        model=str(folder),
        skip_tokenizer_init=True,
        enforce_eager=True,
        load_format="dummy",
        distributed_executor_backend="mp",
        **case["arguments"],
    ).create_engine_config(UsageContext.OPENAI_API_SERVER)
    with one_of_many(config, folder):
        stages = [build(config, stage) for stage in range(config.parallel_config.pipeline_parallel_size)]
        return {
            "dtype": str(config.model_config.dtype),
            "stages": [{"bytes": size(model), "parameters": sizes(model)} for model, _ in stages],
            "block_size": config.cache_config.block_size,
            "native_max_model_len": config.model_config.max_model_len,
        } | capacity(config, [specs for _, specs in stages], case["plan"])


def capacity(config: VllmConfig, specs: list[dict[str, KVCacheSpec]], plan: dict[str, int]) -> dict[str, Any]:
    config.cache_config.kv_cache_layout = "LBNHC"
    config.model_config.max_model_len = plan["max_model_len"]
    config.scheduler_config.max_num_batched_tokens = plan["max_num_batched_tokens"]
    caches = kv_cache_utils.get_kv_cache_configs(config, specs, [plan["available_bytes"]] * len(specs))
    cache = kv_cache_utils.generate_scheduler_kv_cache_config(caches)
    tokens, concurrency = kv_cache_utils.get_kv_cache_capacity(config, cache)
    return plan | {
        "max_in_flight_tokens": config.max_in_flight_tokens,
        "tokens": tokens,
        "concurrency": concurrency,
        "groups": [
            [type(group.kv_cache_spec).__name__, group.kv_cache_spec.block_size, len(group.layer_names)]
            for group in cache.kv_cache_groups
        ],
    }


def size(model: torch.nn.Module) -> int:
    """Sum up the parameters; tied ones count once."""
    return sum(parameter.nbytes for parameter in {id(each): each for each in model.parameters()}.values())


def sizes(model: torch.nn.Module) -> dict[str, int]:
    """Bytes by name without the layer's number, to see which group of weights disagrees."""
    answer: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        group = re.sub(r"\.\d+\.", ".*.", name)
        answer[group] = answer.get(group, 0) + parameter.nbytes
    return answer


def main() -> None:
    folder = Path(sys.argv[1])
    answers = {}
    for name, case in json.loads((folder / "cases.json").read_text()).items():
        try:
            answers[name] = judge(folder, case)
        except Exception as error:
            traceback.print_exc()
            answers[name] = {"error": repr(error)}
    (folder / "answers.json").write_text(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main()
