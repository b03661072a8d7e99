"""The reason of a dead vLLM, found in what it really printed."""

import json
from dataclasses import asdict

import pytest

from llm_hoster.engine.failures.failure import LINE_LIMIT, LINES_MAX, Failure, deciding_line, explain
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import Remedy
from tests.engine.recorded_log import recorded_lines


@pytest.mark.parametrize(
    ("log", "cause", "line"),
    [
        ("missing_path", "The model folder /models/no_such_model does not", "huggingface_hub.errors.HFValidation"),
        ("hub_offline", "The model is not in the cache", "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find"),
        ("gated_model", "Hugging Face does not give this model without a login.", "OSError: You are trying to access"),
        ("max_model_len", "The context length 100000 is more than this", "User-specified max_model_len (100000)"),
        ("context_too_long", "The memory holds the model but not one", "ValueError: To serve at least one request"),
        ("kv_over_memory", "The job's memory (free and total 5.45/8.96 GiB) is less", "ValueError: Available memory"),
        ("weights_too_large", "The GPU's memory is too small for this model's weights.", "Failed to load model - not"),
        ("sampler_warm_up", "The GPU's memory is too small for 256 conversations", "RuntimeError: CUDA out of memory"),
        (
            "graph_capture_full",
            "The GPU's memory ran out while vLLM recorded",
            "RuntimeError: CUDA error: out of memory",
        ),
        ("profile_run_full", "The GPU's memory holds this model's weights, but not", "torch.OutOfMemoryError: CUDA"),
        ("cpu_memory_taken", "Other programs use memory of this node", "ValueError: Available memory on node 0 (21."),
        ("kv_cache_full", "The GPU's memory ran out while vLLM reserved it", "torch.OutOfMemoryError: HIP out of"),
        ("memory_taken", "Another program uses memory of this GPU.", "ValueError: Free memory on device (44.12/47"),
        ("truncated_weights", "The model's weight files are missing", "safetensors._safetensors_rust.SafetensorError:"),
        ("missing_weights", "The model's weight files are missing", "RuntimeError: Cannot find any model weights"),
        ("missing_shard", "The model's weight files are missing", "FileNotFoundError: Weight files referenced in"),
        ("damaged_header", "A file of the model or of an adapter is damaged.", "'utf-8' codec can't decode byte 0xff"),
        ("custom_code", "This model brings code of its own", "The repository /models/custom contains custom code"),
        (
            "chat_template",
            "The chat template that models.yml names",
            "vllm.exceptions.VLLMValidationError: The supplied",
        ),
        (
            "lora_rank",
            "An adapter (LoRA) has the rank 20, and this session was started for",
            "ValueError: Call to add_",
        ),
        ("lora_modules", "An adapter (LoRA) does not fit this model", "ValueError: Call to add_lora method failed"),
        ("unknown_architecture", "This version of vLLM does not know the model's", "Model architectures ['FooForCaus"),
        ("unknown_model_type", "This version of vLLM does not know the model's", "The checkpoint you are trying to"),
        (
            "lacks_torchvision",
            "The engine's installation lacks the Python module torchvision",
            "ModuleNotFoundError: No module named 'torchvision'",
        ),
        ("heads_not_divisible", "This model cannot be split over 4 GPUs", "Total number of attention heads (2) must"),
        ("bad_quantization", "The quantisation does not fit this model", "Unknown quantization method: foo."),
        ("fp8_on_ampere", "This GPU type cannot compute with this quantisation.", "triton.compiler.errors.Compilat"),
        (
            "unsupported_ptx",
            "This node's NVIDIA driver is too old for this engine.",
            "torch.AcceleratorError: CUDA err",
        ),
        ("illegal_access", "A computation on the GPU failed", "torch.AcceleratorError: CUDA error: an illegal memory"),
        ("unknown_flag", "This version of vLLM does not know the option --no-such-flag", "vllm: error: unrecognized"),
        ("gloo_interface", "This node has no network interface nosuch0", "RuntimeError: [enforce fail at"),
        ("gloo_mesh", "The parts of vLLM cannot reach one another", "RuntimeError: Gloo connectFullMesh failed"),
        ("no_interface", "NCCL, which connects the GPUs, finds no network interface", "torch.distributed.DistBackend"),
        ("nccl_on_ray", "NCCL, which connects the GPUs, failed.", "RuntimeError: NCCL error: unhandled system error"),
        ("collective_timeout", "A GPU of the job waited in vain", "[Rank 1] Watchdog caught collective operation"),
        ("shared_memory_full", "The node's shared memory (/dev/shm) is full", "[2025-10-13 09:06:25] vllm-deepseek"),
        ("actor_died", "A part of vLLM that Ray had started ended", "ray.exceptions.ActorDiedError: The actor died"),
        (
            "engine_core_killed",
            "vLLM's engine process ended without a word.",
            "[shutdown] MPClient: engine core exited",
        ),
    ],
)
def test_a_recorded_failure_has_its_cause_and_its_deciding_lines(log, cause, line):
    failure = explain(recorded_lines(log), 1)
    assert failure.cause.startswith(cause)
    assert failure.deciding_line.startswith(line)
    shown = failure.deciding_line.splitlines()
    assert len(shown) <= LINES_MAX
    assert all(len(each) <= LINE_LIMIT for each in shown)


