"""A line of vLLM's log: who wrote it, and what it says without the marks in front."""

from __future__ import annotations

import re
from dataclasses import dataclass

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# `(EngineCore pid=7) (RayWorkerProc pid=880, ip=10.0.0.2) `; Ray puts its own before vLLM's.
SOURCE = re.compile(r"(?:\(\w[^()]* pid=\d+(?:, ip=[^)]*)?\) ?)+|\(raylet[^)]*\) ?")
LEVEL = re.compile(
    r"(?:\[rank\d+\]: ?)?"
    r"(?:(?:ERROR|WARNING|INFO|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]*\] ?|[\w./]+:\d+\] ?)?)?"
)
# `[rank0]:[E1206 18:44:12.715298746 ProcessGroupNCCL.cpp:607] `
TORCH = re.compile(r"(?:\[rank\d+\]:)?\[[EW]\d* [^\]]*\] ")
REPEATED = re.compile(r" \[repeated \d+x across cluster\].*$")
# A configuration on one line has many kilobytes, and no pattern looks further.
TEXT_MAX = 4000


@dataclass(frozen=True)
class LogLine:
    source: str
    # The level and the place in vLLM's code, which all lines of one message share.
    head: str
    text: str

    @property
    def is_harmless(self) -> bool:
        return "INFO" in self.head or "WARNING" in self.head


def parse_line(line: str) -> LogLine:
    rest = COLOUR.sub("", line[:TEXT_MAX]).rstrip()
    source = SOURCE.match(rest)
    rest = rest[source.end() :] if source else rest
    head = TORCH.match(rest) or LEVEL.match(rest)
    text = rest[head.end() :] if head else rest
    return LogLine(source[0].strip() if source else "", head[0] if head else "", REPEATED.sub("", text))
