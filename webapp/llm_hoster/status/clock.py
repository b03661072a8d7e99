"""A moment on a page: in the node's time zone, until the page's script turns it into the reader's."""

from __future__ import annotations

from datetime import datetime, timezone

from markupsafe import Markup


def clock(at: float) -> Markup:
    """`at` is in Unix seconds."""
    moment = datetime.fromtimestamp(at, timezone.utc)
    shown = moment.astimezone().strftime("%H:%M:%S %Z")
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), shown)


def hour(at: float) -> Markup:
    """Give hour and minute, and the day of the week where it is not today's. `at` is in Unix seconds."""
    moment = datetime.fromtimestamp(at, timezone.utc)
    local = moment.astimezone()
    shown = local.strftime("%H:%M" if local.date() == datetime.now().date() else "%a %H:%M")
    return Markup('<time datetime="{}" data-to="minute">{}</time>').format(moment.isoformat(timespec="seconds"), shown)
