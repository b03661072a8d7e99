"""What the engine's installation and the folders of this person lack."""

from __future__ import annotations

from llm_hoster.engine.failures.cause import Cause, without_compiling

FAILED_COMPILER = r"CalledProcessError: Command '\[?'(?:\S*[/-])?(?:gcc|g\+\+|cc|c\+\+|clang\+*)'"
COMPILER = r"No such file or directory: '(?:\S*[/-])?(?:gcc|g\+\+|cc|c\+\+|clang\+*)'"

CAUSES = (
    Cause(
        r"Failed to find C compiler|No working C\+\+ compiler|fatal error: \S+: No such file|"
        + COMPILER
        + "|"
        + FAILED_COMPILER,
        "This node lacks what vLLM needs to compile GPU code while it starts: "
        "a C compiler (gcc) and the header files of the engine's Python (Python.h).",
        "Tell the site's support.",
    ),
    Cause(
        r"No space left on device",
        "A disk that vLLM writes to is full.",
        "Free some space in your folders, then launch again; if they are not full, tell the site's support.",
        when="any",
    ),
    Cause(
        r"Disk quota exceeded",
        "A folder that vLLM writes to has reached your quota.",
        "Remove what you no longer need there, or ask for a larger quota; then launch again.",
        when="any",
    ),
    Cause(
        r"(?:Permission denied|Read-only file system): '(.*?)'",
        r"vLLM is not allowed to use \1.",
        "Check who owns it and who may write there, then launch again.",
        when="any",
    ),
    Cause(
        r"FileNotFoundError: .*No such file or directory: '(.*?)'",
        r"vLLM does not find \1 on this node.",
        "Check that the path is right and that this node has it; else tell the site's support.",
    ),
    Cause(
        r"Too many open files",
        "vLLM needs more open files than the site allows.",
        "Tell the site's support: the limit is `ulimit -n` of the job.",
        when="any",
    ),
    Cause(
        r"can't start new thread|Resource temporarily unavailable",
        "vLLM needs more threads than the site allows.",
        "Tell the site's support: the limit is `ulimit -u` of the job.",
        when="any",
    ),
    Cause(
        r"triton\S*(?:CompilationError|OutOfResources|PTXASError)|PassManager::run failed|ptxas (?:fatal|exited)",
        "A part of vLLM's GPU code (Triton) cannot be compiled for this GPU type.",
        "Choose another GPU type or another quantisation, and tell the site's support.",
        when="any",
        is_vague=True,
    ),
    Cause(
        r"torch\._(?:inductor|dynamo)\S*: |InductorError|BackendCompilerFailed",
        "vLLM could not compile this model.",
        "Restart without compiling, which makes answers slower.",
        without_compiling,
    ),
    Cause(
        r"No module named '([^']+)'",
        r"The engine's installation lacks the Python module \1, which this model needs.",
        "Choose another model, and tell the site's support.",
    ),
    Cause(
        r"undefined symbol|cannot open shared object file|version `GLIBC\S+' not found|cannot import name",
        "The engine's installation lacks something that this model needs, or does not fit this node.",
        "Tell the site's support; `llm-hoster verify` shows the same.",
    ),
    Cause(
        r"unrecognized arguments: (.*)",
        r"This version of vLLM does not know the option \1 of site.yml or models.yml.",
        "Tell the site's support.",
    ),
    Cause(
        r"^vllm(?: \w+)?: error: ",
        "vLLM refuses the options of site.yml and models.yml.",
        "Tell the site's support.",
    ),
    Cause(
        r"unknown.*module|module.*unknown|command not found|^\S*(?:env|sh|bash)\b.*No such file or directory"
        r"|: not found",
        "The engine is not installed where site.yml names it.",
        "Tell the site's support.",
    ),
)
