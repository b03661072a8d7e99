"""Plans for a session: what the form asked for, or what somebody has changed since."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_hoster.catalogue.arguments import value_of
from llm_hoster.catalogue.choice import HUGGING_FACE_ID
from llm_hoster.catalogue.model_parsers import REASONING_OPTION
from llm_hoster.catalogue.sentences import replicas_text
from llm_hoster.engine.cluster.nodes import read_job_nodes
from llm_hoster.engine.cluster.ray_cluster import RayCluster, make_ray_plan
from llm_hoster.engine.cluster.ray_node import RayPlan, ray_environment
from llm_hoster.engine.model.download import Download, caches_for, find_source, is_mistral, needs_download
from llm_hoster.engine.model.fast_start import FastStart
from llm_hoster.engine.model.in_use import InUse
from llm_hoster.engine.model.prelude import Prelude
from llm_hoster.engine.model.weight_files import Part, local_folder, total_bytes, weight_files
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.run.estimate import StartKey
from llm_hoster.engine.run.plan import AdapterFolder, Plan
from llm_hoster.engine.vllm.adapter import (
    RUNTIME_VARIABLES,
    Adapter,
    Found,
    find_adapters,
    look_for_adapters,
    rank_max,
)
from llm_hoster.engine.vllm.command import build_command, build_environment
from llm_hoster.engine.vllm.container import bound_folders, real_source
from llm_hoster.engine.vllm.serve_arguments import base_arguments, choice_arguments, source_of
from llm_hoster.engine.vllm.sleep import VARIABLES as SLEEP_VARIABLES
from llm_hoster.engine.vllm.sleep import can_sleep
from llm_hoster.errors import SessionError
from llm_hoster.session import Session, expand_path

# What a switch may change. The GPUs are there, and the money is spent.
CHANGEABLE = ("model", "quantization", "preset", "context_length")
DOWNLOAD_LOG = "download.log"
# How long earlier starts took: the person's own below cache_dir, those of `llm-hoster warm` below the prefix.
STARTS = "starts"
# vLLM takes what has just been fetched and checked, and not what the hub has put in its place meanwhile.
OFFLINE = {"HF_HUB_OFFLINE": "1"}
# Arguments that may name a second model, which nobody has fetched.
OTHER_MODELS = ("--tokenizer", "--speculative-config", "--hf-config-path")
LORA_MODULES = "--lora-modules"


class SessionPlanner:
    """`parsers` are vLLM's arguments for tools and reasoning of a model that the person typed."""

    def __init__(self, session: Session, folders: Folders, staged_root: Path, parsers: Sequence[str]) -> None:
        self._session = session
        self._folders = folders
        self._staged_root = staged_root
        self._parsers = parsers

    def plan(self, values: Mapping[str, Any], adjustment: Adjustment) -> Plan:
        session = self._session if not values else self._changed(values)
        is_first_model = session.model == self._session.model
        adapters = _in_engine(session, _find_adapters(session))
        parsers = self._parsers if is_first_model else []
        site = session.catalogue.site
        environment = build_environment(os.environ, session.engine, self._folders, hf_offline=site.hf_offline)
        arguments = [*session.engine.args, *session.model.args]
        caches = caches_for(site.shared_models, environment)
        source = find_source(source_of(session), caches, arguments)
        fetches = needs_download(source, caches, arguments)
        fast = self._fast_start(session, source, environment, is_downloaded_first=fetches)
        ray = self._ray_plan(session, fast.reader_elsewhere)
        nodes = read_job_nodes(os.environ) if ray else None
        environment |= fast.variables | (
            ray_environment(ray, self._folders.runtime_dir, ray.head_address) if ray else {}
        )
        if session.lora_folder:
            environment |= RUNTIME_VARIABLES
        if can_sleep(session):
            environment |= SLEEP_VARIABLES

        def vllm() -> list[str]:
            bound = _bound_folders(session, fast, adapters)
            return build_command(session.engine, [], bound, self._folders, environment)

        def command(served: Sequence[Adapter]) -> list[str]:
            return [
                *vllm(),
                *base_arguments(fast.source, session.model.name, self._folders, session.catalogue.site.media_hosts),
                *choice_arguments(session, served, parsers, fast.load_format, room=adapters),
                *adjustment.arguments(),  # Of two arguments, vLLM takes the later one.
            ]

        marks = _marks(session, caches, arguments)

        def preludes() -> list[Prelude]:
            downloads = [*marks, *([self._download(source, environment, arguments)] if fetches else [])]
            if ray is None or nodes is None:
                return fast.preludes(downloads)
            cores = session.offer.cores
            cluster = RayCluster(ray, nodes, vllm(), environment, cores=cores, staged_root=self._staged_root)
            return [*fast.preludes(downloads), cluster]

        return Plan(
            model=_served_model(session, parsers),
            command=command(adapters),
            environment=environment | (OFFLINE if fetches and not _names_another_model(arguments) else {}),
            preludes=preludes,
            start_key=_start_key(session),
            start_folders=[self._folders.cache_dir / STARTS, expand_path(site.prefix) / STARTS],
            values=dict(values),
            adjustment=adjustment,
            adapters=_adapter_folder(session, adapters, command),
            choice=[source_of(session), *choice_arguments(session, [], parsers, room=adapters)],
            bytes_asleep=lambda: _weights_bytes(source, environment, arguments) if can_sleep(session) else None,
        )

    def _fast_start(
        self, session: Session, source: str, environment: Mapping[str, str], *, is_downloaded_first: bool
    ) -> FastStart:
        part = Part(0, session.offer.nodes)  # Of several nodes this one has the first layers.
        return FastStart.of(
            session, source, environment, self._folders, is_downloaded_first=is_downloaded_first, part=part
        )

    def _ray_plan(self, session: Session, reader: Sequence[str]) -> RayPlan | None:
        """Give None on one node, which needs no Ray."""
        network = session.catalogue.site.network
        if session.offer.nodes == 1:
            return None
        if network is None:
            raise SessionError("site.yml names no network for sessions on several nodes. Tell the site's support.")
        return make_ray_plan(
            network,
            gpus_per_node=session.num_gpus // session.offer.nodes,
            runtime_dir=self._folders.runtime_dir,
            # Each node fills in the variables in it.
            node_dir=Path(session.catalogue.site.node_dir),
            reader=reader,
        )

    def _download(self, source: str, environment: Mapping[str, str], arguments: Sequence[str]) -> Download:
        log = self._staged_root / DOWNLOAD_LOG
        return Download(source, environment, log, cwd=self._folders.runtime_dir, arguments=arguments)

    def _changed(self, values: Mapping[str, Any]) -> Session:
        """Look the new choice up as the form would; raise ChoiceError as it does."""
        for name, value in values.items():
            if name not in CHANGEABLE or not isinstance(value, str):
                raise SessionError(f"{name}: this cannot be changed. What can be changed: {', '.join(CHANGEABLE)}.")
        old = self._session.values
        if values.get("model", old.model) != old.model:
            # They belong to the former model: its adapters, its length, and what the person typed.
            values = {"typed_model": "", "lora_folder": "", "context_length": "auto", **values}
        return Session.from_context(self._session.catalogue, vars(old) | dict(values))


