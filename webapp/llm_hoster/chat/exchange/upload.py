"""An uploaded file on its way to the node's disk, under no name: nobody finds it, and it is gone when it is closed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

from flask import Request

from llm_hoster.errors import HTTPError
from llm_hoster.one_file_form import OneFileForm

FILE_MAX_BYTES = 200 * 2**20
FORM = OneFileForm(
    FILE_MAX_BYTES,
    too_large=f"A file may have {FILE_MAX_BYTES // 2**20} MB at most. Of an archive with pictures, unpack it yourself "
    "and import its conversations.json.",
    several_files="Choose one file at a time.",
)


def receive(request: Request, folder: Path) -> tuple[IO[bytes], int]:
    """Give the one file of the form, and its length; raise HTTPError with what is wrong with it."""
    FORM.require_length(request)
    try:
        content = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - whoever imports it closes it
    except OSError as error:
        raise _no_room(error) from error
    try:
        return content, _fill(request, content)
    except BaseException as error:
        content.close()
        if isinstance(error, OSError):
            raise _no_room(error) from error
        raise


def _fill(request: Request, content: IO[bytes]) -> int:
    FORM.read(request, content)
    length = content.tell()
    content.seek(0)
    if length == 0:
        raise HTTPError(400, "No file was chosen, or it is empty. Choose the file with your chats.", code="no_file")
    return length


def _no_room(error: OSError) -> HTTPError:
    return HTTPError(507, f"The node's disk does not take the file ({error.strerror}).", code="no_room")
