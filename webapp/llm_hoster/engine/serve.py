"""`llm-hoster serve`: everything that one session runs on its node, as one command."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from llm_hoster.engine.adapter import Adapter, find_adapters
from llm_hoster.engine.balance import BalanceWatch
from llm_hoster.engine.command import build_command, build_environment, lasting_environment
from llm_hoster.engine.container import bound_folders, real_source
from llm_hoster.engine.engine_process import EngineProcess
from llm_hoster.engine.file_limit import raise_file_limit
from llm_hoster.engine.folders import Folders, make_cache_dir, make_data_dir, runtime_dir_in
from llm_hoster.engine.handover import Handover
from llm_hoster.engine.job_log import say
from llm_hoster.engine.outcome import UNKNOWN_END, Charge, OutcomeFile
from llm_hoster.engine.port import bind_port
from llm_hoster.engine.serve_arguments import base_arguments, choice_arguments, source_of
from llm_hoster.engine.supervisor import FAILED_STAY_S, Supervisor
from llm_hoster.engine.web_process import WebProcess
from llm_hoster.errors import LLMHosterError, SessionError
from llm_hoster.hub_cache import cache_of
from llm_hoster.session import Session, expand_path
from llm_hoster.settings import WebSettings

ENGINE_LOG = "vllm.log"
WEB_LOG = "web.log"
OUTCOME = "outcome.json"


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
        OutcomeFile(staged_root / OUTCOME, charge, staged_root / ENGINE_LOG).write(str(error), has_ended=True)
        raise
    sys.exit(status)


def _serve(staged_root: Path, session: Session, charge: Charge, failed_stay_s: float) -> int:
    site = session.catalogue.site
    # What can be refused is refused here, before the long part begins.
    _require_one_node(session)
    password = _read_secret(staged_root / "secret")
    cache_dir = make_cache_dir(expand_path(site.cache_dir))
    make_data_dir(expand_path(site.data_dir))
    adapters = find_adapters(Path(session.lora_folder), session.model.name) if session.lora_folder else []
    parsers = _check_typed_model(session, charge, staged_root, cache_dir) if session.is_typed else []
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
        engine = _engine(session, adapters, parsers, folders, staged_root / ENGINE_LOG)
        supervisor = Supervisor(
            engine,
            folders,
            charge,
            staged_root / OUTCOME,
            failed_stay_s=failed_stay_s,
            idle_s=session.idle_s,
        )
        supervisor.catch_signals()
        try:
            # First of all, and before the imports that only the pages need: vLLM's start is the long part.
            supervisor.start_engine()
            api_key = f"sk-llmh-{secrets.token_urlsafe(32)}"
            handover.write_endpoint(api_key)
            _write_settings(session, charge, folders, handover, password=password, api_key=api_key)
            supervisor.start_web(_web_process(listener, folders, handover))
            _watch_balance(site.balance_command, folders)
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


def _engine(
    session: Session, adapters: Sequence[Adapter], parsers: Sequence[str], folders: Folders, log: Path
) -> EngineProcess:
    environment = build_environment(os.environ, session.engine, folders, hf_offline=session.catalogue.site.hf_offline)
    source, bound = source_of(session), list[Path]()
    if session.engine.kind == "apptainer":
        source = real_source(source)
        adapters = [replace(adapter, folder=adapter.folder.resolve()) for adapter in adapters]
        bound = bound_folders([Path(source), *(adapter.folder for adapter in adapters)])
    arguments = base_arguments(source, session.model.name, folders) + choice_arguments(session, adapters, parsers)
    command = build_command(session.engine, arguments, bound, folders, environment)
    return EngineProcess(command, environment, folders, log)


def _require_one_node(session: Session) -> None:
    if session.offer.nodes > 1:
        raise SessionError(
            f"{session.num_gpus} x {session.gpu_type.name} lie on {session.offer.nodes} nodes, and this version of "
            "LLM Hoster serves on one node only. Choose fewer GPUs, or a GPU type with more memory."
        )


def _check_typed_model(session: Session, charge: Charge, staged_root: Path, cache_dir: Path) -> list[str]:
    """Give vLLM's arguments for tools and reasoning; raise ChoiceError when the model does not fit."""
    # The hub may take its time, and a job that is killed meanwhile has an outcome too.
    OutcomeFile(staged_root / OUTCOME, charge, staged_root / ENGINE_LOG).write(UNKNOWN_END, has_ended=False)
    hf_offline = session.catalogue.site.hf_offline
    environment = lasting_environment(os.environ, session.engine, cache_dir, hf_offline=hf_offline)
    try:
        return _judge_typed_model(session, environment)
    except LLMHosterError:
        raise
    except Exception as error:
        # Files that anybody may have written are read here. The card gets a sentence, the job's log all of it.
        traceback.print_exc()
        raise SessionError(
            f"{session.model.source}: looking at this model ended with an error that nobody expected "
            f"({type(error).__name__}). output.log in the session's folder has all of it. Choose another model, or "
            "show it to who runs LLM Hoster here."
        ) from error


def _judge_typed_model(session: Session, environment: Mapping[str, str]) -> list[str]:
    # Imported here: requests takes longer to load than all that must happen before vLLM starts for other models.
    from llm_hoster.catalogue.model_parsers import parsers_for
    from llm_hoster.engine.typed_model import check_typed_model

    # vLLM's cache comes first. The person's own may have the description too, which `llm-hoster fit` reads as well.
    config = check_typed_model(session, environment, [cache_of(os.environ)])
    return [] if config is None else parsers_for(config, name=session.model.source)


def _watch_balance(command: list[str], folders: Folders) -> None:
    """Without Slurm nobody pays, so there is nothing to ask for."""
    account = os.environ.get("SLURM_JOB_ACCOUNT")
    if command and account:
        BalanceWatch(command, account, folders.runtime_dir).start()


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
