"""`llm-hoster serve`: everything that one session runs on its node, as one command."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

import click

from llm_hoster.client.session_files import OUTCOME_FILE, STAGED_FILE
from llm_hoster.engine.chain.chain import Chain, predecessors_adjustment
from llm_hoster.engine.chain.predecessor import Predecessor, read_predecessor, require_wanted
from llm_hoster.engine.job.balance import BalanceWatch
from llm_hoster.engine.model.fast_start import clean_up
from llm_hoster.engine.process.file_limit import raise_file_limit
from llm_hoster.engine.process.folders import Folders, make_cache_dir, make_data_dir, runtime_dir_in
from llm_hoster.engine.process.port import bind_port
from llm_hoster.engine.record.handover import Handover
from llm_hoster.engine.record.job_log import say
from llm_hoster.engine.record.outcome import UNKNOWN_END, Charge, OutcomeFile
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.run.session_planner import SessionPlanner
from llm_hoster.engine.supervision.pulse import HANG_S
from llm_hoster.engine.supervision.supervisor import FAILED_STAY_S, Supervisor
from llm_hoster.engine.supervision.web_process import WebProcess
from llm_hoster.engine.vllm.command import lasting_environment
from llm_hoster.errors import LLMHosterError, SessionError
from llm_hoster.hub_cache import cache_of
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
@click.option(
    "--hang",
    "hang_s",
    type=float,
    default=HANG_S,
    show_default=True,
    help="Seconds without a sign of life after which vLLM is taken to hang, and started again.",
)
@click.option(
    "--overlap",
    "overlap_min",
    type=click.IntRange(min=1),
    help="Of sessions in a row: minutes before the end at which the next one may start. Default: what the start took "
    "and ten more, at most a quarter of the hours.",
)
def serve(failed_stay_s: float, hang_s: float, overlap_min: int | None) -> None:
    """Serve the session that is staged in the current folder, until it is stopped."""
    os.umask(0o077)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # vLLM draws bars, and a node's locale may be C.
    staged_root = Path.cwd()
    charge = Charge(started_at=time.time(), ends_at=time.time(), su_per_hour=0.0, su_estimate=0.0)
    try:
        session = Session.from_file(staged_root / STAGED_FILE)
        charge = _charge(session)
        predecessor = read_predecessor(staged_root)
        if predecessor is not None:
            require_wanted(staged_root, predecessor)
        status = _serve(staged_root, session, charge, predecessor, failed_stay_s, hang_s, overlap_min)
    except (LLMHosterError, OSError) as error:
        sentence = str(error) if isinstance(error, LLMHosterError) else f"A file cannot be read or written: {error}."
        OutcomeFile(staged_root / OUTCOME_FILE, charge, staged_root / ENGINE_LOG).write(sentence, has_ended=True)
        raise SessionError(sentence) from error
    sys.exit(status)


def _serve(
    staged_root: Path,
    session: Session,
    charge: Charge,
    predecessor: Predecessor | None,
    failed_stay_s: float,
    hang_s: float,
    overlap_min: int | None,
) -> int:
    site = session.catalogue.site
    # What can be refused is refused here, before the long part begins.
    password = _read_secret(staged_root / "secret")
    cache_dir = make_cache_dir(expand_path(site.cache_dir))
    make_data_dir(expand_path(site.data_dir))
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
        planner = SessionPlanner(session, folders, staged_root, parsers)
        api_key = predecessor.api_key if predecessor else f"sk-llmh-{secrets.token_urlsafe(32)}"
        chain = _chain(session, charge, handover, predecessor, api_key, overlap_min)
        supervisor = Supervisor(
            planner,
            planner.plan({}, predecessors_adjustment(predecessor)),
            folders,
            charge,
            staged_root / OUTCOME_FILE,
            staged_root / ENGINE_LOG,
            on_model=lambda model: _follow_model(handover, api_key, model),
            chain=chain,
            failed_stay_s=failed_stay_s,
            idle_s=session.idle_s,
            hang_s=hang_s,
        )
        supervisor.catch_signals()
        try:
            # First of all, and before the imports that only the pages need: vLLM's start is the long part.
            supervisor.start_engine()
            handover.write_endpoint(api_key, session.model.name)
            _write_settings(session, charge, folders, handover, password=password, api_key=api_key)
            supervisor.start_web(_web_process(listener, folders, handover, chain))
            _watch_balance(site.balance_command, folders)
            return supervisor.run()
        finally:
            supervisor.close("The session could not be served. output.log in its folder says why.")
            clean_up(site)


def _follow_model(handover: Handover, api_key: str, model: ServedModel) -> None:
    """Scripts find the model of now in the endpoint's file. A full home folder must not end the session."""
    try:
        handover.write_endpoint(api_key, model.name)
    except OSError as error:
        say("session", f"{handover.endpoint_file} cannot be written: {error.strerror}")


def _chain(
    session: Session,
    charge: Charge,
    handover: Handover,
    predecessor: Predecessor | None,
    api_key: str,
    overlap_min: int | None,
) -> Chain | None:
    """Give None for a session that has none before it and none after it."""
    if session.chain_length == 1 and predecessor is None:
        return None
    return Chain(
        handover,
        api_key,
        predecessor,
        chain_length=session.chain_length,
        hours=session.hours,
        started_at=charge.started_at,
        overlap_min=overlap_min,
    )


def _web_process(listener: socket.socket, folders: Folders, handover: Handover, chain: Chain | None) -> WebProcess:
    return WebProcess(
        listener,
        folders.settings_path,
        handover.staged_root / WEB_LOG,
        cwd=folders.runtime_dir,
        hand_over=lambda: _hand_over(handover, chain),
    )


def _check_typed_model(session: Session, charge: Charge, staged_root: Path, cache_dir: Path) -> list[str]:
    """Give vLLM's arguments for tools and reasoning; raise ChoiceError when the model does not fit."""
    # The hub may take its time, and a job that is killed meanwhile has an outcome too.
    OutcomeFile(staged_root / OUTCOME_FILE, charge, staged_root / ENGINE_LOG).write(UNKNOWN_END, has_ended=False)
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
    from llm_hoster.engine.model.typed_model import check_typed_model

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
    started_at = _unix_time("SLURM_JOB_START_TIME") or time.time()
    ends_at = _unix_time("SLURM_JOB_END_TIME") or started_at + session.hours * 3600
    return Charge(started_at, ends_at, su_per_hour=session.qos.su_per_hour, su_estimate=session.su_estimate)


def _unix_time(variable: str) -> float | None:
    try:
        return float(os.environ[variable])
    except (KeyError, ValueError):
        return None


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
        media_hosts=session.catalogue.site.media_hosts,
        audit_prompts=session.catalogue.site.audit_prompts,
        chat_titles=session.catalogue.site.chat_titles,
    ).write(folders.settings_path)


def _hand_over(handover: Handover, chain: Chain | None) -> None:
    handover.write_card()
    if chain is not None:
        chain.pages_answer()
    say("session", f"the chat page answers on {handover.host}:{handover.port}")
