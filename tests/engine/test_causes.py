"""Each known cause is found in the words of the program that met it."""

import re
from pathlib import Path

import pytest

from llm_hoster.engine.failures.causes import CAUSES
from llm_hoster.engine.failures.failure import explain


# One line each, from public issues of the projects in question or from vLLM's and Ray's source.
@pytest.mark.parametrize(
    ("line", "cause"),
    [
        # vllm-project/vllm#49064
        ("ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (161).", "This kind of model keeps"),
        # lemonade-sdk/vllm-rocm#5
        (
            "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 12.95 GiB. GPU 0 has a total capacity of "
            "127.00 GiB of which 18.55 GiB is free.",
            "The GPU's memory is too small for this model.",
        ),
        # vllm-project/vllm#2418
        (
            "ValueError: The model's max seq len (4096) is larger than the maximum number of tokens that can be stored "
            "in KV cache (3664).",
            "The GPU's memory holds the model but not one conversation",
        ),
        # vllm/v1/worker/utils.py
        (
            "ValueError: Free memory on device cuda:0 (9.5/79.1 GiB) on startup is less than desired GPU memory "
            "utilization (0.92, 72.8 GiB).",
            "Another program uses memory of this GPU.",
        ),
        # gpustack/gpustack#1540
        (
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
            "NumCudaDevices() that might have already set an error? Error 804: forward compatibility was attempted on "
            "non supported HW",
            "This node's NVIDIA driver is too old",
        ),
        # modelscope/FunASR#2973
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12080).",
            "This node's NVIDIA driver is too old",
        ),
        # gpustack/gpustack#1254
        (
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
            "The service that links this node's GPUs",
        ),
        # vllm-project/vllm#19018
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "This engine was not built for this GPU type.",
        ),
        # vllm-project/vllm#5222
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "A GPU of this node is faulty."),
        # vllm/config/vllm.py
        (
            "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 75. "
            "Current capability: 70.",
            "This GPU type cannot compute with this quantisation.",
        ),
        # vllm/platforms/cuda.py
        (
            "ValueError: No valid attention backend found for cuda with AttentionSelectorConfig(head_size=576). "
            "Reasons: {TRITON_MLA: [kv_cache_dtype not supported]}.",
            "vLLM has no attention code for this model",
        ),
        # QwenLM/Qwen3-Coder#461
        (
            "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 263168, Hardware limit: "
            "232448. Reducing block sizes or `num_stages` may help.",
            "A part of vLLM's GPU code (Triton) cannot be compiled",
        ),
        # state-spaces/mamba#164
        ("OSError: [Errno 122] Disk quota exceeded", "A folder that vLLM writes to has reached your quota."),
        ("OSError: [Errno 28] No space left on device: '/cache/x'", "A disk that vLLM writes to is full."),
        # dphnAI/sonar#458
        (
            "PermissionError: [Errno 13] Permission denied: '/app/aphrodite-engine/.triton'",
            "vLLM is not allowed to use /app/aphrodite-engine/.triton.",
        ),
        ("OSError: [Errno 98] Address already in use", "A port or socket that vLLM needs is in use"),
        # vllm/v1/executor/ray_utils.py
        (
            "ValueError: Cannot provide a placement group requiring 16 GPUs (placement_group_specs=[{'GPU': 1.0}]) "
            "within 1800 seconds.",
            "Ray has fewer GPUs than this model was to be split over",
        ),
        # ray/exceptions.py
        (
            "ray.exceptions.LocalRayletDiedError: The task's local raylet died. Check raylet.out for more information.",
            "A node of the job was lost",
        ),
        # vllm-project/vllm#1765
        (
            "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
            "The memory of a node (not of its GPUs) was too small",
        ),
        # vllm/v1/executor/ray_executor_v2.py
        (
            "(EngineCore pid=7) ERROR 11-20 20:20:36 [ray_executor_v2.py:523] RayWorkerProc rank=[1] died "
            "unexpectedly, shutting down executor.",
            "A part of vLLM on a node of the job ended without a word (rank 1).",
        ),
        ("ValueError: current platform cpu does not support ray.", "This engine cannot use Ray"),
        # vllm-project/vllm#37250
        ("TimeoutError: RPC call to sample_tokens timed out.", "A GPU did not finish its work in time (sample_tokens)"),
        # vllm/v1/engine/core_client.py
        (
            "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight "
            "loading for large models. Waited 600s (configured by VLLM_ENGINE_READY_TIMEOUT_S).",
            "vLLM gave up loading the model after 600 s.",
        ),
        # nextflow-io/nextflow#5932
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=11300781.0. Some of the step tasks have been OOM "
            "Killed.",
            "The job's memory (not the GPU's) was too small, and a part of vLLM was killed.",
        ),
        (
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
            "vLLM's eng",
        ),
        (
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): "
            "{'EngineCore': -9}",
            "A part of vLLM was killed from outside.",
        ),
        (
            "(EngineCore pid=7) ERROR 11-20 20:20:36 [multiproc_executor.py:315] Worker proc VllmWorker-0 died "
            "unexpectedly (exit code: -9), shutting down executor.",
            "A part of vLLM was killed from outside.",
        ),
        (
            "ModuleNotFoundError: No module named 'xformers'",
            "The engine's installation lacks the Python module xformers",
        ),
        (
            "KeyError: 'invalid tool call parser: nosuch (chose from { apertus,hermes })'",
            "This version of vLLM has no tool call parser nosuch",
        ),
        ("OSError: Can't load tokenizer for '/models/m'.", "The model's tokenizer is missing"),
    ],
)
def test_a_line_of_a_known_failure_has_its_cause(line, cause):
    failure = explain(["INFO 11-20 20:20:36 [x.py:1] all is well", line, "INFO: bye"], 1)
    assert failure.cause.startswith(cause)
    assert failure.deciding_line in line


