"""The reason of a dead vLLM, found in what it really printed."""

import pytest

from llm_hoster.engine.failure import LINE_LIMIT, deciding_line, explain
from tests.engine.recorded_log import recorded_lines


@pytest.mark.parametrize(
    ("log", "cause", "line"),
    [
        (
            "missing_path",
            "The model folder /models/no_such_model does not exist",
            "huggingface_hub.errors.HFValidation",
        ),
        ("hub_offline", "The model is not in the cache", "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find"),
        (
            "max_model_len",
            "The context length 100000 in models.yml is more than",
            "User-specified max_model_len (100000)",
        ),
        (
            "kv_over_memory",
            "The job's memory (free and total 5.45/8.96 GiB) is less",
            "ValueError: Available memory on",
        ),
        ("truncated_weights", "The model's weight files are missing", "safetensors._safetensors_rust.SafetensorError:"),
        ("missing_weights", "The model's weight files are missing", "RuntimeError: Cannot find any model weights"),
        (
            "unknown_architecture",
            "This version of vLLM does not know the model's",
            "Model architectures ['FooForCausalLM']",
        ),
        (
            "unknown_model_type",
            "This version of vLLM does not know the model's",
            "The checkpoint you are trying to load",
        ),
        (
            "heads_not_divisible",
            "This model cannot be split over 4 GPUs",
            "Total number of attention heads (2) must be",
        ),
        ("bad_quantization", "The quantisation in models.yml does not fit", "Unknown quantization method: foo."),
        ("unknown_flag", "This version of vLLM does not know the option --no-such-flag", "vllm: error: unrecognized"),
        ("engine_core_killed", "A part of vLLM was killed from outside", "[shutdown] MPClient: engine core exited"),
    ],
)
def test_a_recorded_failure_has_its_cause_and_its_deciding_line(log, cause, line):
    failure = explain(recorded_lines(log), 1)
    assert failure.cause.startswith(cause)
    assert failure.deciding_line.startswith(line)
    assert len(failure.deciding_line) <= LINE_LIMIT


def test_the_error_before_the_one_that_passes_it_on_decides():
    lines = [
        "(EngineCore pid=7) ERROR 11-20 20:20:36 [core.py:1] ValueError: the real one",
        "(APIServer pid=6) RuntimeError: Engine core initialization failed. See root cause above.",
    ]
    assert deciding_line(lines) == "ValueError: the real one"


def test_an_error_that_only_passes_on_is_better_than_none():
    line = "RuntimeError: Engine core initialization failed. See root cause above."
    assert deciding_line([line, "INFO: bye"]) == line


@pytest.mark.parametrize("return_code", [-9, 137])
def test_vllm_killed_without_a_word_points_to_the_memory(return_code):
    failure = explain(["INFO 11-20 20:20:36 [x.py:1] all is well"], return_code)
    assert failure.cause.startswith("vLLM was killed from outside while it started, most likely because")
    assert failure.deciding_line is None


def test_a_signal_is_named():
    assert explain([], -11, was_ready=True).cause == "vLLM was ended by the signal SIGSEGV while it served."


def test_an_end_without_a_word_is_said_to_be_one():
    assert explain([], 0).cause == (
        "vLLM ended while it started with exit status 0 and without a word of why. Its log may say more."
    )


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
