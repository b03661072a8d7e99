"""The endpoint of a session, as its file tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROBE_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Endpoint:
    """The content of endpoint.json at `path`. Where only address and key were given, `model` is empty and no path."""

    base_url: str
    api_key: str = field(repr=False)
    model: str = ""
    path: Path | None = field(default=None, compare=False)

    @property
    def root_url(self) -> str:
        return self.base_url.removesuffix("/v1")

    @property
    def host(self) -> str:
        """Host and port, for sentences."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def is_of_the_cluster(self) -> bool:
        """Nodes speak plain HTTP, and their addresses are not for a proxy, whatever the environment names."""
        return urlsplit(self.base_url).scheme == "http"

    def answers(self) -> bool:
        """Say whether a session is there, without showing the key to whoever it is."""
        url = urlsplit(self.root_url)
        connection = HTTPConnection(url.hostname or "", url.port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 204
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def read_endpoint(path: Path) -> Endpoint | None:
    """Give None where there is no such file, or it is none of ours."""
    return endpoint_of(read_object(path), path)


def endpoint_of(values: Mapping[str, Any], path: Path | None = None) -> Endpoint | None:
    base_url, api_key, model = (values.get(name) for name in ("base_url", "api_key", "model"))
    if not (isinstance(base_url, str) and isinstance(api_key, str) and isinstance(model, str)):
        return None
    return Endpoint(base_url, api_key, model, path) if is_address(base_url) else None


def is_address(base_url: str) -> bool:
    try:
        url = urlsplit(base_url)
        return url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        return False


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is none."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