def test_a_gpu_that_is_too_small_asks_for_a_larger_one():
    line = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of ..."
    assert explain([line], 1).cause.startswith("The GPU's memory is too small for this model.")


@pytest.mark.parametrize(
    "lines",
    [
        ["RuntimeError: Failed to find C compiler. Please specify via CC environment variable or set triton.knobs."],
        ["torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found in (None, 'g++')"],
        ["FileNotFoundError: [Errno 2] No such file or directory: 'gcc'"],
        [
            "/tmp/llmh-x/t/tmp1/cuda_utils.c:6:10: fatal error: Python.h: No such file or directory",
            "compilation terminated.",
            "subprocess.CalledProcessError: Command '['/usr/bin/gcc', '/tmp/x.c']' returned non-zero exit status 1.",
            "(APIServer pid=6) RuntimeError: Engine core initialization failed. See root cause above.",
        ],
    ],
)
def test_a_missing_compiler_is_told_in_the_compilers_words(lines):
    failure = explain(lines, 1)
    assert failure.cause.startswith("This node lacks what vLLM needs to compile GPU code while it starts:")
    assert failure.deciding_line == lines[0]


def test_a_file_that_is_not_there_is_not_taken_for_a_compiler():
    failure = explain(["FileNotFoundError: [Errno 2] No such file or directory: '/models/abcc'"], 1)
    assert "compile" not in failure.cause


@pytest.mark.parametrize(
    "line",
    [
        "/bin/bash: line 1: module: command not found",
        "env: 'vllm': No such file or directory",
    ],
)
def test_an_engine_that_is_not_there_is_told_from_the_shells_words(line):
    failure = explain(["some greeting of the profile", line], 127)
    assert failure.cause == "The engine is not installed where site.yml names it. Tell the site's support."
    assert failure.deciding_line == line


def test_the_page_for_administrators_lists_every_cause_and_no_other():
    page = Path(__file__).parent.parent.parent / "docs" / "failures.md"
    rows = [line.strip("| ").split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    listed = {tuple(row) for row in rows if row != ["what the page says", "what helps"]}
    assert listed == {
        (
            dots(cause.sentence) + (" *While serving.*" if cause.when == "serving" else ""),
            dots(cause.fix) + (" **Button.**" if cause.remedy else ""),
        )
        for cause in CAUSES
    }


def dots(sentence: str) -> str:
    return re.sub(r"(\\\d)+", "…", sentence)


def test_every_sentence_can_be_filled_from_its_pattern():
    for cause in CAUSES:
        groups = re.compile(cause.pattern).groups
        used = [int(number) for number in re.findall(r"\\(\d)", cause.sentence + cause.fix)]
        assert all(number <= groups for number in used), cause.sentence
        assert cause.sentence.endswith(".") and cause.fix.endswith("."), cause.sentence
