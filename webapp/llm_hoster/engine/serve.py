"""`llm-hoster serve`: everything that one session runs on its node, as one command."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import sys
import time
from pathlib import Path

import click

from llm_hoster.engine.command import build_command, build_environment
from llm_hoster.engine.engine_process import EngineProcess
from llm_hoster.engine.file_limit import raise_file_limit
from llm_hoster.engine.folders import Folders, make_cache_dir, make_data_dir, runtime_dir_in
from llm_hoster.engine.handover import Handover
from llm_hoster.engine.job_log import say
from llm_hoster.engine.outcome import Charge, OutcomeFile
from llm_hoster.engine.port import bind_port
from llm_hoster.engine.supervisor import FAILED_STAY_S, Supervisor
from llm_hoster.engine.web_process import WebProcess
from llm_hoster.errors import LLMHosterError, SessionError
from llm_hoster.session import Session, expand_path
from llm_hoster.settings import WebSettings

ENGINE_LOG = "vllm.log"
WEB_LOG = "web.log"


@click.command()
@click.option(
    "--failed-stay",
    "failed_stay_s",
    type=float,
    default=FAILED_STAY_S,
    show_default=True,
    help="Seconds that the pages stay up to tell why vLLM failed, before the job ends.",
)
def serve(failed_stay_s: float) -> None:
    """Serve the session that is staged in the current folder, until it is stopped."""
    os.umask(0o077)
    staged_root = Path.cwd()
    charge = Charge(started_at=time.time(), ends_at=time.time(), su_per_hour=0.0, su_estimate=0.0)
    try:
        session = Session.from_file(staged_root / "session.json")
        charge = _charge(session)
        status = _serve(staged_root, session, charge, failed_stay_s)
    except LLMHosterError as error:
        OutcomeFile(staged_root / "outcome.json", charge, staged_root / ENGINE_LOG).write(str(error), has_ended=True)
        raise
    sys.exit(status)


def _serve(staged_root: Path, session: Session, charge: Charge, failed_stay_s: float) -> int:
    site = session.catalogue.site
    # What can be refused is refused here, before the long part begins.
    password = _read_secret(staged_root / "secret")
    cache_dir = make_cache_dir(expand_path(site.cache_dir))
    make_data_dir(expand_path(site.data_dir))
    raise_file_limit()
    listener = bind_port((site.ports[0], site.ports[1]) if site.ports else None)
    handover = Handover(
        staged_root=staged_root,
        host=os.environ.get("LLM_HOSTER_HOST") or os.uname().nodename,
        port=listener.getsockname()[1],
        proxy=site.proxy,
        served_model_name=session.model.name,
    )
    with runtime_dir_in(expand_path(site.node_dir)) as runtime_dir:
        folders = Folders(runtime_dir, cache_dir)
        engine = _engine(session, folders, staged_root / ENGINE_LOG)
        supervisor = Supervisor(engine, folders, charge, staged_root / "outcome.json", failed_stay_s=failed_stay_s)
        supervisor.catch_signals()
        try:
            # First of all, and before the imports that only the pages need: vLLM's start is the long part.
            supervisor.start_engine()
            api_key = f"sk-llmh-{secrets.token_urlsafe(32)}"
            handover.write_endpoint(api_key)
            _write_settings(session, charge, folders, handover, password=password, api_key=api_key)
            supervisor.start_web(_web_process(listener, folders, handover))
            return supervisor.run()
        except OSError as error:
            raise SessionError(f"The session's files cannot be written: {error}.") from error
        finally:
            supervisor.close("The session could not be served. output.log in its folder says why.")


def _web_process(listener: socket.socket, folders: Folders, handover: Handover) -> WebProcess:
    return WebProcess(
        listener,
        folders.settings_path,
        handover.staged_root / WEB_LOG,
        cwd=folders.runtime_dir,
        hand_over=lambda: _hand_over(handover),
    )


def _engine(session: Session, folders: Folders, log: Path) -> EngineProcess:
    environment = build_environment(os.environ, session.engine, folders, hf_offline=session.catalogue.site.hf_offline)
    command = build_command(session.engine, session.model, session.num_gpus, folders, environment)
    return EngineProcess(command, environment, folders, log)


def _charge(session: Session) -> Charge:
    """Slurm tells start and end where it is new enough; else the job is taken to have started now."""
    started_at = float(os.environ.get("SLURM_JOB_START_TIME") or time.time())
    ends_at = float(os.environ.get("SLURM_JOB_END_TIME") or started_at + session.hours * 3600)
    return Charge(started_at, ends_at, su_per_hour=session.qos.su_per_hour, su_estimate=session.su_estimate)


def _read_secret(path: Path) -> str:
    try:
        password = path.read_text().strip()
    except OSError as error:
        raise SessionError(f"{path}: the login secret is missing ({error.strerror}). Launch again.") from error
    if len(password) < 16:
        raise SessionError(f"{path}: the login secret is shorter than 16 characters. Launch again.")
    return password


def _write_settings(
    session: Session, charge: Charge, folders: Folders, handover: Handover, *, password: str, api_key: str
) -> None:
    WebSettings(
        host=handover.host,
        port=handover.port,
        runtime_dir=folders.runtime_dir,
        staged_root=handover.staged_root,
        data_dir=expand_path(session.catalogue.site.data_dir),
        session_id=handover.staged_root.name,
        secret_sha256=hashlib.sha256(password.encode()).hexdigest(),
        secret_key=secrets.token_hex(32),
        api_key=api_key,
        served_model_name=session.model.name,
        model_title=session.model.title,
        gpu_title=session.gpu_type.title,
        started_at=charge.started_at,
        ends_at=charge.ends_at,
        su_per_hour=charge.su_per_hour,
        base_url=handover.base_url,
        endpoint_file=handover.endpoint_file,
    ).write(folders.settings_path)


def _hand_over(handover: Handover) -> None:
    handover.write_card()
    say("session", f"the chat page answers on {handover.host}:{handover.port}")
