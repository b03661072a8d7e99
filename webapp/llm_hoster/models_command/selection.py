"""Which files of a model vLLM needs: its weights as safetensors, once, and the small files beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from llm_hoster.errors import ArchitectureError, HubError
from llm_hoster.hub import Hub, Request
from llm_hoster.hub_cache import INDEX_BYTES_MAX, MISTRAL_WEIGHTS, WEIGHTS, files_in_index
from llm_hoster.models_command.hub_files import why_refused
from llm_hoster.models_command.hub_listing import HubFile, Listing, ask_patiently

SAFETENSORS = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
# Formats that carry no programs. Python files are no exception: they lie there, and vLLM runs them only with
# trust_remote_code, which an entry of models.yml must allow.
SMALL_SUFFIXES = frozenset((".json", ".jinja", ".txt", ".model", ".tiktoken", ".md", ".py"))
SMALL_BYTES_MAX = 256 * 2**20
LICENCE_FILE = re.compile(r"(LICEN[CS]E|NOTICE|USE_POLICY)([.-].*)?", re.IGNORECASE)
# Parts of a model for embeddings (1_Pooling, 2_Dense), and templates besides the first.
NEEDED_FOLDERS = re.compile(r"\d{1,2}_[A-Za-z]{1,30}|additional_chat_templates")
# Adapters and drafts are other models; vLLM would take their files for weights of this one.
OTHER_WEIGHTS = re.compile(r"adapter_model|training_args|optimizer")
INDEX_TIMEOUT_S = 60.0


def select(listing: Listing, hub: Hub, *, is_mistral: bool = False) -> list[HubFile]:
    """Give the files to fetch, the small ones first; raise HubError where no weights are safe to load."""
    wanted = [each for each in listing.files if _is_wanted(PurePosixPath(each.name))]
    weights = [each for each in wanted if "/" not in each.name and each.name.endswith(SAFETENSORS)]
    chosen = _weights(listing, hub, weights, is_mistral)
    # An index of the other layout names files that are not fetched.
    dropped = {each.name for each in weights} | {each.name for each in wanted if each.name.endswith(INDEX_SUFFIX)}
    kept = {each.name for each in chosen} | {_index_of(chosen)}
    files = [each for each in wanted if each.name in kept or each.name not in dropped]
    return sorted(files, key=lambda each: (each.name.endswith(SAFETENSORS), each.size))


def _is_wanted(path: PurePosixPath) -> bool:
    if len(path.parts) > 2 or (len(path.parts) == 2 and not NEEDED_FOLDERS.fullmatch(path.parts[0])):
        return False
    if path.suffix == SAFETENSORS:
        return not OTHER_WEIGHTS.match(path.name)
    return path.suffix in SMALL_SUFFIXES or LICENCE_FILE.fullmatch(path.name) is not None


def _weights(listing: Listing, hub: Hub, weights: Sequence[HubFile], is_mistral: bool) -> list[HubFile]:
    """Publishers put the same weights there in two layouts: one of them is enough."""
    mistral = [each for each in weights if each.name.startswith("consolidated")]
    usual = [each for each in weights if each not in mistral]
    chosen = mistral if is_mistral or not usual else usual
    if not chosen:
        raise HubError(_no_weights(listing, is_mistral))
    index = _index_of(chosen)
    if any(each.name == index for each in listing.files):
        named = _indexed(listing, hub, index)
        missing = named - {each.name for each in chosen}
        if missing:
            raise HubError(f"{listing.model}: {index} names {sorted(missing)[0][:80]}, which the model does not have.")
        chosen = [each for each in chosen if each.name in named]
    return chosen


def _index_of(weights: Sequence[HubFile]) -> str:
    return f"{MISTRAL_WEIGHTS if weights[0].name.startswith('consolidated') else WEIGHTS}.index.json"


def _indexed(listing: Listing, hub: Hub, index: str) -> set[str]:
    request = Request(
        listing.model, index, INDEX_BYTES_MAX, INDEX_TIMEOUT_S, listing.commit, with_login=listing.needs_login
    )
    try:
        answer = ask_patiently(hub, request)
        named = files_in_index(answer.content) if answer.status == 200 else None
    except ArchitectureError as error:
        raise HubError(str(error)) from error
    if answer.status != 200:
        raise HubError(f"{listing.model} cannot be had from {hub.address}: {why_refused(answer, listing.model, hub)}")
    if named is None:
        raise HubError(f"{listing.model}: {index} does not list files with weights, as expected.")
    return named


def _no_weights(listing: Listing, is_mistral: bool) -> str:
    if is_mistral:
        return f"{listing.model}: has no {MISTRAL_WEIGHTS}, which `--load-format mistral` of models.yml asks for."
    others = sorted({PurePosixPath(each.name).suffix for each in listing.files} & _OTHER_FORMATS)
    found = f"only {', '.join(others)}" if others else "no weights at all"
    return (
        f"{listing.model}: expected its weights as {SAFETENSORS}, found {found}. Other formats may carry programs, or "
        "are not for vLLM: look for a version of the model in safetensors."
    )


_OTHER_FORMATS = frozenset(
    (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".gguf", ".onnx", ".h5", ".msgpack", ".npz")
)


def total(files: Iterable[HubFile]) -> int:
    return sum(each.size for each in {each.digest: each for each in files}.values())
