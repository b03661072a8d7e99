"""How vLLM reads the weights: its own loader, or one that a site has installed beside it and names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_hoster.catalogue.arguments import value_of
from llm_hoster.catalogue.compiled import Engine, Loader
from llm_hoster.engine.record.job_log import say
from llm_hoster.session import expand_path

LOAD_FORMAT = "--load-format"
# Other formats carry programs.
OWN = "safetensors"
PACKAGES: dict[Loader, str] = {
    "runai_streamer": "runai_model_streamer",
    "fastsafetensors": "fastsafetensors",
    "instanttensor": "instanttensor",
}


def choose_loader(wanted: Loader | None, engine: Engine, arguments: Sequence[str] = ()) -> str:
    """
    Give vLLM's load format. `wanted` is `loader` of site.yml; `arguments` are the site's and the model's.

    It is taken unseen where nobody can look into the engine (a module, an image).
    """
    named = value_of(LOAD_FORMAT, arguments)
    if named:
        return named
    # On other accelerators they refuse, or nobody has tried them.
    if wanted is None or engine.accelerator != "cuda":
        return OWN
    if engine.kind == "venv" and not is_installed(wanted, engine):
        say(
            "engine", f"site.yml names the loader {wanted}, which is not installed in {engine.target}: vLLM's own it is"
        )
        return OWN
    return wanted


def is_installed(loader: Loader, engine: Engine) -> bool:
    """Look for the package's folder: asking the engine's Python would take longer than is gained."""
    found = Path(expand_path(engine.target)).glob(f"lib/python3*/site-packages/{PACKAGES[loader]}/__init__.py")
    return next(found, None) is not None
