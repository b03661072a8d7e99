"""Run render.rb: one Ruby process for one request."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from portal.debian_package import MissingProgramError, find_program

RENDERER = Path(__file__).with_name("render.rb")
TIMEOUT_S = 60


class RubyError(Exception):
    """What an app's ERB raised: its message, and the name of Ruby's class."""

    def __init__(self, message: str, ruby_class: str) -> None:
        super().__init__(message)
        self.message = message
        self.ruby_class = ruby_class


def ask_ruby(request: dict[str, Any]) -> Any:
    """Return render.rb's result; raise RubyError with the message of whatever the ERB raised."""
    try:
        ruby = find_program("ruby")
    except MissingProgramError as error:
        raise RubyError(str(error), "") from error
    done = subprocess.run(  # noqa: S603 - a fixed program; the request travels on stdin
        [ruby, str(RENDERER)],
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise RubyError(done.stderr.decode(errors="replace").strip() or "Ruby ended without an answer.", "") from error
    if "error" in answer:
        raise RubyError(str(answer["error"]), str(answer["class"]))
    return answer["result"]
