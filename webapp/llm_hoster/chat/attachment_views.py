"""Files for a question: brought by the browser or chosen on the cluster, given back to who may read the message."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.bounds import FILE_MAX_BYTES, FILES_MAX
from llm_hoster.attachments.cluster_files import list_folder, read_cluster_file
from llm_hoster.attachments.picture import MEDIA_TYPES
from llm_hoster.attachments.refusal import refusal
from llm_hoster.chat.attached_files import attach, attach_upload, sign, store_of
from llm_hoster.chat.documents import long_files
from llm_hoster.chat.exchange.file_name import disposition
from llm_hoster.chat.tokenization import context_limit
from llm_hoster.current import current_engine_state, current_settings, current_store
from llm_hoster.errors import AttachmentError, HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.status.views import panel

bp = Blueprint("attachments", __name__, url_prefix="/chat/attachments")
bp.add_app_template_filter(lambda attachment: sign(current_settings(), g.visitor.id, attachment), "signed")
bp.add_app_template_global(lambda: FILES_MAX, "files_max")
bp.add_app_template_global(lambda: FILE_MAX_BYTES, "file_max_bytes")
bp.add_app_template_global(lambda attachment: is_too_long(attachment), "is_too_long")

# A browser shows these and runs nothing in them.
SAFE_TYPES = {media_type for _, media_type in MEDIA_TYPES} | {"image/webp"}
PREVIEW_AGE_S = 3600


@bp.post("")
def receive() -> str:
    """Take one file that the browser has, and answer with it as the composer shows it."""
    if (request.content_length or 0) > FILE_MAX_BYTES + 100_000:
        raise refusal("too_large", name="The file")
    file = request.files.get("file")
    if file is None:
        raise HTTPError(400, "No file came with this request. Choose one first.", code="no_file")
    return _shown(attach_upload(current_settings(), g.visitor.id, file))


@bp.get("/cluster")
def browse() -> str:
    """Show a folder of the cluster to the owner, as whom the job runs; a file of it that was asked for is chosen."""
    path = request.args.get("path") or str(Path.home())
    shows_hidden = request.args.get("hidden") == "1"
    folder = problem = None
    try:
        folder = list_folder(path, shows_hidden=shows_hidden)
    except AttachmentError as error:
        problem = str(error)
    return panel(
        "chat/_cluster_files.html", "Files on the cluster", folder=folder, path=path, problem=problem,
        shows_hidden=shows_hidden, steps=_steps(folder.path) if folder else [],
    )  # fmt: skip


@bp.post("/cluster")
def take() -> str:
    """Attach a file of the cluster; no byte of it goes through the browser."""
    path = request.form.get("path", "")
    return _shown(attach(current_settings(), g.visitor.id, read_cluster_file(path), Path(path).name))


@bp.get("/<message_id>/<int:number>")
def download(message_id: str, number: int) -> Response:
    """Give a file of a message to who may read the message, to be saved and never to be opened as a page."""
    attachment = _find(message_id, number)
    data = store_of(current_settings(), g.visitor.id).data(attachment)
    response = Response(data, content_type="application/octet-stream")
    response.headers["Content-Disposition"] = disposition(attachment.name)
    return response


@bp.get("/<message_id>/<int:number>/preview")
def preview(message_id: str, number: int) -> Response:
    """Give a picture of a message as one."""
    attachment = _find(message_id, number)
    store = store_of(current_settings(), g.visitor.id)
    media_type = store.content(attachment).media_type
    if media_type not in SAFE_TYPES:
        raise HTTPError(404, "This file is no picture.", code="not_found")
    response = Response(store.data(attachment), content_type=media_type)
    response.headers["Content-Disposition"] = "inline"
    response.headers["Cache-Control"] = f"private, max-age={PREVIEW_AGE_S}, immutable"
    return response


@bp.get("/kept")
def kept() -> str:
    """List all that one has attached, and where."""
    store = store_of(current_settings(), g.visitor.id)
    named = current_store().attachments(g.visitor.id)
    files = [(identity, size, *named.get(identity, (None, None))) for identity, size in store.kept().items()]
    return panel(
        "chat/_kept_files.html", "Attached files", files=files, used=sum(size for _, size, *_ in files),
        most=store.kept_max_bytes,
    )  # fmt: skip


@bp.post("/kept/<identity>/remove")
def remove(identity: str) -> BaseResponse:
    store = store_of(current_settings(), g.visitor.id)
    if identity not in store.kept():
        raise HTTPError(404, "There is no such file, or it was removed.", code="not_found")
    store.remove(identity)
    if wants_part():
        return make_response(kept())
    return redirect(url_for("attachments.kept"), 303)


def is_too_long(attachment: Attachment) -> bool:
    """Say whether only passages of it can be sent, for a file that is alone."""
    limit = context_limit(current_settings(), current_engine_state())
    return limit is not None and bool(long_files([attachment], limit))


def _find(message_id: str, number: int) -> Attachment:
    message = current_store().find_message(message_id, g.visitor.id)
    if message is None or number >= len(message.attachments):
        raise HTTPError(404, "There is no such file, or its chat was deleted.", code="not_found")
    return message.attachments[number]


def _shown(attachment: Attachment) -> str:
    return render_template("chat/_attachment.html", attachment=attachment)


def _steps(path: str) -> list[tuple[str, str]]:
    """Give the folders on the way to one, each with its name."""
    place = Path(path)
    return [(each.name or "/", str(each)) for each in (*reversed(place.parents), place)]
