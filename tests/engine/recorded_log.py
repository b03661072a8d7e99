"""
Output of real vLLM 0.32.0 runs on a CPU, shortened: banners, routes and most frames of tracebacks are cut out.

What a CPU cannot provoke is from public issues, which the log's first line names.
"""

from __future__ import annotations

from pathlib import Path

from llm_hoster.engine.process.child import LINE_END

FOLDER = Path(__file__).parent / "logs"


def recorded_lines(name: str) -> list[str]:
    """Split as the supervisor splits the pipe."""
    return [line.decode() for line in LINE_END.split((FOLDER / f"{name}.log").read_bytes()) if line.strip()]
