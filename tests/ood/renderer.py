"""Real Ruby for the app's ERB files: many renderings in one process."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

DRIVER = Path(__file__).with_name("render.rb")
INSTALL = "apt-get install ruby ruby-redcarpet shellcheck"


def run_ruby(arguments: list[str], text: str) -> str:
    if shutil.which("ruby") is None:
        pytest.fail(f"ruby is missing. Run: {INSTALL}")
    done = subprocess.run(
        ["ruby", "-W1", str(DRIVER), *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}\nWhere redcarpet is missing, run: {INSTALL}"
    return done.stdout


def render_all(requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = "\n".join(json.dumps(request) for request in requests)
    # Not splitlines(): a value may hold what Unicode takes for the end of a line.
    return [json.loads(line) for line in run_ruby([], lines + "\n").split("\n")[:-1]]


def render(file: Path, kind: str, values: dict[str, Any], *, markdown: bool = False) -> dict[str, Any]:
    return render_all([{"file": str(file), "kind": kind, "values": values, "markdown": markdown}])[0]


def load_yaml(text: str) -> Any:
    return json.loads(run_ruby(["--load-yaml"], text))
