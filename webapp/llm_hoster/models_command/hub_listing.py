"""What the hub says of a model before anything is fetched: its version, its licence, its files with size and hash."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_hoster.errors import ArchitectureError, HubError
from llm_hoster.fit.json_file import parse_json
from llm_hoster.hub import Answer, DescriptionRequest, Hub, Request
from llm_hoster.models_command.digest import Digest
from llm_hoster.models_command.hub_files import COMMIT, REFUSED, why_refused
from llm_hoster.models_command.readme_head import licence_words

DESCRIPTION_BYTES_MAX = 64 * 2**20
DESCRIPTION_TIMEOUT_S = 30.0
TRY_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
WAITS_S = (1.0, 3.0, 9.0)
FILES_MAX = 20_000
SIZE_MAX = 2**50
# What vLLM needs is named so; pictures and the like with other names are left where they are.
PLAIN_NAME = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._+ -]{0,127}/){0,8}[A-Za-z0-9_.][A-Za-z0-9._+ -]{0,199}")


@dataclass(frozen=True)
class HubFile:
    name: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Listing:
    """`needs_login`: the files are given to people who are logged in only."""

    model: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str
    needs_login: bool


def list_files(model: str, hub: Hub) -> Listing:
    """Ask the hub; raise HubError with what to do."""
    if hub.is_offline:
        raise HubError(
            f"{model} is not in the cache {hub.cache}, and HF_HUB_OFFLINE or hf_offline of site.yml forbids to "
            "download it here. Choose another model, or fetch it where there is a way to the hub: "
            f"llm-hoster models pull {model}"
        )
    request = DescriptionRequest(
        model, "its description", DESCRIPTION_BYTES_MAX, DESCRIPTION_TIMEOUT_S, with_login=False
    )
    try:
        answer = ask_patiently(hub, request)
        needs_login = answer.status in REFUSED
        if needs_login and hub.token:
            answer = ask_patiently(hub, replace(request, with_login=True))
        if answer.status != 200:
            raise HubError(f"{model} cannot be had from {hub.address}: {why_refused(answer, model, hub)}")
        document = parse_json(f"{hub.address}: description of {model}", answer.content)
    except ArchitectureError as error:
        raise HubError(str(error)) from error
    return _listing(model, document, needs_login)


def ask_patiently(hub: Hub, request: Request) -> Answer:
    """Ask again while the hub is busy; raise ArchitectureError when it does not answer at all."""
    for wait_s in WAITS_S:
        answer = hub.ask(request)
        if answer.status not in TRY_AGAIN:
            return answer
        time.sleep(wait_s)
    return hub.ask(request)


def _listing(model: str, document: Mapping[str, Any], needs_login: bool) -> Listing:
    commit, siblings = document.get("sha"), document.get("siblings")
    if not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
        raise HubError(f"{model}: the hub names no version of it (sha), so nothing can be fetched.")
    if not isinstance(siblings, list) or len(siblings) > FILES_MAX:
        raise HubError(f"{model}: the hub does not list its files, or more than {FILES_MAX} of them.")
    entries = [each if isinstance(each, dict) else {} for each in siblings]
    files = tuple(_file(model, each) for each in entries if PLAIN_NAME.fullmatch(_name(model, each)))
    is_gated = bool(document.get("gated"))
    card = document.get("cardData")
    return Listing(model, commit, files, _licence(card, is_gated), needs_login or is_gated)


def _name(model: str, entry: Mapping[str, Any]) -> str:
    """Each becomes the name of a link below the cache."""
    name = entry.get("rfilename")
    if not isinstance(name, str) or not name.isprintable() or {"", ".", ".."} & set(name.split("/")):
        raise HubError(
            f"{model}: has a file of the name {str(name)[:80]!r}, which could be written outside of the model's "
            "folder or confuse people. Nothing of it is fetched."
        )
    return name


def _file(model: str, entry: Mapping[str, Any]) -> HubFile:
    name = _name(model, entry)
    lfs = entry.get("lfs")
    lfs = lfs if isinstance(lfs, dict) else {}
    size = lfs.get("size", entry.get("size"))
    digest = Digest.parse(lfs.get("sha256") or lfs.get("oid") or entry.get("blobId"))
    if digest is None or type(size) is not int or not 0 <= size < SIZE_MAX:
        raise HubError(f"{model}: the hub tells no size and hash of {name}, so it could not be checked.")
    return HubFile(name, size, digest)


def _licence(card: object, is_gated: bool) -> str:
    fields = card if isinstance(card, dict) else {}
    licence = fields.get("license")
    if licence in (None, "", "other"):
        licence = fields.get("license_name") or licence
    if isinstance(licence, list):
        licence = licence[0] if licence else ""
    return licence_words(str(licence or ""), is_gated=is_gated)
