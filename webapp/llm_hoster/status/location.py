"""Where a program runs that calls the endpoint: on the cluster, or on a computer of one's own behind a tunnel."""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.settings import WebSettings

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Location:
    """`name` is what the address of the panel says."""

    name: str
    title: str

    def host(self, settings: WebSettings) -> str:
        return settings.host if self is CLUSTER else HERE

    def base_url(self, settings: WebSettings) -> str:
        """Behind the tunnel the port is the same."""
        return settings.base_url if self is CLUSTER else f"http://{HERE}:{settings.port}/v1"


CLUSTER = Location("cluster", "On the cluster")
COMPUTER = Location("computer", "On my computer")
LOCATIONS = {each.name: each for each in (CLUSTER, COMPUTER)}
