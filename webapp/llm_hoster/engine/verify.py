"""`llm-hoster verify`: does an installed engine start and answer? For administrators, inside a job of its own kind."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from llm_hoster.catalogue.compiled import Catalogue, Engine
from llm_hoster.engine.process.folders import Folders, make_cache_dir, runtime_dir_in
from llm_hoster.engine.record.state import ServedModel, Step
from llm_hoster.engine.run.plan import Plan
from llm_hoster.engine.trial import document_stream, try_plan
from llm_hoster.engine.vllm.command import build_command, build_environment
from llm_hoster.engine.vllm.serve_arguments import base_arguments
from llm_hoster.errors import EngineError

SERVED_NAME = "verify"

# Enough for a tiny model, and quick: nothing is compiled, and no GPU memory is reserved beyond need.
ARGUMENTS = ["--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "4"]
CPU_ARGUMENTS = ["--distributed-executor-backend", "uni"]
CPU_VARIABLES = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}


@click.command()
@click.option("--prefix", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--engine", "engine_name", help="Folder under PREFIX/engine; not needed where there is only one.")
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A catalogue.json that has the engine: for a module or an Apptainer image.",
)
@click.option("--model", type=click.Path(path_type=Path), help="A model's folder; default: PREFIX/models/tiny.")
@click.option("--timeout", "timeout_s", type=float, default=900.0, show_default=True, help="Seconds to wait for vLLM.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object alone; the steps go to stderr.")
def verify(
    prefix: Path,
    engine_name: str | None,
    catalogue: Path | None,
    model: Path | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Start an engine on a tiny model, ask it one question, and print each step with its seconds."""
    os.umask(0o077)
    stdout = document_stream(as_json)
    prefix = prefix.resolve()
    engine = _from_catalogue(catalogue, engine_name) if catalogue else _installed_engine(prefix, engine_name)
    with (
        tempfile.TemporaryDirectory(prefix="llmh-verify-", ignore_cleanup_errors=True) as work_dir,
        runtime_dir_in(Path("/tmp")) as runtime_dir,  # noqa: S108 - a private folder is made in it
    ):
        folders = Folders(runtime_dir, make_cache_dir(Path(work_dir) / "cache"))
        log = Path(work_dir) / "vllm.log"
        steps, failure = _try(engine, (model or prefix / "models" / "tiny").absolute(), folders, log, timeout_s)
    if as_json:
        document = {"engine": engine.name, "works": failure is None, "failure": failure}
        click.echo(json.dumps(document | {"steps": [asdict(step) for step in steps]}, indent=2), file=stdout)
    sys.exit(0 if failure is None else 1)


def _try(
    engine: Engine, model: Path, folders: Folders, log: Path, timeout_s: float
) -> tuple[tuple[Step, ...], str | None]:
    environment = build_environment(os.environ, engine, folders, hf_offline=True)
    arguments = [*base_arguments(str(model), SERVED_NAME, folders), *engine.args]
    command = build_command(engine, arguments, [model], folders, environment)
    click.echo(f"{engine.name} ({engine.kind}, {engine.target}) on {model}")
    plan = Plan(ServedModel(SERVED_NAME, model.name), command, environment)
    steps, failure = try_plan(plan, folders, log, timeout_s)
    click.echo("The engine works." if failure is None else f"The engine does not work. {failure}")
    return steps, failure


def _from_catalogue(path: Path, name: str | None) -> Engine:
    engines = Catalogue.model_validate_json(path.read_text()).engines
    found = [engine for engine in engines if name in (None, engine.name)]
    if len(found) != 1:
        raise EngineError(
            f"--engine {name or '(not given)'}: choose one of {', '.join(each.name for each in engines)}."
        )
    return found[0].model_copy(update={"args": [*found[0].args, *ARGUMENTS]})


def _installed_engine(prefix: Path, name: str | None) -> Engine:
    names = sorted(folder.name for folder in (prefix / "engine").glob("*") if (folder / "bin" / "vllm").exists())
    found = [each for each in names if name in (None, each)]
    if len(found) != 1:
        raise EngineError(
            f"--engine {name or '(not given)'}: {prefix / 'engine'} holds {', '.join(names) or 'no engine'}."
            + (" Choose one of them." if names else " Run bin/install first.")
        )
    is_cpu = "cpu" in found[0]
    return Engine(
        name=found[0],
        kind="venv",
        target=str(prefix / "engine" / found[0]),
        accelerator="cpu" if is_cpu else "cuda",
        args=[*ARGUMENTS, *(CPU_ARGUMENTS if is_cpu else [])],
        env=CPU_VARIABLES if is_cpu else {},
    )
