"""Arguments of `vllm serve` as models.yml has them: both `--option value` and `--option=value`, with - or _."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Runs a model's own program code in everybody's job: a field of its entry says so, where people see it.
TRUST_REMOTE_CODE = "--trust-remote-code"
UTILIZATION = "--gpu-memory-utilization"
# The form offers these, or the place decides them: beside an argument of the same name its table would be wrong.
OF_THE_FORM = (
    "--quantization",
    "--kv-cache-dtype",
    "--max-num-seqs",
    "--max-num-batched-tokens",
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--data-parallel-size",
    "-tp",
    "-pp",
    "-dp",
    "--performance-mode",
)
# Pages and snippets follow the task: a field of the entry says it.
OF_THE_TASK = ("--runner", "--convert")


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """Give the last value of an option, as vLLM takes it; None when it is not there."""
    value = None
    for index, argument in enumerate(arguments):
        name, equals, after = argument.partition("=")
        if name.replace("_", "-") == option:
            value = after if equals else next(iter(arguments[index + 1 : index + 2]), "")
    return value


def _is_short_for(option: str, argument: str) -> bool:
    """vLLM takes the beginning of an option for the whole; this long, it is that of no other one."""
    name = argument.partition("=")[0].replace("_", "-")
    return option.startswith(name) and len(name) >= len("--trust-rem")


def wrong_argument(arguments: Sequence[str]) -> tuple[str, str] | None:
    """Give an option that a site or a model must not set, and what was expected; None when all are right."""
    for option in OF_THE_FORM:
        if value_of(option, arguments) is not None:
            return option, "no option that the form or the choice of GPUs decides"
    for option in OF_THE_TASK:
        if value_of(option, arguments) is not None:
            return option, "`task: embed` in the entry of the model that embeds"
    if any(_is_short_for(TRUST_REMOTE_CODE, each) for each in arguments):
        return TRUST_REMOTE_CODE, "`trust_remote_code: true` in the entry of the model that needs it"
    share = value_of(UTILIZATION, arguments)
    if share is not None and not (re.fullmatch(r"0\.[0-9]{1,4}|1(\.0+)?", share) and float(share) > 0):
        return f"{UTILIZATION} {share}", "a share of the GPU's memory, above 0 and at most 1"
    return None
