"""What several tests of a session's figures need."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.small_upstream import SmallUpstream

# /metrics of vLLM 0.32 in part, with the numbers of a busy moment.
RECORDED = (Path(__file__).parent / "vllm_metrics.txt").read_text()


@pytest.fixture(scope="session")
def gpu_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small library in the place of the driver's, for LD_LIBRARY_PATH."""
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, Path(__file__).parent / "nvml.c"], check=True)
    return folder


@pytest.fixture
def recorded_engine(short_dir: Path) -> Iterator[Path]:
    body = RECORDED.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    upstream = SmallUpstream(short_dir / "recorded.sock", head.encode() + body)
    yield short_dir / "recorded.sock"
    upstream.close()