def _marks(session: Session, caches: Sequence[Path], arguments: Sequence[str]) -> list[Prelude]:
    """Made once for a plan, however often it is started."""
    model = source_of(session)
    is_of_hub = HUGGING_FACE_ID.fullmatch(model) is not None
    return [InUse(model, caches, is_mistral=is_mistral(arguments))] if is_of_hub else []


def _weights_bytes(source: str, environment: Mapping[str, str], arguments: Sequence[str]) -> int | None:
    """Weights that are made smaller while they are loaded take less."""
    folder = local_folder(source, environment)
    if folder is None:
        return None
    return total_bytes(weight_files(folder, is_mistral=is_mistral(arguments))) or None


def _served_model(session: Session, parsers: Sequence[str]) -> ServedModel:
    model = session.model
    replicas = replicas_text(session.replicas, session.num_gpus)
    reasoning_parser = value_of(REASONING_OPTION, [*parsers, *session.engine.args, *model.args]) or ""
    return ServedModel(model.name, model.title, replicas, model.task, reasoning_parser)


def _find_adapters(session: Session) -> list[Adapter]:
    return find_adapters(Path(session.lora_folder), session.model.name) if session.lora_folder else []


def _adapter_folder(
    session: Session, adapters: Sequence[Adapter], command: Callable[[Sequence[Adapter]], Sequence[str]]
) -> AdapterFolder | None:
    if not adapters:
        return None

    def look() -> Found:
        found = look_for_adapters(Path(session.lora_folder), session.model.name)
        return Found(_in_engine(session, found.adapters), found.faults)

    # Of two lists vLLM takes the later one, and that of the site or the model is later.
    are_others_served = value_of(LORA_MODULES, [*session.engine.args, *session.model.args]) is not None
    return AdapterFolder([] if are_others_served else adapters, rank_max(adapters), look, command)


def _bound_folders(session: Session, fast: FastStart, adapters: Sequence[Adapter]) -> list[Path]:
    """Give what a container must see; only real places can be bound, and those that are there."""
    if session.engine.kind != "apptainer":
        return []
    folders = [Path(real_source(fast.model)), *(adapter.folder for adapter in adapters if adapter.folder.is_dir())]
    bound = bound_folders(folders)
    if session.lora_folder:
        # Others may come to lie in it.
        lora_folder = Path(session.lora_folder).resolve()
        bound = [*(each for each in bound if not each.is_relative_to(lora_folder)), lora_folder]
    return bound + fast.bound


def _in_engine(session: Session, adapters: Sequence[Adapter]) -> list[Adapter]:
    """A container sees them at their real places."""
    if session.engine.kind != "apptainer":
        return list(adapters)
    return [replace(adapter, folder=adapter.folder.resolve()) for adapter in adapters]


def _names_another_model(arguments: Sequence[str]) -> bool:
    return any(value_of(option, arguments) is not None for option in OTHER_MODELS)


def _start_key(session: Session) -> StartKey:
    return StartKey(
        model=session.model.source,
        gpu=session.gpu_type.name,
        gpus=session.num_gpus,
        nodes=session.offer.nodes,
        engine=session.engine.name,
        quantization=session.quantization,
        preset=session.preset,
    )
