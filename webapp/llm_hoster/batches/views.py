"""OpenAI's /v1/files and /v1/batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, cast

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request, send_file
from pydantic import ValidationError

from llm_hoster.batches.batch import Batch, BatchOrder, as_openai, new_batch_id
from llm_hoster.batches.batch_store import BatchStore
from llm_hoster.batches.caller import may_see
from llm_hoster.batches.refusal import sentence_of
from llm_hoster.batches.runner import Runner
from llm_hoster.batches.stored_file import FileStore, StoredFile, write_fault
from llm_hoster.batches.upload import receive
from llm_hoster.current import current_gate, current_recorder
from llm_hoster.errors import HTTPError
from llm_hoster.settings import WebSettings
from llm_hoster.status.metrics_views import gauge_reader

bp = Blueprint("batches", __name__, url_prefix="/v1")

EXTENSION = "llm_hoster_batches"
JSONL = "application/jsonl"
PAGE_MAX = {"files": 10_000, "batches": 100}


class Listed(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Listed)


def init_app(app: Flask, settings: WebSettings) -> None:
    """Batches that an earlier session has left are gone on with at once; without any, no thread is started."""
    root = settings.data_dir / "batches"
    files, batches = FileStore(root), BatchStore(root)
    with app.app_context():
        runner = Runner(settings, batches, files, current_gate(), current_recorder(), gauge_reader().engine)
    app.extensions[EXTENSION] = (files, batches, runner)
    app.register_blueprint(bp)
    if batches.is_used:
        runner.start()


@bp.post("/files")
def create_file() -> Response:
    return jsonify(receive(request, _files(), _caller()).as_openai())


@bp.get("/files")
def list_files() -> Response:
    purpose = request.args.get("purpose")
    found = [file for file in _files().files(_caller()) if purpose in (None, file.purpose)]
    if request.args.get("order", "desc") != "asc":
        found.reverse()
    page, has_more = _page(found, "files")
    return _listed([file.as_openai() for file in page], has_more)


@bp.get("/files/<file_id>")
def get_file(file_id: str) -> Response:
    return jsonify(_find_file(file_id).as_openai())


@bp.get("/files/<file_id>/content")
def get_content(file_id: str) -> Response:
    file = _find_file(file_id)
    path = _files().content_path(file.id)
    try:
        return send_file(path, mimetype=JSONL, as_attachment=True, download_name=file.filename, max_age=0)
    except OSError as error:
        raise _no_such("file", file_id) from error


@bp.delete("/files/<file_id>")
def delete_file(file_id: str) -> Response:
    file = _find_file(file_id)
    for batch in _batches().unfinished():
        if batch.order.input_file_id == file.id:
            message = f"{batch.id} has not ended and reads this file. Cancel it first."
            raise HTTPError(409, message, code="file_in_use")
    _files().remove(file.id)
    return jsonify({"id": file.id, "object": "file", "deleted": True})


@bp.post("/batches")
def create_batch() -> Response:
    try:
        order = BatchOrder.model_validate(request.get_json(silent=True))
    except ValidationError as error:
        raise HTTPError(400, f"The batch cannot be made. {sentence_of(error)}", code="invalid_batch") from error
    except RecursionError as error:
        raise HTTPError(400, "The body is nested too deeply.", code="invalid_json") from error
    file = _find_file(order.input_file_id)
    if file.purpose != "batch":
        message = "This file was not uploaded for a batch. Upload it with purpose 'batch'."
        raise HTTPError(400, message, code="invalid_purpose")
    caller = _caller()
    batch = Batch(
        id=new_batch_id(),
        caller=caller,
        created_at=time.time(),
        order=order,
        models=_runner().models_for(caller),
    )
    try:
        _batches().add(batch)
    except OSError as error:
        raise write_fault(error) from error
    _runner().wake()
    return jsonify(_shown(batch))


@bp.get("/batches")
def list_batches() -> Response:
    caller = _caller()
    found = [batch for batch in reversed(_batches().batches()) if may_see(caller, batch.caller)]
    page, has_more = _page(found, "batches")
    return _listed([_shown(batch) for batch in page], has_more)


@bp.get("/batches/<batch_id>")
def get_batch(batch_id: str) -> Response:
    return jsonify(_shown(_find_batch(batch_id)))


@bp.post("/batches/<batch_id>/cancel")
def cancel_batch(batch_id: str) -> Response:
    batch = _find_batch(batch_id)
    status = _batches().progress(batch).status
    if status in ("completed", "failed", "expired"):
        raise HTTPError(409, f"{batch.id} has ended already; its status is {status!r}.", code="batch_ended")
    try:
        _runner().cancel(batch)
    except OSError as error:
        raise write_fault(error) from error
    return jsonify(_shown(batch))


def _shown(batch: Batch) -> dict[str, object]:
    progress = _batches().progress(batch)
    if not progress.is_final and not progress.faults:
        fault = _runner().why_it_waits(batch)
        progress = progress.model_copy(update={"faults": (fault,) if fault else ()})
    return as_openai(batch, progress, _batches().cancelling_at(batch))


def _page(found: Sequence[T], kind: str) -> tuple[Sequence[T], bool]:
    """Give a page as `limit` and `after` ask for it, and whether there is more."""
    most = PAGE_MAX[kind]
    limit = request.args.get("limit", most if kind == "files" else 20, type=int)
    if not 1 <= limit <= most:
        raise HTTPError(400, f"`limit` is {limit}; expected 1 to {most}.", code="invalid_limit")
    after = request.args.get("after")
    if after is not None:
        places = [place for place, each in enumerate(found) if each.id == after]
        if not places:
            raise HTTPError(400, "`after` names nothing in this list.", code="invalid_after")
        found = found[places[0] + 1 :]
    return found[:limit], len(found) > limit


def _listed(data: list[dict[str, Any]], has_more: bool) -> Response:
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return jsonify({"object": "list", "data": data, "has_more": has_more, **ends})


def _find_file(file_id: str) -> StoredFile:
    file = _files().find(file_id, _caller())
    if file is None:
        raise _no_such("file", file_id)
    return file


def _find_batch(batch_id: str) -> Batch:
    batch = _batches().find(batch_id, _caller())
    if batch is None:
        raise _no_such("batch", batch_id)
    return batch


def _no_such(kind: str, its_id: str) -> HTTPError:
    return HTTPError(404, f"There is no {kind} {its_id[:80]!r}.", code="not_found")


def _caller() -> str:
    """Name the key of this request; the id of a key stays when sessions change."""
    return str(g.caller.id)


def _files() -> FileStore:
    return cast(FileStore, current_app.extensions[EXTENSION][0])


def _batches() -> BatchStore:
    """Whoever asks for batches has some, perhaps of another session."""
    _runner().start()
    return cast(BatchStore, current_app.extensions[EXTENSION][1])


def _runner() -> Runner:
    return cast(Runner, current_app.extensions[EXTENSION][2])
