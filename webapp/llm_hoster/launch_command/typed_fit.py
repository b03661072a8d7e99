"""Whether a model that the person typed fits, as far as this machine can tell; the node looks again in any case."""

from __future__ import annotations

import os

from llm_hoster.engine.model.typed_model import find_configuration, require_fit
from llm_hoster.errors import ArchitectureError
from llm_hoster.hub import Hub
from llm_hoster.hub_cache import caches_of
from llm_hoster.session import Session

NODE_CHECKS = "The node checks whether it fits, in seconds, before vLLM starts."


def typed_fit(session: Session) -> str:
    """Give a sentence; raise ChoiceError where it plainly does not fit."""
    source = session.model.source
    if source.startswith("/") and not os.path.isdir(source):
        return f"That folder is not seen from here. {NODE_CHECKS}"
    caches = caches_of(session.catalogue.site.cache_dir, os.environ)
    try:
        longest = require_fit(session, find_configuration(source, Hub.from_environment(os.environ), caches))
    except ArchitectureError as error:
        return f"{error} {NODE_CHECKS}"
    return NODE_CHECKS if longest is None else f"It fits, with room for {longest} tokens of context."
