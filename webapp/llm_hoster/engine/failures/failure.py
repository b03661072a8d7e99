"""Why vLLM ended, from the lines it left: those that decide, a sentence for the person who waits, and what helps."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_hoster.engine.failures.causes import CAUSES, memory
from llm_hoster.engine.failures.causes.installation import FAILED_COMPILER
from llm_hoster.engine.failures.log_line import LogLine, parse_line
from llm_hoster.engine.failures.run_settings import RunSettings
from llm_hoster.engine.record.state import Remedy

ERROR_LINE = re.compile(r"^([A-Za-z_]\w*\.)*([A-Z]\w*)?(Error|Exception|Exit|Interrupt|OutOfResources)(: |$)")
USAGE_LINE = re.compile(r"^vllm( \w+)?: error: ")
SHELL_LINE = re.compile(r"(: command not found|: No such file or directory|: Permission denied|: not found)$")
VALIDATION_ERRORS = re.compile(r"\d+ validation errors? for ")
DEAD_WORKER = re.compile(r"(died|exited) unexpectedly|\(exit code: -?\d+\)|died with exit code")
ENGINE_GONE = re.compile(r"engine core exited unexpectedly")
# The next error was borne: of Python's own end, and of one request to the engine.
BORNE = re.compile(r"^Exception ignored in|^Invocation of \w+ method failed")
# What a process of its own has met when it imported the model's class; its error stands before.
INSPECTION_FAILED = re.compile(r"failed to be inspected")
# What the compiler said, which the error of the program that called it does not repeat.
COMPILER_LINE = re.compile(r": fatal error: ")
COMPILER_FAILED = re.compile(FAILED_COMPILER)
# Such an error only passes on what an earlier one has said, or what another process has met.
PASSED_ON = re.compile(
    r"root cause|EngineDeadError|EngineCore encountered an issue|Worker failed with error|^SystemExit"
    r"|^KeyboardInterrupt|CancelledError|^(\w+\.)*(EOFError|BrokenPipeError|ConnectionResetError)"
    r"|Connection (closed|reset) by peer|Executor failed|Ray workers have not started|^KeyError: '/(psm|mp)"
)
# Errors of one process that another one may explain.
FAILED_TOGETHER = re.compile(r"NCCL|nccl|RPC call to|Actor\w*Error|Worker\w*Error")
# No errors of Python's, and yet the reason: of NCCL, torch, Ray, Slurm, the kernel and the C library.
SIGN = re.compile(
    r"NCCL WARN |Watchdog caught collective operation timeout|[Ee]rror: Detected \d+ oom[-_]kill|: Out Of Memory$"
    r"|oom-kill:|NVRM: Xid|raylet died|node was marked dead|^Fatal Python error: |what\(\):  "
    r"|Failed to load model - not enough GPU memory|Memory access fault by GPU"
)
FRAME = re.compile(r'^ *File "[^"]*", line \d+, in (\w+)')
# After these, another story begins.
OTHER_STORY = re.compile(
    r"^$|^Traceback|^During handling|^The above exception|^Exception (?:raised from|ignored in)|^frame #|^Process |^\["
    r"|^/|^INFO|^For |^Search for|^CUDA kernel errors|^Compile with"
)
STARTED = "Application startup complete"

LINE_LIMIT = 500
# A few, where they belong together.
LINES_MAX = 4
# More than these have nothing new to say.
DISTINCT_MAX = 20


@dataclass(frozen=True)
class Failure:
    """`deciding_line` is what vLLM said of the reason: one line, or a few where they belong together."""

    cause: str
    deciding_line: str | None
    remedy: Remedy | None = None
    # More memory would have helped, of the GPU or of the job.
    wants_memory: bool = False


@dataclass(frozen=True)
class _Evidence:
    """What may decide: `text` is searched for a known cause, `shown` is what people read."""

    text: str
    shown: str
    functions: frozenset[str] = frozenset()


def explain(
    lines: Sequence[str],
    return_code: int | None,
    *,
    was_ready: bool = False,
    memory_kills: int | None = None,
) -> Failure:
    """
    `return_code` is Popen's (negative for a signal), or None where vLLM runs but is of no use.

    `memory_kills` is how many processes of the job the kernel killed for want of memory meanwhile; None = not known.
    """
    log = _parse(lines, was_ready=was_ready)
    vague: Failure | None = None
    first: str | None = None
    for evidence in _evidences(log, was_ready=was_ready):
        first = first or evidence.shown
        for cause in CAUSES:
            match = cause.match(evidence.text, evidence.functions, was_ready=was_ready)
            if match is None:
                continue
            remedy = cause.remedy(match, _settings(lines)) if cause.remedy else None
            failure = Failure(cause.explain(match), evidence.shown, remedy, wants_memory=cause in memory.CAUSES)
            if not cause.is_vague:
                return failure
            vague = vague or failure
            break
    if memory_kills:
        return Failure(
            "The job's memory (not the GPU's) was too small: the kernel ended a part of vLLM. "
            "Choose more GPUs, which bring more memory, or a smaller model.",
            vague.deciding_line if vague else first,
            wants_memory=True,
        )
    return vague or Failure(_cause_of_end(return_code, was_ready, memory_kills, has_line=first is not None), first)


def _settings(lines: Sequence[str]) -> RunSettings:
    """Also those that were told long before vLLM served."""
    return RunSettings.of([parse_line(line).text for line in lines])


def deciding_line(lines: Sequence[str]) -> str | None:
    """Find the last error that is not the mere consequence of an earlier one."""
    evidence = next(_evidences(_parse(lines, was_ready=False), was_ready=False), None)
    return evidence.shown if evidence else None


def _parse(lines: Sequence[str], *, was_ready: bool) -> list[LogLine]:
    """Leave out the start where it went well: what it complained of has harmed nobody."""
    if was_ready:
        started = [index for index, line in enumerate(lines) if STARTED in line]
        lines = lines[started[-1] + 1 :] if started else lines
    return [parse_line(line) for line in lines]


def _evidences(log: Sequence[LogLine], *, was_ready: bool) -> Iterator[_Evidence]:
    """
    Go from what decides most to what decides least.

    Where an error of its own stands, only NCCL's and Ray's words may explain it further: all that comes after it, such
    as workers that were killed, is its consequence.
    """
    errors = _errors(log)
    signs = _speaking(SIGN, log)
    dead = [line for line in log if _says_that_one_died(line)]
    roots = [index for index in errors if not PASSED_ON.search(log[index].text)]
    if was_ready and (signs or dead or any(_is_of_engine(log[index]) for index in errors)):
        # What the API server complained of was one question, after which it went on.
        roots = [index for index in roots if _is_of_engine(log[index])]
    if roots:
        yield from _of_error(log, roots[-1])
        if FAILED_TOGETHER.search(log[roots[-1]].text):
            yield from _of_lines(signs)
        return
    yield from _of_lines(signs)
    yield from _of_lines(dead[-1:])
    # Each process says the same.
    for index in list({log[index].text: index for index in errors}.values())[:-DISTINCT_MAX:-1]:
        yield from _of_error(log, index)
    yield from _of_lines(_speaking(SHELL_LINE, log)[-1:])


def _speaking(pattern: re.Pattern[str], log: Sequence[LogLine]) -> list[LogLine]:
    """Give the lines that have it and are no mere warnings."""
    return [line for line in log if not line.is_harmless and pattern.search(line.text)]


def _errors(log: Sequence[LogLine]) -> list[int]:
    found = []
    is_borne = False
    for index, line in enumerate(log):
        if BORNE.search(line.text):
            is_borne = True
        elif _is_error(line):
            if not is_borne:
                found.append(index)
            is_borne = False
    return found


def _is_error(line: LogLine) -> bool:
    return not line.is_harmless and bool(ERROR_LINE.match(line.text) or USAGE_LINE.match(line.text))


def _is_of_engine(line: LogLine) -> bool:
    return bool(line.source) and "APIServer" not in line.source


def _says_that_one_died(line: LogLine) -> bool:
    """A warning speaks of many processes, but of the end of the engine in one way only."""
    return bool((ENGINE_GONE if line.is_harmless else DEAD_WORKER).search(line.text))


def _of_lines(lines: Sequence[LogLine]) -> Iterator[_Evidence]:
    """Several together: NCCL's ranks complain each for itself, and not all know the reason."""
    texts = list(dict.fromkeys(line.text.strip() for line in lines))
    if texts:
        yield _Evidence("\n".join(texts), _show(texts[-LINES_MAX:]))


