"""An uploaded file on its way to the disk. Its length in memory does not depend on its length on the wire."""

from __future__ import annotations

import threading
import time
from typing import IO

from flask import Request
from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from llm_hoster.batches.lifetime import Lifetime
from llm_hoster.batches.limits import FILE_BYTES_MAX, KEPT_S, UPLOADS_MAX
from llm_hoster.batches.refusal import sentence_of
from llm_hoster.batches.stored_file import FileStore, StoredFile, new_id, write_fault
from llm_hoster.errors import HTTPError
from llm_hoster.one_file_form import OneFileForm

NAME_LENGTH_MAX = 255
RETRY_AFTER_S = 5
FORM = OneFileForm(
    FILE_BYTES_MAX,
    too_large=f"A file may have {FILE_BYTES_MAX // 2**20} MB at most. Share the questions out to several files.",
    several_files="A form has one file; upload one after the other.",
)
_places = threading.BoundedSemaphore(UPLOADS_MAX)


def receive(request: Request, files: FileStore, caller: str) -> StoredFile:
    """Take the file of a form as `POST /v1/files` has it; raise HTTPError with what is wrong with it."""
    FORM.require_length(request)
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
    form, found = FORM.read(request, content)
    if "file" not in found:
        message = "There is no whole `file` in this request. Send a multipart form with `purpose` and `file`."
        raise HTTPError(400, message, code="no_file")
    if form.get("purpose") != "batch":
        raise HTTPError(400, "`purpose` must be 'batch': this session keeps no other files.", code="invalid_purpose")
    length = content.tell()
    if length == 0:
        raise HTTPError(400, "The file is empty.", code="empty_file")
    now = time.time()
    return StoredFile(
        id=new_id(),
        filename=_shown_name(found["file"].filename or "upload.jsonl"),
        purpose="batch",
        bytes=length,
        created_at=now,
        expires_at=int(now) + _kept_s(form),
        caller=caller,
    )


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