def test_what_ray_says_of_its_other_workers_is_left_out():
    assert explain(recorded_lines("nccl_on_ray"), 1).deciding_line.endswith("(run with NCCL_DEBUG=INFO for details)")


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        ("max_model_len", Remedy("Restart with a context of 2,048 tokens", Adjustment(max_model_len=2048))),
        ("context_too_long", Remedy("Restart with a context of 2,097,024 tokens", Adjustment(max_model_len=2097024))),
        ("sampler_warm_up", Remedy("Restart with at most 128 conversations at once", Adjustment(max_num_seqs=128))),
        ("graph_capture_full", Remedy("Restart without compiling: slower answers", Adjustment(enforce_eager=True))),
        (
            "profile_run_full",
            Remedy("Restart with at most 4,096 tokens in one step", Adjustment(max_num_batched_tokens=4096)),
        ),
        # Of two GPUs, what is free of the fuller one, whichever complains last.
        ("memory_taken", Remedy("Restart with 65 % of the GPU's memory", Adjustment(gpu_memory_utilization=0.65))),
        ("cpu_memory_taken", Remedy("Restart with 89 % of the node's memory", Adjustment(gpu_memory_utilization=0.89))),
        ("kv_cache_full", Remedy("Restart with 87 % of the GPU's memory", Adjustment(gpu_memory_utilization=0.87))),
        ("weights_too_large", None),
        ("truncated_weights", None),
    ],
)
def test_where_a_setting_helps_it_is_offered(log, remedy):
    assert explain(recorded_lines(log), 1).remedy == remedy


def test_what_is_offered_can_be_ordered():
    logs = ("max_model_len", "context_too_long", "sampler_warm_up", "graph_capture_full", "profile_run_full")
    for log in (*logs, "memory_taken", "cpu_memory_taken", "kv_cache_full"):
        remedy = explain(recorded_lines(log), 1).remedy
        assert Adjustment.parse(json.loads(json.dumps(asdict(remedy.adjustment)))) == remedy.adjustment
        assert remedy.adjustment.arguments() != []


def test_memory_that_ran_out_while_serving_is_answered_by_a_smaller_share_of_it():
    lines = recorded_lines("serving_full")
    failure = explain(lines, 1, was_ready=True)
    assert failure.cause.startswith("The GPU's memory ran out while it served.")
    assert failure.remedy == Remedy("Restart with 90 % of the GPU's memory", Adjustment(gpu_memory_utilization=0.9))
    # Of a log whose beginning is gone nobody knows what the share was.
    assert explain(lines[2:], 1, was_ready=True).remedy is None


