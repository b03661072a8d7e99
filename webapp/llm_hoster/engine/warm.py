"""
`llm-hoster warm`: start a model once, and leave what was compiled for everybody who starts it.

For the account that installed LLM Hoster, inside a job of the kind that a session would get.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import click

from llm_hoster.catalogue.app_dir import find_app_dir
from llm_hoster.catalogue.app_names import GPU_TYPE, MODEL, PRESET, QUANTIZATION
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.engine.model.compile_cache import publish, shared_folder
from llm_hoster.engine.model.fast_start import clean_up
from llm_hoster.engine.process.folders import Folders, make_cache_dir, runtime_dir_in
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.run.estimate import record_start
from llm_hoster.engine.run.session_planner import STARTS, SessionPlanner
from llm_hoster.engine.trial import document_stream, try_plan
from llm_hoster.errors import EngineError
from llm_hoster.hub_cache import CACHE_VARIABLES
from llm_hoster.session import Session, expand_path

MIB = 2**20


@click.command()
@click.argument("model", type=MODEL)
@click.option("--gpu-type", type=GPU_TYPE, required=True, help="Name of a GPU type in site.yml: that of this job.")
@click.option("--num-gpus", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--preset", type=PRESET, default="interactive", show_default=True)
@click.option("--quantization", type=QUANTIZATION, default="none", show_default=True)
@click.option("--context-length", default="auto", show_default=True)
@click.option(
    "--catalogue",
    "catalogue_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Default: catalogue.json of the app.",
)
@click.option("--timeout", "timeout_s", type=float, default=3600.0, show_default=True, help="Seconds to wait for vLLM.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object alone; the steps go to stderr.")
def warm(
    model: str,
    gpu_type: str,
    num_gpus: int,
    preset: str,
    quantization: str,
    context_length: str,
    catalogue_path: Path | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Start MODEL as a session would, ask it one question, and keep what was compiled for all sessions."""
    os.umask(0o077)
    stdout, size = document_stream(as_json), 0
    choice = {
        "model": model,
        "gpu_type": gpu_type,
        "num_gpus": str(num_gpus),
        "preset": preset,
        "quantization": quantization,
        "context_length": context_length,
        "bc_num_hours": "1",
    }
    catalogue = Catalogue.model_validate_json((catalogue_path or find_app_dir() / "catalogue.json").read_bytes())
    session = Session.from_context(catalogue, choice)
    prefix = expand_path(catalogue.site.prefix)
    _require_owner(prefix)
    cache_dir = make_cache_dir(expand_path(catalogue.site.cache_dir))
    _keep_hub_cache(cache_dir)
    shared = shared_folder(prefix, session.engine.name, session.gpu_type.name, session.model.name)
    with (
        # All that is compiled goes here, and nothing else: it is what is published. All nodes of the job see it.
        tempfile.TemporaryDirectory(prefix="llmh-warm-", dir=cache_dir, ignore_cleanup_errors=True) as work_dir,
        runtime_dir_in(expand_path(catalogue.site.node_dir)) as runtime_dir,
    ):
        folders = Folders(runtime_dir, make_cache_dir(Path(work_dir) / "cache"))
        plan = SessionPlanner(session, folders, Path(work_dir), []).plan({}, Adjustment())
        click.echo(f"{session.engine.name} on {num_gpus} x {session.gpu_type.title}: {session.model.title}")
        steps, failure = try_plan(plan, folders, Path(work_dir) / "vllm.log", timeout_s)
        if failure is None:
            # Not what a site keeps elsewhere: nobody knows who writes there.
            inside = {name: value for name, value in plan.environment.items() if Path(value).is_relative_to(work_dir)}
            size = publish(shared, inside, json.dumps({"made_at": time.time(), "choice": choice}))
            if plan.start_key is not None:
                record_start(plan.start_key, steps, prefix / STARTS, is_shared=True)
            click.echo(f"{size / MIB:.1f} MiB of compiled code are in {shared} for all.")
    clean_up(catalogue.site)
    if failure is not None:
        click.echo(f"Nothing was kept. {failure}")
    if as_json:
        document = {"choice": choice, "folder": str(shared), "bytes": size, "failure": failure}
        click.echo(json.dumps(document | {"steps": [asdict(step) for step in steps]}, indent=2), file=stdout)
    sys.exit(0 if failure is None else 1)


def _require_owner(prefix: Path) -> None:
    """What another account writes would be refused by every session."""
    if os.geteuid() not in (0, prefix.stat().st_uid) or not os.access(prefix, os.W_OK):
        raise EngineError(
            f"{prefix}: found an account that does not own it, expected the one that ran bin/install, or root: what "
            "others compile is taken over by nobody. Run it as that account."
        )


def _keep_hub_cache(cache_dir: Path) -> None:
    """Models that sessions of this account have downloaded lie there."""
    if not any(os.environ.get(name) for name in CACHE_VARIABLES):
        os.environ[CACHE_VARIABLES[0]] = str(cache_dir / "huggingface" / "hub")
