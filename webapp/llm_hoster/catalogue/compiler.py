"""Compile site.yml and models.yml into the catalogue: which models run where, in which place, at what price."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from llm_hoster.catalogue import compiled
from llm_hoster.catalogue.document import Document, raise_faults
from llm_hoster.catalogue.models import ModelEntry, Models, check_models
from llm_hoster.catalogue.price import price_su
from llm_hoster.catalogue.site import GpuType, Qos, Site, check_site
from llm_hoster.errors import ChoiceError, ConfigError

# Until the memory arithmetic is exact: weights and a fifth more must fit into nine tenths of the GPUs' memory.
MEMORY_PER_WEIGHTS = 1.2
USABLE_MEMORY = 0.9


def load_site(path: Path) -> Site:
    """Read and check site.yml alone; raise ConfigError with every fault."""
    document = Document(path, Site)
    check_site(document)
    return document.require()


def compile_catalogue(site_path: Path, models_path: Path | None, app_dir: Path) -> tuple[Site, compiled.Catalogue]:
    """Read both files and compile them; raise ConfigError with every fault of both.

    Without `models_path` site.yml says where its models are. `made_from` names the files relative to `app_dir`.
    """
    site_document = Document(site_path, Site)
    check_site(site_document)
    site = site_document.value
    if models_path is None:
        models_path = site_path.parent / (site.models if site else "models.yml")
    models_document = Document(models_path, Models)
    check_models(models_document, site)
    raise_faults([site_document, models_document])
    models = models_document.require()
    site = site_document.require()
    catalogue = compiled.Catalogue(
        format=1,
        made_from=[_source_file(path, app_dir) for path in (site_path, models_path)],
        site=_site_values(site, site_path),
        engines=[_engine(site, index, site_path) for index in range(len(site.engines))],
        models=[_model(site, model, models_path) for model in models.models],
        gpu_types=[
            compiled.GpuType(
                name=gpu_type.name,
                title=gpu_type.title,
                memory_gib=gpu_type.memory_gib,
                engine=gpu_type.engine,
                note=gpu_type.note,
            )
            for gpu_type in site.gpu_types
        ],
        offers={
            gpu_type.name: {str(count): _offer(site, gpu_type, count, models.models) for count in gpu_type.num_gpus}
            for gpu_type in site.gpu_types
        },
    )
    _check_offered(catalogue, models_document)
    _check_defaults(site, catalogue, site_document)
    raise_faults([site_document, models_document])
    return site, catalogue


def _site_values(site: Site, site_path: Path) -> compiled.SiteValues:
    return compiled.SiteValues(
        name=site.name,
        cluster=site.cluster,
        support_url=site.support_url,
        prefix=_absolute(site.prefix, site_path),
        cache_dir=_absolute(site.cache_dir, site_path),
        data_dir=_absolute(site.data_dir, site_path),
        node_dir=site.node_dir,
        proxy=site.proxy,
        ports=[site.ports.first, site.ports.last] if site.ports else None,
        hf_offline=site.hf_offline,
        core_weight=site.core_weight,
        app=site.app,
    )


def _engine(site: Site, index: int, site_path: Path) -> compiled.Engine:
    engine = site.engines[index]
    target = engine.target or f"{site.prefix}/engine/{engine.name}"
    return compiled.Engine(
        name=engine.name,
        kind=engine.kind,
        target=target if engine.kind == "module" else _absolute(target, site_path),
        accelerator=engine.accelerator,
        args=engine.args,
        env=engine.env,
    )


def _model(site: Site, model: ModelEntry, models_path: Path) -> compiled.Model:
    has_gpus = any(_accelerator(site, gpu_type.engine) != "cpu" for gpu_type in site.gpu_types)
    # vLLM refuses to start when its memory is too small for the longest context; `auto` takes what fits instead.
    fits_context = has_gpus and model.max_model_len is None and "--max-model-len" not in model.args
    is_relative = model.source.startswith(("./", "../"))
    return compiled.Model(
        name=model.name,
        title=model.title,
        source=_absolute(model.source, models_path) if is_relative else model.source,
        licence=model.licence,
        good_for=model.good_for,
        weights_gib=model.weights_gib,
        required_gpu_memory_gib=_required_gpu_memory_gib(model) if has_gpus else 0.0,
        max_model_len=model.max_model_len,
        engine=model.engine,
        args=[*model.args, "--max-model-len", "auto"] if fits_context else model.args,
    )


def _offer(site: Site, gpu_type: GpuType, num_gpus: int, models: list[ModelEntry]) -> compiled.Offer:
    partition = next(each for each in site.partitions if each.name == gpu_type.partition)
    cores = num_gpus * gpu_type.cores_per_gpu
    return compiled.Offer(
        partition=partition.name,
        gres=None if gpu_type.gres is None else f"gpu:{gpu_type.gres}:{num_gpus}",
        cores=cores,
        memory_gib=partition.memory_gib(cores),
        models=[model.name for model in models if _runs(site, gpu_type, num_gpus, model)],
        qos=[
            compiled.OfferQos(
                name=None if qos is None else qos.name,
                max_hours=partition.max_hours if qos is None else min(qos.max_hours, partition.max_hours),
                su_per_hour=price_su(
                    hours=1,
                    cores=cores,
                    core_weight=site.core_weight,
                    num_gpus=num_gpus,
                    gpu_weight=gpu_type.su_weight,
                    qos_factor=1.0 if qos is None else qos.charge,
                ),
            )
            for qos in _allowed_qos(site, gpu_type, num_gpus)
        ],
    )


def _allowed_qos(site: Site, gpu_type: GpuType, num_gpus: int) -> list[Qos] | list[None]:
    """Give the QoS whose limits allow `num_gpus`, in the site's order; [None] where the type names none."""
    if not gpu_type.qos:
        return [None]
    return [qos for qos in site.qos if qos.name in gpu_type.qos and gpu_type.qos[qos.name].allows(num_gpus)]


