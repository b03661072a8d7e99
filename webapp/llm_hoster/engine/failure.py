"""Why vLLM ended, from the lines it left: the one that decides, and a sentence for the person who waits."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

# `(EngineCore pid=7) ERROR 11-20 20:20:36 [core.py:1] text`, of which the text is left.
LOG_PREFIX = re.compile(
    r"^(\(\w[^)]* pid=\d+\) ?)?((ERROR|WARNING|INFO|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (\[[^\]]*\] ?)?)?"
)
ERROR_LINE = re.compile(r"^([A-Za-z_]\w*\.)*[A-Z]\w*(Error|Exception|Exit|Interrupt)(: |$)")
USAGE_LINE = re.compile(r"^vllm( \w+)?: error: ")
SHELL_LINE = re.compile(r"(: command not found|: No such file or directory|: Permission denied|: not found)$")
VALIDATION_ERRORS = re.compile(r"\d+ validation errors? for ")
DEAD_WORKER = re.compile(r"(died|exited) unexpectedly|\(exit code: -?\d+\)")
# What the compiler said, which the error of the program that called it does not repeat.
COMPILER_LINE = re.compile(r": fatal error: ")
FAILED_COMPILER = re.compile(r"CalledProcessError: Command '\[?'(\S*[/-])?(gcc|g\+\+|cc|c\+\+|clang\+*)'")
# Such an error only passes on what an earlier one has said.
PASSED_ON = re.compile(r"root cause|EngineDeadError|EngineCore encountered an issue|Worker failed with error")

LINE_LIMIT = 500

# The first pattern found in the deciding line gives the sentence; `\1` is what the pattern caught.
CAUSES = (
    (
        r"Repo id must .*': '(.*)'\.",
        r"The model folder \1 does not exist on this node, or you may not read it.",
    ),
    (
        r"Cannot find an appropriate cached snapshot folder|LocalEntryNotFoundError|We couldn't connect to|"
        r"Max retries exceeded|NameResolutionError|Failed to resolve",
        "The model is not in the cache, and this node may not or cannot download it. "
        "Choose another model, or ask the site's administrators to download it.",
    ),
    (
        r"GatedRepoError|gated repo|401 Client Error|403 Client Error",
        "Hugging Face does not give this model without a login. "
        "Accept its licence on its page, and log in on the cluster with `hf auth login`.",
    ),
    (
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=([\d.]+)",
        r"The context length \1 in models.yml is more than this model can do, which is \2.",
    ),
    (
        r"larger than the maximum number of tokens that can be stored in KV cache|larger than the available KV cache",
        "The GPU's memory holds the model but not one conversation of the full context length. "
        "Choose a larger GPU type or more GPUs, or a smaller max_model_len in models.yml.",
    ),
    (
        r"No available memory for the cache blocks",
        "The model leaves no memory for conversations. Choose a larger GPU type, more GPUs or a smaller model.",
    ),
    (
        r"Available memory on node \S+ \((.*?) GiB\).*requested memory for kv \((.*?) GiB\)",
        r"The job's memory (free and total \1 GiB) is less than the \2 GiB that are asked for conversations.",
    ),
    (
        r"CUDA out of memory|HIP out of memory|OutOfMemoryError",
        "The GPU's memory is too small for this model. Choose a larger GPU type, more GPUs or a smaller model.",
    ),
    (
        r"Free memory on device .*less than desired",
        "Another program uses memory of this GPU. Launch again; if it stays so, tell the site's support.",
    ),
    (
        r"No CUDA GPUs are available|Failed to infer device type|Found no NVIDIA driver|No HIP GPUs",
        "vLLM sees no GPU that this engine can use on this node. Tell the site's support.",
    ),
    (
        r"Bfloat16 is only supported on GPUs with compute capability",
        "This GPU type is too old for the model's number format. Choose a newer GPU type.",
    ),
    (
        r"model type `?(\w+)`? but Transformers does not recognize|architectures (\[.*?\]) are not supported",
        r"This version of vLLM does not know the model's architecture \1\2. A newer engine may.",
    ),
    (
        r"Unknown quantization method|Cannot find the config file for (\w+)|quantization method .* not supported",
        "The quantisation in models.yml does not fit this model, this GPU type or this version of vLLM.",
    ),
    (
        r"attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        r"This model cannot be split over \2 GPUs (it has \1 attention heads). Choose another number of GPUs.",
    ),
    (
        r"unrecognized arguments: (.*)",
        r"This version of vLLM does not know the option \1 of site.yml or models.yml.",
    ),
    (r"^vllm( \w+)?: error: ", "vLLM refuses the options of site.yml and models.yml."),
    (
        r"SafetensorError|Cannot find any model weights|incomplete metadata",
        "The model's weight files are missing or incomplete. They must be downloaded again.",
    ),
    (
        r"Failed to find C compiler|No working C\+\+ compiler|fatal error: \S+: No such file|"
        r"No such file or directory: '(\S*[/-])?(gcc|g\+\+|cc|c\+\+|clang\+*)'|" + FAILED_COMPILER.pattern,
        "This node lacks what vLLM needs to compile GPU code while it starts: "
        "a C compiler (gcc) and the header files of the engine's Python (Python.h). Tell the site's support.",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "A folder that vLLM writes to is full. Free some space in your folders, then launch again.",
    ),
    (r"Address already in use", "A port or socket that vLLM needs is in use on this node. Launch again."),
    (
        r"exit code: -9|engine core exited unexpectedly",
        "A part of vLLM was killed from outside, most likely because the job's memory is too small. "
        "Choose more GPUs or a smaller model.",
    ),
    (
        r"unknown.*module|module.*unknown|command not found|No such file or directory|: not found",
        "The engine is not installed where site.yml names it. Tell the site's support.",
    ),
)


@dataclass(frozen=True)
class Failure:
    cause: str
    deciding_line: str | None


def explain(lines: Sequence[str], return_code: int | None, *, was_ready: bool = False) -> Failure:
    """`return_code` is Popen's (negative for a signal), or None where vLLM runs but is of no use."""
    line = deciding_line(lines)
    if line is not None:
        for pattern, sentence in CAUSES:
            match = re.search(pattern, line)
            if match:
                return Failure(match.expand(sentence), line)
    return Failure(_cause_of_end(return_code, was_ready, has_line=line is not None), line)


