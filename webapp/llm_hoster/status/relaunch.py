"""The way back to the portal's form, with the choices of this session filled in."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlencode

from llm_hoster.engine.chain.predecessor import read_predecessor

# OnDemand stages below batch_connect/[CLUSTER/]TOKEN/output/ID; a token is sys/APP, dev/APP or usr/USER/APP, and a
# sub-app has one name more.
STAGED = re.compile(r"/batch_connect/(?:[^/]+/)??((?:sys|dev|usr/[^/]+)/[^/]+(?:/[^/]+)?)/output/[^/]+$")
DASHBOARD = "/pun/sys/dashboard"


def relaunch_path(staged_root: Path) -> str | None:
    """
    Give the form's path in the portal; None where the folder was not made by OnDemand.

    From OnDemand 4.0 on the form takes the choices of the session that `session_id` names, as long as its card is
    there; before, and later, those of the last launch. Launch itself must be pressed there: it asks for a token that
    only the portal's own pages have.
    """
    staged = STAGED.search(str(staged_root))
    if staged is None:
        return None
    # Of sessions in a row, the portal has a record of the first.
    predecessor = read_predecessor(staged_root)
    session_id = predecessor.folders()[-1].name if predecessor else staged_root.name
    query = urlencode({"session_id": session_id})
    return f"{DASHBOARD}/batch_connect/{quote(staged[1])}/session_contexts/new?{query}"
