"""
What people attach: where it is kept for each of them, and how the forms of their pages name it.

A form names a file by words that we have signed, for one person. Who makes up a name, or knows that of somebody else's
file, names nothing; and each person's files lie in a folder of their own.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

from flask import Request
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.datastructures import FileStorage

from llm_hoster.api_keys.api_key import OWNER
from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.bounds import FILE_MAX_BYTES, FILES_MAX, GUEST_KEPT_MAX_BYTES, UPLOADS
from llm_hoster.attachments.names import shown_name
from llm_hoster.attachments.picture import media_type_of
from llm_hoster.attachments.refusal import refusal
from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.chat.engine_facts import count_tokens, sees_pictures
from llm_hoster.errors import HTTPError
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state

FIELD = "attachment"
FOLDER = "attachments"
GUESTS = "guests"
# How long an upload waits for others to be read.
TURN_S = 30.0
_turns = threading.BoundedSemaphore(UPLOADS)


def store_of(settings: WebSettings, visitor_id: str) -> AttachmentStore:
    folder = settings.data_dir / FOLDER
    if visitor_id == OWNER:
        return AttachmentStore(folder)
    return AttachmentStore(folder / GUESTS / visitor_id, kept_max_bytes=GUEST_KEPT_MAX_BYTES)


def attach(settings: WebSettings, visitor_id: str, data: bytes, name: str) -> Attachment:
    """Keep a file and count its tokens; raise AttachmentError where it is not taken."""
    # Refused at once: there is still time to choose another file, or another model.
    if media_type_of(data) and not sees_pictures(settings, engine_state(settings)):
        raise refusal("no_pictures", name=shown_name(name))
    store = store_of(settings, visitor_id)
    store.remove_leftovers()
    if not _turns.acquire(timeout=TURN_S):
        raise refusal("busy", name=shown_name(name))
    try:
        return count_tokens(settings, store.add(data, name), store)
    finally:
        _turns.release()


def attach_upload(settings: WebSettings, visitor_id: str, file: FileStorage) -> Attachment:
    """One byte more tells a file that is too large."""
    return attach(settings, visitor_id, file.stream.read(FILE_MAX_BYTES + 1), file.filename or "")


def sign(settings: WebSettings, visitor_id: str, attachment: Attachment) -> str:
    """Give the words by which a form names a file."""
    return _serializer(settings).dumps([visitor_id, attachment.to_json()])


def files_of(settings: WebSettings, visitor_id: str, request: Request) -> list[Attachment]:
    """Read a form: files that it names, and those that a page without script sends along. Raise HTTPError."""
    found = {each.id: each for each in _named(settings, visitor_id, request.form.getlist(FIELD))}
    uploads = [file for file in request.files.getlist("file") if file.filename]
    if len(found) + len(uploads) > FILES_MAX:
        message = f"A message can have at most {FILES_MAX} files. Remove some of them."
        raise HTTPError(400, message, code="too_many_files")
    for file in uploads:
        attachment = attach_upload(settings, visitor_id, file)
        found[attachment.id] = attachment
    return list(found.values())


def _named(settings: WebSettings, visitor_id: str, names: Sequence[str]) -> list[Attachment]:
    found = []
    for name in names:
        try:
            whose, values = _serializer(settings).loads(name)
            if whose != visitor_id:
                raise ValueError("another person's file")
            found.append(Attachment.from_json(values))
        except (BadSignature, TypeError, ValueError) as error:
            message = "An attached file is not known here any more. Remove it, and attach it again."
            raise HTTPError(400, message, code="unknown_attachment") from error
    return found


def _serializer(settings: WebSettings) -> URLSafeSerializer:
    return URLSafeSerializer(settings.secret_key, salt="attachment", signer_kwargs={"digest_method": hashlib.sha256})