def deciding_line(lines: Sequence[str]) -> str | None:
    """Find the last error that is not the mere consequence of an earlier one."""
    texts = [LOG_PREFIX.sub("", line).rstrip() for line in lines]
    errors = [index for index, text in enumerate(texts) if ERROR_LINE.match(text) or USAGE_LINE.match(text)]
    roots = [index for index in errors if not PASSED_ON.search(texts[index])]
    if roots:
        return _shorten(_with_detail(texts, roots[-1]))
    for found in (DEAD_WORKER, ERROR_LINE, SHELL_LINE):
        for text in reversed(texts):
            if found.search(text):
                return _shorten(text)
    return None


def _with_detail(texts: Sequence[str], index: int) -> str:
    """
    Give the line that says more than the error itself.

    Pydantic says what is wrong in the first indented line after its error, and adds the type and the input. A compiler
    has said it before the program that called it gave up.
    """
    if FAILED_COMPILER.search(texts[index]):
        return next((text.strip() for text in reversed(texts[:index]) if COMPILER_LINE.search(text)), texts[index])
    if VALIDATION_ERRORS.search(texts[index]):
        for text in texts[index + 1 :]:
            if text.startswith("  "):
                return text.strip().removeprefix("Value error, ").partition(" [type=")[0]
    return texts[index].strip()


def _shorten(line: str) -> str:
    return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…"


def _cause_of_end(return_code: int | None, was_ready: bool, *, has_line: bool) -> str:
    when = "while it served" if was_ready else "while it started"
    if return_code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return (
            f"vLLM was killed from outside {when}, most likely because the job's memory is too small. "
            "Choose more GPUs or a smaller model."
        )
    if return_code is not None and return_code < 0:
        return f"vLLM was ended by the signal {signal.Signals(-return_code).name} {when}."
    if has_line:
        return f"vLLM ended {when}. The line below is what it said last of the reason."
    if return_code is None:
        return f"vLLM does not answer {when}."
    return f"vLLM ended {when} with exit status {return_code} and without a word of why. Its log may say more."
