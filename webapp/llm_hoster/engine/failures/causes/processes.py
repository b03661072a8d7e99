"""Parts of vLLM that ended or hung; what is left where no error says more."""

from __future__ import annotations

from llm_hoster.engine.failures.cause import Cause

MEMORY = "Start again; if it comes back, the job's memory may be too small: choose more GPUs or a smaller model."

CAUSES = (
    Cause(
        r"exit code:? -9\b|Failed core proc\(s\): \{[^}]*: -9\b|exited with exit code -9\b",
        "A part of vLLM was killed from outside.",
        MEMORY,
        when="any",
        is_vague=True,
    ),
    Cause(
        r"exit code:? -11\b|Failed core proc\(s\): \{[^}]*: -11\b|Fatal Python error: Segmentation fault",
        "A part of vLLM crashed (segmentation fault).",
        "Start again; if it comes back with this model, tell the site's support.",
        when="any",
        is_vague=True,
    ),
    Cause(
        r"Timed out waiting for (?:new )?engine core processes.*?Waited (\d+)s",
        r"vLLM gave up loading the model after \1 s.",
        "Launch again, which is faster once the files are in memory; if it stays so, "
        "VLLM_ENGINE_READY_TIMEOUT_S in the engine's env of site.yml gives it more time.",
    ),
    Cause(
        r"RPC call to (\w+) timed out",
        r"A GPU did not finish its work in time (\1).",
        "Start again; if it comes back, tell the site's support.",
        when="any",
        is_vague=True,
    ),
    Cause(
        r"iteration timed out|ENGINE_ITERATION_TIMEOUT|Barrier (?:departure )?timed out",
        "A part of vLLM did not answer the others in time.",
        "Start again; if it comes back, tell the site's support.",
        when="any",
        is_vague=True,
    ),
    Cause(
        r"engine core exited unexpectedly|Engine core process \S+ died unexpectedly",
        "vLLM's engine process ended without a word.",
        MEMORY,
        when="any",
        is_vague=True,
    ),
    Cause(
        r"Engine core initialization failed",
        "vLLM's engine process ended while it started, and left no reason.",
        "Launch again; if it stays so, send its log to the site's support.",
        is_vague=True,
    ),
)