def _runs(site: Site, gpu_type: GpuType, num_gpus: int, model: ModelEntry) -> bool:
    accelerator = _accelerator(site, gpu_type.engine)
    if accelerator not in model.accelerators:
        return False
    if model.engine is not None and _accelerator(site, model.engine) != accelerator:
        return False
    if model.num_gpus is not None and num_gpus not in model.num_gpus:
        return False
    if accelerator == "cpu":
        return True
    return _required_gpu_memory_gib(model) <= USABLE_MEMORY * num_gpus * gpu_type.memory_gib


def _required_gpu_memory_gib(model: ModelEntry) -> float:
    return round(model.weights_gib * MEMORY_PER_WEIGHTS, 3)


def _accelerator(site: Site, engine_name: str) -> str:
    return next(engine.accelerator for engine in site.engines if engine.name == engine_name)


def _check_offered(catalogue: compiled.Catalogue, document: Document[Models]) -> None:
    offered = {name for offers in catalogue.offers.values() for offer in offers.values() for name in offer.models}
    for index, model in enumerate(catalogue.models):
        if model.name not in offered:
            expected = "a model that runs on at least one GPU type and number of GPUs of the site"
            document.fault(("models", index, "name"), model.name, expected)


def _check_defaults(site: Site, catalogue: compiled.Catalogue, document: Document[Site]) -> None:
    default = site.defaults
    try:
        catalogue.choose(
            model=default.model,
            gpu_type=default.gpu_type,
            num_gpus=str(default.num_gpus),
            hours=str(default.hours),
        )
    except ChoiceError as error:
        document.fault(("defaults",), default.model_dump(), f"a choice that the form allows. {error}")


def _absolute(path: str, written_in: Path) -> str:
    """Take a relative path from the folder of the file it is written in; leave $VARIABLES for the node."""
    if path.startswith(("/", "$")):
        return path
    return os.path.normpath(written_in.absolute().parent / path)


def _source_file(path: Path, app_dir: Path) -> compiled.SourceFile:
    absolute, root = path.resolve(), app_dir.resolve()
    name = absolute.relative_to(root) if absolute.is_relative_to(root) else absolute
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    return compiled.SourceFile(file=str(name), sha256=hashlib.sha256(content).hexdigest())
