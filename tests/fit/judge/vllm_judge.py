"""
Let vLLM load the tiny models, one after the other, and write down what it says: `python vllm_judge.py FOLDER`.

FOLDER holds the models and cases.json; answers.json is written beside it.

Run by an engine's own Python. One process imports vLLM once and builds what `vllm serve` builds behind its API, the
engine core with model, KV cache and scheduler; a server for each model would spend half a minute on imports alone. The
log lines are taken as records: their arguments are the exact numbers, where the text shows two decimals.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before vLLM is imported: it reads them then.
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}

import torch
import vllm.logger
from vllm.distributed import destroy_distributed_environment, destroy_model_parallel
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader import base_loader
from vllm.model_executor.models import ModelRegistry
from vllm.usage.usage_lib import UsageContext
from vllm.v1.core import kv_cache_utils
from vllm.v1.engine.core import EngineCore
from vllm.v1.executor import Executor
from vllm.v1.kv_cache_interface import MambaSpec

GIB = 1024**3


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def find(self, words: str) -> logging.LogRecord:
        return next(record for record in self.records if words in str(record.msg))


@contextlib.contextmanager
def recorded_log() -> Iterator[Records]:
    handler = Records()
    logging.getLogger("vllm").addHandler(handler)
    # Each line is written once per process; here each model is a new start.
    vllm.logger._print_info_once.cache_clear()
    try:
        yield handler
    finally:
        logging.getLogger("vllm").removeHandler(handler)


def judge(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Start the engine core and return what it found out."""
    engine_arguments = EngineArgs(
        model=str(folder),
        skip_tokenizer_init=True,
        enforce_eager=True,
        distributed_executor_backend="uni",
        **case["arguments"],
    )
    config = engine_arguments.create_engine_config(UsageContext.OPENAI_API_SERVER)
    # vLLM collects garbage eight times in a start and an end; what is frozen costs it no time.
    gc.freeze()
    try:
        with recorded_log() as log, loaded_models() as sizes:
            engine = EngineCore(config, Executor.get_class(config), log_stats=False)
            answer = read_answer(engine, log) | {"loaded_bytes": sizes.pop()}
            return answer | {"capacities": [read_capacity(engine, plan) for plan in case["plans"]]}
    finally:
        destroy_model_parallel()
        destroy_distributed_environment()


def read_answer(engine: EngineCore, log: Records) -> dict[str, Any]:
    config = engine.vllm_config
    checkpoint, cache = log.find("Checkpoint size"), log.find("KV cache size")
    assert isinstance(checkpoint.args, tuple) and isinstance(cache.args, tuple)
    return {
        "checkpoint_line": checkpoint.getMessage(),
        "checkpoint_bytes": round(float(checkpoint.args[1]) * GIB),
        "kv_cache_line": cache.getMessage(),
        "tokens": config.cache_config.kv_cache_size_tokens,
        "concurrency": config.cache_config.kv_cache_max_concurrency,
        "available_bytes": config.cache_config.kv_cache_memory_bytes,
        "max_model_len": config.model_config.max_model_len,
        "max_in_flight_tokens": config.max_in_flight_tokens,
        "block_size": config.cache_config.block_size,
        "num_blocks": engine.scheduler.kv_cache_config.num_blocks,
        "groups": [
            [type(group.kv_cache_spec).__name__, group.kv_cache_spec.block_size, len(group.layer_names)]
            for group in engine.scheduler.kv_cache_config.kv_cache_groups
        ],
    }


def read_capacity(engine: EngineCore, plan: dict[str, int]) -> dict[str, Any]:
    """Ask the functions behind the log line, for memory and block sizes of GPUs that this machine has not."""
    config = engine.vllm_config
    config.model_config.max_model_len = plan["max_model_len"]
    config.scheduler_config.max_num_batched_tokens = plan["max_in_flight_tokens"]
    specs = engine.model_executor.get_kv_cache_specs()[0]
    is_hybrid = any(isinstance(spec, MambaSpec) for spec in specs.values())
    # A hybrid's block size follows from its state, so it stays what vLLM chose.
    block_size = config.cache_config.block_size if is_hybrid else plan["block_size"]
    if not is_hybrid:
        specs = {name: spec.copy_with_new_block_size(block_size) for name, spec in specs.items()}
    groups = kv_cache_utils.get_kv_cache_groups(config, specs)
    cache = kv_cache_utils.get_kv_cache_config_from_groups(config, groups, plan["available_bytes"])
    tokens, concurrency = kv_cache_utils.get_kv_cache_capacity(config, cache)
    usable_bytes = plan["available_bytes"] - kv_cache_utils._pool_bytes_per_block(config, groups)
    longest = kv_cache_utils._estimate_max_model_len_from_groups(config, groups, usable_bytes)
    return plan | {"block_size": block_size, "tokens": tokens, "concurrency": concurrency, "longest": longest}


@contextlib.contextmanager
def loaded_models() -> Iterator[list[int]]:
    """Count the bytes of each loaded model before its weights are packed anew for a CPU; tied ones count once."""
    sizes: list[int] = []
    pack = base_loader.process_weights_after_loading

    def count_and_pack(model: torch.nn.Module, *arguments: Any) -> None:
        storages = [parameter.untyped_storage() for parameter in model.parameters()]
        sizes.append(sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()))
        pack(model, *arguments)

    base_loader.process_weights_after_loading = count_and_pack
    try:
        yield sizes
    finally:
        base_loader.process_weights_after_loading = pack


def import_model(folder: Path) -> None:
    """Import the model's class in this process; vLLM would start another Python to look at it, for ten seconds."""
    (name,) = json.loads((folder / "config.json").read_text())["architectures"]
    ModelRegistry.register_model(name, ModelRegistry.models[name].load_model_cls())


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    answers = {}
    for name, case in json.loads((folder / "cases.json").read_text()).items():
        started = time.monotonic()
        try:
            import_model(folder / name)
            answer = judge(folder / name, case)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": repr(error)}
        answers[name] = answer | {"seconds": round(time.monotonic() - started, 1)}
    (folder / "answers.json").write_text(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main()
