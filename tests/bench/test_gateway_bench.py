"""The bench of the gateway runs, and its last line says all that is asked of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FIGURES = {
    "lost_chunks", "ttft_ms_p50", "ttft_ms_p99", "gap_ms_p99", "cpu_us_per_chunk", "chunks_per_s", "memory_mb",
}  # fmt: skip


def test_the_bench_measures_streams_and_requests() -> None:
    arguments = ["--rounds", "1", "--seconds", "1", "--streams", "2", "--tokens", "25"]
    arguments += ["--only", "direct,gateway,urllib3"]
    bench = subprocess.run(
        [sys.executable, "-m", "bench.gateway", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert bench.returncode == 0, bench.stderr

    result = json.loads(bench.stdout.splitlines()[-1])
    for name in ("direct", "gateway", "urllib3"):
        assert set(result[name]["2"]) == FIGURES
        assert result[name]["2"]["lost_chunks"] == 0
        assert result[name]["2"]["chunks_per_s"] > 0
        assert result["requests_per_s"][name] > 0
    assert result["gateway"]["2"]["cpu_us_per_chunk"] > 0
    assert result["gateway"]["2"]["memory_mb"] > 0