@pytest.mark.parametrize(
    ("log", "old", "new"),
    [
        # Half the tokens would be fewer than the conversations, which vLLM refuses.
        ("profile_run_full", "'tensor_parallel_size': 8", "'max_num_seqs': 4097"),
        ("profile_run_full", "max_num_batched_tokens=8192", "max_num_batched_tokens=1023"),
        ("memory_taken", "31.44/47.38", "24.10/47.38"),
        ("memory_taken", "/47.38", "/0.00"),
        ("serving_full", "'gpu_memory_utilization': 0.95", "'gpu_memory_utilization': 0.54"),
    ],
)
def test_a_setting_that_would_not_help_is_not_offered(log, old, new):
    lines = [line.replace(old, new) for line in recorded_lines(log)]
    assert lines != recorded_lines(log)
    assert explain(lines, 1, was_ready=log == "serving_full").remedy is None
    assert explain(recorded_lines(log), 1, was_ready=log == "serving_full").remedy is not None


def test_one_error_means_different_things_in_different_parts_of_the_start():
    def cause(*functions):
        frames = [
            f'(Worker_TP0 pid=7) ERROR 11-20 20:20:36 [x.py:1]   File "/x.py", line 1, in {it}' for it in functions
        ]
        # Another worker's lines stand between.
        other = '(Worker_TP1 pid=8) ERROR 11-20 20:20:36 [x.py:1]   File "/x.py", line 1, in capture_model'
        error = "(Worker_TP0 pid=7) ERROR 11-20 20:20:36 [x.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried"
        begin = "(Worker_TP0 pid=7) ERROR 11-20 20:20:36 [x.py:1] Traceback (most recent call last):"
        return explain([begin, frames[0], other, *frames[1:], error], 1).cause

    assert "this model's weights" in cause("__init__", "load_model")
    assert "work on one step" in cause("determine_available_memory", "profile_run")
    assert "CUDA graphs" in cause("determine_available_memory", "profile_cudagraph_memory")
    assert "reserved it for conversations" in cause("initialize_from_config", "initialize_kv_cache")
    assert "CUDA graphs" in cause("compile_or_warm_up_model", "capture_model")
    assert cause("nobody_knows", "it").startswith("The GPU's memory is too small for this model.")


def test_nccls_own_words_explain_its_error():
    lines = [
        "node08:6561:6561 [0] NCCL INFO Bootstrap : Using [0]ibs3:10.252.0.211<0>",
        # NVIDIA/nccl#1129
        "node08:6561:6561 [0] misc/ibvwrap.cc:280 NCCL WARN Call to ibv_create_qp failed",
        "(Worker_TP0 pid=7) ERROR 11-20 20:20:36 [x.py:1] RuntimeError: NCCL error: unhandled system error (run with "
        "NCCL_DEBUG=INFO for details)",
    ]
    failure = explain(lines, 1)
    assert failure.cause.startswith("The InfiniBand or RoCE connection between the GPUs failed.")
    assert "ibv_create_qp" in failure.deciding_line


def test_nccls_words_do_not_explain_another_error():
    lines = [
        "node08:6561:6561 [0] misc/ibvwrap.cc:280 NCCL WARN Call to ibv_create_qp failed",
        "(Worker_TP0 pid=7) ERROR 11-20 20:20:36 [x.py:1] ValueError: something else",
    ]
    assert (
        explain(lines, 1).cause == "vLLM ended while it started. The lines below are what it said last of the reason."
    )


@pytest.mark.parametrize(
    "line",
    [
        "(Worker_TP1 pid=8) ERROR 11-20 20:20:37 [x.py:1] RuntimeError: [../third_party/gloo/pair.cc:534] Connection "
        "closed by peer [127.0.0.1]:4321",
        "(Worker_TP1 pid=8) SystemExit: 1",
        "KeyError: '/psm_3f2a1b'",
        "(EngineCore pid=7) RuntimeError: Worker failed with error 'x', please check the stack trace for the root",
    ],
)
def test_what_another_process_says_of_the_first_that_died_decides_nothing(line):
    first = "(Worker_TP0 pid=7) ERROR 11-20 20:20:36 [x.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried"
    assert explain([first, line], 1).deciding_line.startswith("torch.OutOfMemoryError")


def test_an_error_that_python_ignored_decides_nothing():
    lines = [
        "ValueError: the real one",
        "Exception ignored in: <function X.__del__ at 0x7f>",
        "Traceback (most recent call last):",
        "AttributeError: 'X' object has no attribute 'y'",
    ]
    assert deciding_line(lines) == "ValueError: the real one"


