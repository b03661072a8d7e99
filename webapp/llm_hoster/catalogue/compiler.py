"""Compile site.yml and models.yml into the catalogue: which models run where, in which place, at what price."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from llm_hoster.catalogue import compiled
from llm_hoster.catalogue.choice import FormValues, choose
from llm_hoster.catalogue.document import Document, raise_faults
from llm_hoster.catalogue.model_list import list_models, open_models
from llm_hoster.catalogue.offers import compile_offers, places_by_price
from llm_hoster.catalogue.preset import PRESETS
from llm_hoster.catalogue.sentences import CHOICE_SENTENCES
from llm_hoster.catalogue.site import IDLE_MINUTES_MAX, Site, check_site
from llm_hoster.catalogue.verdicts import (
    CONTEXT_LENGTHS,
    FIT_SENTENCES,
    FORM_QUANTIZATIONS,
    Subject,
    judge_all,
    read_subjects,
)
from llm_hoster.errors import ChoiceError, ConfigError


def load_site(path: Path) -> Site:
    """Read and check site.yml alone; raise ConfigError with every fault."""
    document = Document(path, Site)
    check_site(document)
    return document.require()


def compile_catalogue(site_path: Path, models_path: Path | None, app_dir: Path) -> tuple[Site, compiled.Catalogue]:
    """Read both files and compile them; raise ConfigError with every fault of both.

    Without `models_path` site.yml says where its models are. `made_from` names the files relative to `app_dir`. Models
    that fit nowhere on the site are left out: several sites may share one models.yml.
    """
    site_document = Document(site_path, Site)
    check_site(site_document)
    site = site_document.value
    model_documents = open_models(site, site_path, models_path)
    raise_faults([site_document, *model_documents])
    site = site_document.require()
    models = list_models(model_documents)
    subjects = read_subjects(site, models)
    raise_faults(model_documents)
    offers = compile_offers(site)
    fits = judge_all(site, subjects)
    catalogue = compiled.Catalogue(
        format=2,
        # Not the list of found models: it lies in the prefix, which the portal need not see.
        made_from=[_source_file(path, app_dir) for path in (site_path, model_documents[0].path)],
        site=_site_values(site, site_path),
        engines=[_engine(site, index, site_path) for index in range(len(site.engines))],
        models=[_model(subject) for name, subject in subjects.items() if name in fits],
        left_out=[name for name in subjects if name not in fits],
        gpu_types=[
            compiled.GpuType(
                name=gpu_type.name,
                title=gpu_type.title,
                memory_gib=gpu_type.memory_gib,
                compute_capability=gpu_type.compute_capability,
                is_slice=gpu_type.is_slice,
                engine=gpu_type.engine,
                note=gpu_type.note,
            )
            for gpu_type in site.gpu_types
        ],
        offers=offers,
        places=places_by_price(offers),
        quantizations=[compiled.Option(name=name, title=title) for name, title in FORM_QUANTIZATIONS.items()],
        presets=[compiled.Option(name=name, title=preset.title) for name, preset in PRESETS.items()],
        context_lengths=list(CONTEXT_LENGTHS),
        idle_minutes_max=IDLE_MINUTES_MAX,
        sentences=CHOICE_SENTENCES | FIT_SENTENCES,
        fits=fits,
    )
    _check_defaults(site, catalogue, site_document)
    raise_faults([site_document])
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
        login_host=site.login_host,
        hf_offline=site.hf_offline,
        shared_models=_absolute(site.shared_models, site_path) if site.shared_models else None,
        core_weight=site.core_weight,
        app=site.app,
        portal_command=site.portal_command,
        balance_command=site.balance_command,
        allocations=[
            compiled.Allocation(accounts=each.accounts, su=each.su, period=each.period) for each in site.allocations
        ],
        network=compiled.Network(**site.network.model_dump()) if site.network else None,
        stage_dir=site.stage_dir,
        loader=site.loader,
        media_hosts=site.media_hosts,
        audit_prompts=site.audit_prompts,
        chat_titles=site.chat_titles,
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
        sleep_mode=engine.sleep_mode,
    )


def _model(subject: Subject) -> compiled.Model:
    model = subject.model
    return compiled.Model(
        name=model.name,
        title=model.title,
        source=model.source,
        licence=model.licence,
        group=model.group,
        good_for=model.good_for,
        weights_gib=subject.weights_gib,
        max_model_len=model.max_model_len,
        engine=model.engine,
        args=model.args,
        task=model.task,
        trust_remote_code=model.trust_remote_code,
    )


def _check_defaults(site: Site, catalogue: compiled.Catalogue, document: Document[Site]) -> None:
    default = site.defaults
    try:
        choose(
            catalogue,
            FormValues(
                model=default.model,
                gpu_type=default.gpu_type,
                num_gpus=str(default.num_gpus),
                bc_num_hours=str(default.hours),
            ),
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
