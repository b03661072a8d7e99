"""Too little memory: of the GPU, of the job, of the node's /dev/shm."""

from __future__ import annotations

from llm_hoster.engine.failures.cause import (
    Cause,
    fewer_conversations,
    half_the_tokens,
    less_memory,
    shorter_context,
    what_is_free,
    without_compiling,
)

# torch's words for CUDA and ROCm, and those of the drivers below it.
GPU_IS_FULL = r"(?:CUDA|HIP)(?: error:)? out of memory|torch\S*\.OutOfMemoryError"
LARGER = "Choose a larger GPU type, more GPUs or a smaller model."

CAUSES = (
    Cause(
        r"max seq len \((\d+)\).*larger than the available KV cache memory.*estimated maximum model length is (\d+)",
        r"The memory holds the model but not one conversation of \1 tokens: the longest that fits is \2.",
        "Restart with a shorter context, or choose a larger GPU type or more GPUs.",
        shorter_context(2),
    ),
    Cause(
        r"larger than the maximum number of tokens that can be stored in KV cache"
        r"|larger than the available KV cache|Cannot auto-fit max_model_len",
        "The GPU's memory holds the model but not one conversation of the full context length.",
        "Choose a larger GPU type or more GPUs, or a shorter context.",
    ),
    Cause(
        r"No available memory for the cache blocks",
        "The model leaves no memory for conversations.",
        LARGER,
    ),
    Cause(
        r"max_num_seqs \((\d+)\) exceeds available Mamba cache blocks \((\d+)\)",
        r"This kind of model keeps a fixed amount of memory for each conversation: \1 do not fit, \2 do.",
        "Restart with fewer conversations at once.",
        fewer_conversations(2),
    ),
    Cause(
        r"out of memory occurred when warming up (?:sampler|pooler) .*?with (\d+) dummy requests",
        r"The GPU's memory is too small for \1 conversations at once.",
        "Restart with fewer conversations at once, or choose a larger GPU type.",
        fewer_conversations(1, share=2),
    ),
    Cause(
        GPU_IS_FULL,
        "The GPU's memory ran out while vLLM recorded its CUDA graphs.",
        "Restart without compiling, which makes answers slower, or choose a larger GPU type.",
        without_compiling,
        within=("capture_model", "profile_cudagraph_memory", "capture_begin", "capture_end"),
    ),
    Cause(
        GPU_IS_FULL,
        "The GPU's memory ran out while vLLM reserved it for conversations.",
        "Restart with a smaller share of the memory, or choose a larger GPU type or more GPUs.",
        less_memory,
        within=("initialize_from_config", "initialize_kv_cache"),
    ),
    Cause(
        GPU_IS_FULL,
        "The GPU's memory holds this model's weights, but not the work on one step.",
        "Restart with fewer tokens in one step, or choose a larger GPU type or more GPUs.",
        half_the_tokens,
        within=("determine_available_memory", "profile_run"),
    ),
    *(
        Cause(
            pattern,
            "The GPU's memory is too small for this model's weights.",
            "Choose a larger GPU type, more GPUs, a quantisation or a smaller model.",
            within=within,
        )
        for pattern, within in (
            (GPU_IS_FULL, ("load_model",)),
            (r"Failed to load model - not enough GPU memory", ()),
        )
    ),
    Cause(GPU_IS_FULL, "The GPU's memory is too small for this model.", LARGER),
    Cause(
        GPU_IS_FULL,
        "The GPU's memory ran out while it served.",
        "Restart with a smaller share of the memory, ask fewer or shorter questions at once, or choose a larger GPU "
        "type or more GPUs.",
        less_memory,
        when="serving",
    ),
    Cause(
        r"Free memory on device .*less than (?:desired|the engine's budget)",
        "Another program uses memory of this GPU.",
        "Restart with what is left of it, or launch again; if it stays so, tell the site's support.",
        what_is_free("the GPU's memory"),
    ),
    Cause(
        r"Available memory on node .*less than desired CPU memory utilization",
        "Other programs use memory of this node, which vLLM was to compute with.",
        "Restart with what is left of it, or launch again; if it stays so, tell the site's support.",
        what_is_free("the node's memory"),
    ),
    Cause(
        r"Available memory on node \S+ \((.*?) GiB\).*requested memory for kv \((.*?) GiB\)",
        r"The job's memory (free and total \1 GiB) is less than the \2 GiB that are asked for conversations.",
        "Choose more cores or GPUs, which bring more memory, or a smaller model.",
    ),
    # Ray's monitor, before the kernel: its words name the memory of the node.
    Cause(
        r"ray\.exceptions\.OutOfMemoryError|due to the node running low on memory",
        "The memory of a node (not of its GPUs) was too small, and Ray ended a part of vLLM.",
        "Choose more GPUs, which bring more memory, or a smaller model.",
        when="any",
    ),
    Cause(
        r"oom[-_]kill|: Out Of Memory$",
        "The job's memory (not the GPU's) was too small, and a part of vLLM was killed.",
        "Choose more GPUs, which bring more memory, or a smaller model.",
        when="any",
    ),
    Cause(
        r"DefaultCPUAllocator: |Cannot allocate memory|^MemoryError|std::bad_alloc",
        "The job's memory (not the GPU's) is too small.",
        "Choose more GPUs, which bring more memory, or a smaller model.",
        when="any",
    ),
    Cause(
        r"shared memory segment|/dev/shm\S* .*No space left|unable to (?:allocate|open|write) shared memory"
        r"|No space left on device: '/(?:psm|dev/shm)",
        "The node's shared memory (/dev/shm) is full or too small.",
        "Launch again; if it stays so, tell the site's support.",
        when="any",
    ),
)
