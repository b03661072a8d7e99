"""From a submitted form to a job."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from portal.batch_app import BatchApp
from portal.batch_session import BatchSession, SessionStore
from portal.debian_package import MissingProgramError
from portal.job_script import job_script
from portal.jobs import JobError, JobRequest
from portal.ruby import RubyError, ask_ruby
from portal.settings import PortalSettings
from portal.staging import StagingError, stage


class LaunchError(Exception):
    """Nothing was submitted. `step` is OnDemand's name for where it failed: save, stage or submit."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step
        self.message = message


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge maps deeply; anything else, arrays too, is replaced."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def submit_options(app: BatchApp, context: Mapping[str, str], staged_root: str) -> dict[str, Any]:
    """Return the attributes' share with submit.yml over it."""
    options: dict[str, Any] = {}
    for attribute in app.attributes:
        options = merged(options, attribute.submit(context[attribute.id]))
    request = {"do": "submit", "app_root": str(app.root), "context": dict(context), "staged_root": staged_root}
    return merged(options, ask_ruby(request))


def launch(settings: PortalSettings, app: BatchApp, context: Mapping[str, str]) -> BatchSession:
    """Stage and submit; raise LaunchError with what OnDemand would show."""
    store = SessionStore(settings)
    session = BatchSession(
        id=str(uuid.uuid4()),
        token=app.token,
        title=app.title,
        created_at=int(time.time()),
        cluster_id=context.get("cluster", ""),
    )
    staged_root = store.staged_root(session)
    try:
        options = submit_options(app, context, str(staged_root))
    except RubyError as error:
        raise LaunchError("save", error.message) from error
    try:
        stage(app.root / "template", staged_root, app.user_defined(context), context, store.for_ruby(session))
    except (RubyError, StagingError, MissingProgramError, OSError) as error:
        raise LaunchError("stage", str(error)) from error
    script = options.get("script") or {}
    request = JobRequest(
        content=job_script(staged_root, {**settings.batch_connect_basic, **(options.get("batch_connect") or {})}),
        workdir=staged_root,
        job_name=re.sub(r"[^A-Za-z0-9._/-]", "_", f"{settings.portal_name}/sys/dashboard/{app.token}"),
        options=script,
    )
    (staged_root / "job_script_content.sh").write_text(request.content)
    recorded = {"job_name": request.job_name, "workdir": str(staged_root), "output_path": "output.log", **script}
    (staged_root / "job_script_options.json").write_text(json.dumps(recorded, indent=2))
    try:
        job_id = settings.jobs.submit(request)
    except JobError as error:
        raise LaunchError("submit", str(error)) from error
    submitted = BatchSession(**{**asdict(session), "job_id": job_id})
    store.save(submitted)
    return submitted
