"""The model's files, as a program needs them that reads the tokenizer itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.vllm.command import CACHE_FOLDERS
from llm_hoster.errors import LLMHosterError
from llm_hoster.session import expand_path
from llm_hoster.status.models_here import staged_session


@dataclass(frozen=True)
class BenchModel:
    """`source` is a folder or a Hugging Face id; the files of an id lie below `hf_home`, where it is known."""

    source: str
    hf_home: str | None = None


def bench_model(staged_root: Path, model: ServedModel) -> BenchModel:
    session = staged_session(staged_root)
    if session is None:
        return BenchModel(model.name)
    known = [each for each in (session.model, *session.catalogue.models) if each.name == model.name]
    source = known[0].source if known else model.name
    try:
        if source.startswith(("/", "$")):
            return BenchModel(str(expand_path(source)))
        return BenchModel(source, str(expand_path(session.catalogue.site.cache_dir) / CACHE_FOLDERS["HF_HOME"]))
    except LLMHosterError:
        return BenchModel(source)
