"""An uploaded file on its way to the disk. Its length in memory does not depend on its length on the wire."""

from __future__ import annotations

import threading
import time
from typing import IO

from flask import Request
from pydantic import ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from llm_hoster.batches.lifetime import Lifetime
from llm_hoster.batches.limits import FILE_BYTES_MAX, KEPT_S, UPLOADS_MAX
from llm_hoster.batches.refusal import sentence_of
from llm_hoster.batches.stored_file import FileStore, StoredFile, new_id, write_fault
from llm_hoster.errors import HTTPError

# What the form around the file may take; not less than the parser reads at a time.
FORM_BYTES_MAX = 2**20
FORM_PARTS_MAX = 10
NAME_LENGTH_MAX = 255
RETRY_AFTER_S = 5
TOO_LARGE = f"A file may have {FILE_BYTES_MAX // 2**20} MB at most. Share the questions out to several files."
_places = threading.BoundedSemaphore(UPLOADS_MAX)


def receive(request: Request, files: FileStore, caller: str) -> StoredFile:
    """Take the file of a form as `POST /v1/files` has it; raise HTTPError with what is wrong with it."""
    request.max_content_length = FILE_BYTES_MAX + FORM_BYTES_MAX
    if (request.content_length or 0) > request.max_content_length:
        raise HTTPError(413, TOO_LARGE, code="file_too_large")
    if not _places.acquire(blocking=False):
        message = f"{UPLOADS_MAX} files are being uploaded already. Try again in a moment."
        raise HTTPError(429, message, code="too_many_uploads", retry_after_s=RETRY_AFTER_S)
    try:
        with files.new_content() as content:
            file = _described(request, content, caller)
            files.require_room()
            files.add(content, file)
    except OSError as error:
        raise write_fault(error) from error
    finally:
        _places.release()
    return file


def _described(request: Request, content: IO[bytes], caller: str) -> StoredFile:
    form, filename = _parse(request, content)
    if form.get("purpose") != "batch":
        raise HTTPError(400, "`purpose` must be 'batch': this session keeps no other files.", code="invalid_purpose")
    content.seek(0, 2)
    length = content.tell()
    if length > FILE_BYTES_MAX:
        raise HTTPError(413, TOO_LARGE, code="file_too_large")
    if length == 0:
        raise HTTPError(400, "The file is empty.", code="empty_file")
    now = time.time()
    return StoredFile(
        id=new_id(),
        filename=filename,
        purpose="batch",
        bytes=length,
        created_at=now,
        expires_at=int(now) + _kept_s(form),
        caller=caller,
    )


def _parse(request: Request, content: IO[bytes]) -> tuple[MultiDict[str, str], str]:
    """Write the one file of the form to `content`; give its other fields and the file's name."""
    began = False

    def begin(*_: object, **__: object) -> IO[bytes]:
        nonlocal began
        if began:
            raise HTTPError(400, "A form has one file; upload one after the other.", code="several_files")
        began = True
        return content

    parser = FormDataParser(stream_factory=begin, max_form_memory_size=FORM_BYTES_MAX, max_form_parts=FORM_PARTS_MAX)
    try:
        _, form, found = parser.parse(request.stream, request.mimetype, request.content_length, request.mimetype_params)
    except RequestEntityTooLarge as error:
        raise HTTPError(413, TOO_LARGE, code="file_too_large") from error
    if "file" not in found:
        message = "There is no whole `file` in this request. Send a multipart form with `purpose` and `file`."
        raise HTTPError(400, message, code="no_file")
    return form, _shown_name(found["file"].filename or "upload.jsonl")


def _shown_name(name: str) -> str:
    """It is shown, and never the name of a file of ours."""
    printable = "".join(character if character.isprintable() else "_" for character in name)
    return printable[-NAME_LENGTH_MAX:]


def _kept_s(form: MultiDict[str, str]) -> int:
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return KEPT_S
    try:
        return Lifetime.model_validate({"anchor": anchor, "seconds": seconds}).seconds
    except ValidationError as error:
        raise HTTPError(400, f"`expires_after`: {sentence_of(error)}", code="invalid_expires_after") from error
