"""A moment on a page: in the node's time zone, until the page's script turns it into the reader's."""

from __future__ import annotations

from datetime import datetime, timezone

from markupsafe import Markup


def clock(at: float) -> Markup:
    """`at` is in Unix seconds."""
    moment = datetime.fromtimestamp(at, timezone.utc)
    shown = moment.astimezone().strftime("%H:%M:%S %Z")
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), shown)