def _of_error(log: Sequence[LogLine], index: int) -> Iterator[_Evidence]:
    text = log[index].text
    functions = _functions(log, index)
    if COMPILER_FAILED.search(text):
        said = next((line.text for line in reversed(log[:index]) if COMPILER_LINE.search(line.text)), text)
        yield _Evidence(said, _show([said]))
        return
    if VALIDATION_ERRORS.search(text):
        # Pydantic says what is wrong in the first indented line after its error, and adds the type and the input.
        text = next((line.text for line in log[index + 1 :] if line.text.startswith("  ")), text).strip()
        text = text.removeprefix("Value error, ").partition(" [type=")[0]
        if INSPECTION_FAILED.search(text):
            text = next((line.text for line in reversed(log[:index]) if _is_error(line)), text)
        yield _Evidence(text, _show([text]), functions)
        return
    rest = _continuation(log, index)
    yield _Evidence(text, _show([text, *rest[: LINES_MAX - 1]]), functions)
    yield _Evidence("\n".join([text, *rest]), _show([text, *rest[: LINES_MAX - 1]]), functions)


def _continuation(log: Sequence[LogLine], index: int) -> list[str]:
    """Give what follows an error in the same message: NCCL and Hugging Face say the reason there."""
    texts = []
    for line in log[index + 1 : index + 12]:
        if line.source != log[index].source or line.head != log[index].head:
            break
        if OTHER_STORY.search(line.text) or _is_error(line):
            break
        texts.append(line.text.strip())
    return texts


def _functions(log: Sequence[LogLine], index: int) -> frozenset[str]:
    """Name the functions in an error's traceback; lines of other processes may stand between."""
    names = set()
    for line in reversed(log[:index]):
        if line.source != log[index].source:
            continue
        if line.text.startswith("Traceback") or ERROR_LINE.match(line.text):
            break
        frame = FRAME.match(line.text)
        if frame:
            names.add(frame[1])
    return frozenset(names)


def _show(texts: Sequence[str]) -> str:
    return "\n".join(_shorten(text.strip()) for text in texts if text.strip())


def _shorten(line: str) -> str:
    return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…"


def _cause_of_end(return_code: int | None, was_ready: bool, memory_kills: int | None, *, has_line: bool) -> str:
    when = "while it served" if was_ready else "while it started"
    if return_code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        if memory_kills == 0:
            return f"vLLM was killed from outside {when}, though not for want of memory. Start it again."
        return (
            f"vLLM was killed from outside {when}, most likely because the job's memory is too small. "
            "Choose more GPUs or a smaller model."
        )
    if return_code is not None and return_code < 0:
        return f"vLLM was ended by the signal {signal.Signals(-return_code).name} {when}."
    if has_line:
        return f"vLLM ended {when}. The lines below are what it said last of the reason."
    if return_code is None:
        return f"vLLM does not answer {when}."
    return f"vLLM ended {when} with exit status {return_code} and without a word of why. Its log may say more."
