"""From bytes to content: what a file is, whether it is taken, and what is in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

from llm_hoster.attachments.bounds import (
    FILE_MAX_BYTES,
    PICTURE_MAX_PIXELS,
    READERS,
    READING_S,
    TURN_S,
)
from llm_hoster.attachments.content import Content, Form
from llm_hoster.attachments.picture import media_type_of, read_picture
from llm_hoster.attachments.plain_text import decode_text
from llm_hoster.attachments.refusal import refusal

PDF_MARK = b"%PDF-"
# Where the mark of a PDF may stand: mail programs and printers put lines before it.
PDF_MARK_BYTES = 1024
ZIP_MARK = b"PK\x03\x04"
OLD_OFFICE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What Python needs to start, and nothing that is secret.
ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")

# More than Python takes to begin where the disk is slow.
STARTING_S = 10

_turns = threading.BoundedSemaphore(READERS)


def read_content(data: bytes, name: str, *, reading_s: int = READING_S) -> Content:
    """Raise AttachmentError, with a sentence, for what is not taken. May take `reading_s` seconds for PDF and Word."""
    if not data:
        raise refusal("empty", name=name)
    if len(data) > FILE_MAX_BYTES:
        raise refusal("too_large", name=name)
    media_type = media_type_of(data)
    if media_type:
        return _checked_picture(data, name, media_type)
    if PDF_MARK in data[:PDF_MARK_BYTES]:
        return _read_apart(data, name, "pdf", reading_s)
    if data.startswith(ZIP_MARK):
        return _read_apart(data, name, "word", reading_s)
    if data.startswith(OLD_OFFICE_MARK):
        raise refusal("old_office", name=name)
    text = decode_text(data)
    if text is None:
        raise refusal("not_text", name=name)
    return Content("text", (text,))


def _checked_picture(data: bytes, name: str, media_type: str) -> Content:
    content = read_picture(data, media_type)
    if content is None:
        raise refusal("picture_damaged", name=name)
    if content.width * content.height > PICTURE_MAX_PIXELS:
        raise refusal("picture_pixels", name=name, width=content.width, height=content.height)
    return content


def _read_apart(data: bytes, name: str, form: Form, reading_s: int) -> Content:
    """In a process with limits of its own; see `reader`."""
    if not _turns.acquire(timeout=TURN_S):
        raise refusal("busy", name=name)
    try:
        done = subprocess.run(  # noqa: S603 - a list, made by us
            [sys.executable, "-m", "llm_hoster.attachments.reader", form, str(reading_s)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={variable: os.environ[variable] for variable in ENVIRONMENT if variable in os.environ},
            cwd="/",
            # The reader's own alarm rings first.
            timeout=reading_s + STARTING_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise refusal("too_slow", name=name) from error
    finally:
        _turns.release()
    if -done.returncode in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL):
        raise refusal("too_slow", name=name)
    if done.returncode != 0:
        raise refusal("damaged", name=name)
    answer = json.loads(done.stdout)
    if "reason" in answer:
        raise refusal(answer["reason"], **{**answer["values"], "name": name})
    content = Content(form, tuple(answer["pages"]))
    if not any(content.pages):
        raise refusal("no_text", name=name)
    return content
