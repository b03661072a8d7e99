"""An uploaded file on its way to the node's disk, under no name: nobody finds it, and it is gone when it is closed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from llm_hoster.errors import HTTPError

FILE_MAX_BYTES = 200 * 2**20
# What the form around the file may take; not less than the parser reads at a time.
FORM_MAX_BYTES = 2**20
FORM_PARTS_MAX = 10
TOO_LARGE = (
    f"A file may have {FILE_MAX_BYTES // 2**20} MB at most. Of an archive with pictures, unpack it yourself and import "
    "its conversations.json."
)


def receive(request: Request, folder: Path) -> tuple[IO[bytes], int]:
    """Give the one file of the form, and its length; raise HTTPError with what is wrong with it."""
    request.max_content_length = FILE_MAX_BYTES + FORM_MAX_BYTES
    if (request.content_length or 0) > request.max_content_length:
        raise HTTPError(413, TOO_LARGE, code="file_too_large")
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
    has_begun = False

    def begin(*_: object, **__: object) -> IO[bytes]:
        nonlocal has_begun
        if has_begun:
            raise HTTPError(400, "Choose one file at a time.", code="several_files")
        has_begun = True
        return content

    parser = FormDataParser(stream_factory=begin, max_form_memory_size=FORM_MAX_BYTES, max_form_parts=FORM_PARTS_MAX)
    try:
        parser.parse(request.stream, request.mimetype, request.content_length, request.mimetype_params)
    except RequestEntityTooLarge as error:
        raise HTTPError(413, TOO_LARGE, code="file_too_large") from error
    length = content.seek(0, 2) if has_begun else 0
    content.seek(0)
    if length > FILE_MAX_BYTES:
        raise HTTPError(413, TOO_LARGE, code="file_too_large")
    if length == 0:
        raise HTTPError(400, "No file was chosen, or it is empty. Choose the file with your chats.", code="no_file")
    return length


def _no_room(error: OSError) -> HTTPError:
    return HTTPError(507, f"The node's disk does not take the file ({error.strerror}).", code="no_room")
