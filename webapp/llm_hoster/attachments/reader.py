"""
`python -m llm_hoster.attachments.reader FORM SECONDS`: read a PDF or a Word file from stdin, write its text to stdout.

A process of its own, since the file may be made to take all time and memory: the kernel ends it at its limits, and
nothing else goes with it. It takes these limits before it reads a byte, can write no file and start no process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import signal
import sys
from pathlib import Path

from llm_hoster.attachments.bounds import READING_MEMORY_BYTES
from llm_hoster.errors import AttachmentError

LIMITS = {
    resource.RLIMIT_AS: READING_MEMORY_BYTES,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NPROC: 0,
    resource.RLIMIT_NOFILE: 32,
}


def main() -> None:
    form, seconds = sys.argv[1], int(sys.argv[2])
    take_limits(seconds)
    data = sys.stdin.buffer.read()
    json.dump(read(data, form), sys.stdout)


def take_limits(seconds: int) -> None:
    """Where the job's memory ends, the kernel takes this process before vLLM. The alarm outlives a killed parent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for limit, value in {**LIMITS, resource.RLIMIT_CPU: seconds}.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    signal.alarm(seconds)
    sys.dont_write_bytecode = True
    logging.disable()


def read(data: bytes, form: str) -> dict[str, object]:
    """Give the pages, or the reason of a refusal with its values; the name is filled in by who asked."""
    try:
        if form == "pdf":
            from llm_hoster.attachments.pdf import read_pdf

            return {"pages": read_pdf(data, "")}
        from llm_hoster.attachments.word import read_word

        return {"pages": read_word(data, "")}
    except AttachmentError as error:
        return {"reason": error.reason, "values": error.values}
    except MemoryError:
        return {"reason": "too_much_memory", "values": {}}
    except Exception:
        # Whatever a library stumbles over in a file that others have made.
        return {"reason": "damaged", "values": {}}


if __name__ == "__main__":
    main()
