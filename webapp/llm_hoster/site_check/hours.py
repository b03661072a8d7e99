"""The longest times of partitions and QoS: Slurm counts minutes, site.yml whole hours, of which a launch takes one."""

from __future__ import annotations

from collections.abc import Iterator

from llm_hoster.catalogue.document import Location
from llm_hoster.site_check.finding import Finding, Kind
from llm_hoster.site_check.site_file import SiteFile


def whole_hours(hours: float) -> int:
    """Give what site.yml says of a limit, in which less than an hour cannot be written."""
    return max(1, int(hours))


def check_hours(file: SiteFile, here: Location, found: int, real: float | None, limit: str) -> Iterator[Finding]:
    """`limit` is what Slurm calls it; `real` is None where it has none."""
    if real is None:
        return
    right = whole_hours(real)
    if found != right:
        kind: Kind = "change" if found > right else "note"
        yield file.finding(here, f"{right}, {limit}", new=right, kind=kind)
    elif real < right:
        expected = f"an hour at least, but {limit} is {real * 60:g} minutes: no launch is that short, leave it out"
        yield file.finding(here, expected, kind="note")
