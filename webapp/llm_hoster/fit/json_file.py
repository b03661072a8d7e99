"""The JSON files of a model, which anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_hoster.errors import ArchitectureError
from llm_hoster.regular_file import open_regular


def read_json(path: Path, bytes_max: int) -> dict[str, Any]:
    """Read a JSON object; raise ArchitectureError when it is none, or larger than such a file ever is."""
    try:
        with open_regular(path) as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise ArchitectureError(f"{path}: cannot be read ({error.strerror}). A model's folder holds one.") from error
    if len(content) > bytes_max:
        raise ArchitectureError(f"{path}: larger than {bytes_max // 2**20} MiB, which no such file is.")
    return parse_json(str(path), content)


def parse_json(where: str, content: bytes) -> dict[str, Any]:
    """Raise ArchitectureError, which begins with `where`, for what is no JSON object."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArchitectureError(f"{where}: not JSON where it should be ({str(error)[:80]}).") from error
    if not isinstance(document, dict):
        raise ArchitectureError(f"{where}: expected a JSON object, found {type(document).__name__}.")
    return document
