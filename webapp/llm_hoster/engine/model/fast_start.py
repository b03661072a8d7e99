"""What makes the start of one session's engine fast: docs/decisions/fast-starts.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.catalogue.compiled import SiteValues
from llm_hoster.engine.model.compile_cache import CompileCache, CompileCacheSeed
from llm_hoster.engine.model.loader import choose_loader
from llm_hoster.engine.model.model_link import ModelLink, link_name
from llm_hoster.engine.model.page_cache import reader_command
from llm_hoster.engine.model.prelude import Prelude
from llm_hoster.engine.model.read_ahead import ReadAhead
from llm_hoster.engine.model.staging import Staging, folder_in, remove_staged
from llm_hoster.engine.model.weight_files import ALL, Part, local_folder
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.job_log import say
from llm_hoster.errors import SessionError
from llm_hoster.session import Session, expand_path


@dataclass(frozen=True)
class FastStart:
    """
    `model` is where the weights are read from, a folder or a hub id; `environment` is vLLM's.

    `load_format` is vLLM's option of this name, and `part` that of this node where the layers lie on several.
    `is_downloaded_first`: the model, a hub id, will be in the cache before vLLM starts, and is not there now.
    """

    session: Session
    model: str
    environment: Mapping[str, str]
    folders: Folders
    cache: CompileCache
    load_format: str
    is_linked: bool
    stage_dir: Path | None
    part: Part
    is_downloaded_first: bool

    @classmethod
    def of(
        cls,
        session: Session,
        model: str,
        environment: Mapping[str, str],
        folders: Folders,
        *,
        is_downloaded_first: bool = False,
        part: Part = ALL,
    ) -> FastStart:
        site = session.catalogue.site
        cache = CompileCache.of(
            session.engine.name,
            session.gpu_type.name,
            session.model.name,
            cache_dir=folders.cache_dir,
            prefix=expand_path(site.prefix),
            runtime_dir=folders.runtime_dir,
        )
        load_format = choose_loader(site.loader, session.engine, [*session.engine.args, *session.model.args])
        is_local = is_downloaded_first or local_folder(model, environment) is not None
        # On several nodes vLLM's processes start in folders of their own, where a link would lead nowhere.
        is_linked = is_local and session.offer.nodes == 1
        stage_dir = _stage_dir(site.stage_dir) if is_linked else None
        return cls(
            session, model, environment, folders, cache, load_format, is_linked, stage_dir, part, is_downloaded_first
        )

    @property
    def source(self) -> str:
        """What vLLM is told to serve."""
        return link_name(self.session.model.name) if self.is_linked else self.model

    @property
    def variables(self) -> dict[str, str]:
        """Come after vLLM's other variables."""
        return self.cache.variables(self.session.engine.env)

    @property
    def bound(self) -> list[Path]:
        """Further folders that a container must see; made here, because only what is there can be bound."""
        if self.stage_dir is None:
            return []
        folder = folder_in(self.stage_dir)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [folder]

    def preludes(self, downloads: Sequence[Prelude] = ()) -> list[Prelude]:
        """Give new ones for each run, around those that fetch the model."""
        return [CompileCacheSeed(self.cache), *downloads, *self._after_download()]

    @property
    def reader_elsewhere(self) -> list[str]:
        """
        Give the program that reads the weights ahead on the second node of two; empty where there is nothing to gain.

        Only two: of more, vLLM sorts all but the first by the ids that Ray draws by lot (`get_bundles_sorted_by_node`
        in vllm/v1/executor/ray_utils.py), so that nobody knows in time which layers a node will have, and reading
        those of others would hold up the reading of one's own.
        """
        # A model that is to be downloaded is not there yet when the other node begins.
        if self.session.offer.nodes != 2 or self.stage_dir is not None or self.is_downloaded_first:
            return []
        return self._reader(Part(1, 2)) or []

    def _after_download(self) -> list[Prelude]:
        what = (self.model, self.environment)
        name, tmp_dir = self.session.model.name, self.folders.tmp_dir
        if self.stage_dir is not None:
            return [Staging(*what, self.stage_dir, name, tmp_dir, load_format=self.load_format)]
        return [ModelLink(*what, name, tmp_dir), self._read_ahead()] if self.is_linked else [self._read_ahead()]

    def _read_ahead(self) -> ReadAhead:
        return ReadAhead(lambda: self._reader(self.part), self.folders.runtime_dir)

    def _reader(self, part: Part) -> list[str] | None:
        return reader_command(
            self.model,
            self.environment,
            num_gpus=self.session.num_gpus // self.session.offer.nodes,
            on_gpu=self.session.engine.accelerator != "cpu",
            load_format=self.load_format,
            part=part,
        )


def clean_up(site: SiteValues) -> None:
    """Remove what nobody uses any more; for the end of a session, when its processes have ended."""
    stage_dir = _stage_dir(site.stage_dir)
    if stage_dir is not None:
        remove_staged(stage_dir)


def _stage_dir(text: str | None) -> Path | None:
    """A node without the variable, or the disk, serves all the same."""
    try:
        return None if text is None else expand_path(text)
    except SessionError as error:
        say("engine", f"the model is read from where it lies: {error}")
        return None