def test_an_unknown_failure_shows_the_lines_that_belong_together():
    head = "(EngineCore pid=7) ERROR 11-20 20:20:36 [core.py:1] "
    lines = [
        head + "Traceback (most recent call last):",
        head + "FancyError: first",
        head + "second",
        head + "third",
        head + "fourth",
        head + "fifth",
        "(EngineCore pid=7) ERROR 11-20 20:20:37 [other.py:9] EngineCore failed to start.",
    ]
    failure = explain(lines, 1)
    assert failure == Failure(
        "vLLM ended while it started. The lines below are what it said last of the reason.",
        "FancyError: first\nsecond\nthird\nfourth",
    )


NOISE = recorded_lines("noise")


def test_ordinary_noise_never_yields_a_cause():
    for log in ("ready_eager", "ready_compiled", "gpu_start"):
        lines = recorded_lines(log)
        ready = next(index for index, line in enumerate(lines) if "Application startup complete" in line)
        for was_ready in (False, True):
            failure = explain([*lines[: ready + 1], *NOISE], 3, was_ready=was_ready)
            when = "while it served" if was_ready else "while it started"
            assert failure.cause in (
                f"vLLM ended {when} with exit status 3 and without a word of why. Its log may say more.",
                # NCCL's own warning is all there is to show.
                f"vLLM ended {when}. The lines below are what it said last of the reason.",
            )
            assert failure.remedy is None


@pytest.mark.parametrize("line", NOISE)
def test_no_line_of_noise_yields_a_cause(line):
    assert explain([line], 3).cause.startswith("vLLM ended while it started")


@pytest.mark.parametrize("line", NOISE)
def test_noise_after_an_error_changes_nothing(line):
    error = "(EngineCore pid=4) ERROR 11-21 15:07:57 [core.py:1] ValueError: No available memory for the cache blocks."
    assert explain([error, line], 1) == explain([error], 1)


def served(*lines):
    start = recorded_lines("lora_rank")  # Whatever the start complained of, it went well.
    return explain([*start, "INFO:     Application startup complete.", *lines], 1, was_ready=True)


def test_a_failure_while_serving_is_told_as_such():
    line = "(EngineCore pid=7) ERROR 11-20 20:20:36 [core.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried"
    assert served(line).cause.startswith("The GPU's memory ran out while it served.")
    assert served().cause.startswith("vLLM ended while it served with exit status 1")
    assert explain([line], 1).cause.startswith("The GPU's memory is too small")


def test_one_question_that_failed_is_not_why_the_engine_ended():
    lines = (
        "(APIServer pid=6) ERROR 11-20 20:20:30 [serving.py:1] ValueError: a bad question",
        "(EngineCore pid=7) ERROR 11-20 20:20:31 [core.py:1750] Invocation of add_lora method failed",
        "(EngineCore pid=7) ERROR 11-20 20:20:31 [core.py:1750] ValueError: LoRA rank 20 is greater than max_lora_rank",
        "(EngineCore pid=7) ERROR 11-20 20:20:36 [multiproc_executor.py:315] Worker proc VllmWorker-0 died "
        "unexpectedly (exit code: -9), shutting down executor.",
        "(APIServer pid=6) ERROR 11-20 20:20:36 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: "
        "EngineCore encountered an issue. See stack trace (above) for the root cause.",
    )
    failure = served(*lines)
    assert failure.cause.startswith("A part of vLLM was killed from outside.")
    assert failure.deciding_line.startswith("Worker proc VllmWorker-0 died unexpectedly")


def test_the_kernels_count_tells_whether_memory_was_the_reason():
    dead = "(EngineCore pid=7) ERROR 11-20 20:20:36 [x.py:1] Worker proc VllmWorker-0 died unexpectedly (exit code: -9)"
    for lines, code in (([dead], 1), ([], -9)):
        failure = explain(lines, code, memory_kills=1)
        assert failure.cause.startswith("The job's memory (not the GPU's) was too small: the kernel ended a part")
        assert "memory is too small" not in explain(lines, code, memory_kills=0).cause
    # An error that says more than the kernel does.
    known = "ValueError: No available memory for the cache blocks."
    assert explain([known], 1, memory_kills=1).cause.startswith("The model leaves no memory for conversations.")


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
