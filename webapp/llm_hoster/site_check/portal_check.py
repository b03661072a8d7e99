"""What the portal has to agree with: ood_portal.yml and the cluster's file in clusters.d."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from llm_hoster.site_check.finding import Finding
from llm_hoster.site_check.site_file import SiteFile

# What OnDemand takes where the file does not say it.
ANY_HOST = "[^/]+"
FIRST_PORT, LAST_PORT = 2000, 65535
HOSTS_SHOWN = 3


def check_portal(file: SiteFile, path: Path, hosts: list[str]) -> Iterator[Finding]:
    """Hold the proxy path and the hosts that the portal forwards to against site.yml and the nodes."""
    portal = _load(path)
    if isinstance(portal, Finding):
        yield portal
        return
    proxy = file.site.proxy
    other = "node" if proxy == "rnode" else "rnode"
    if portal.get(f"{proxy}_uri") is None and portal.get(f"{other}_uri") == f"/{other}":
        yield file.finding(("proxy",), f"{other}, the only one that {path} sets", new=other)
    elif portal.get(f"{proxy}_uri") != f"/{proxy}":
        yield _in_portal(path, f"{proxy}_uri", portal.get(f"{proxy}_uri"), f'"/{proxy}", as proxy of site.yml says')
    pattern = str(portal.get("host_regex") or ANY_HOST)
    try:
        refused = [host for host in hosts if not re.fullmatch(pattern, host)]
    except re.error as error:
        yield _in_portal(path, "host_regex", pattern, f"a regular expression ({error})")
        return
    if refused:
        shown = ", ".join(refused[:HOSTS_SHOWN]) + (f" and {len(refused) - HOSTS_SHOWN} more" * (len(refused) > 3))
        yield _in_portal(path, "host_regex", pattern, f"one that matches all nodes; it does not match {shown}")


def check_cluster_file(file: SiteFile, path: Path) -> Iterator[Finding]:
    """Hold the id, the adapter and the ports of the cluster's file against site.yml."""
    loaded = _load(path)
    if isinstance(loaded, Finding):
        yield loaded
        return
    if path.stem != file.site.cluster:
        yield file.finding(("cluster",), f'"{path.stem}", as {path} is called', new=path.stem)
    cluster = _group(loaded, "v2")
    adapter = _group(cluster, "job").get("adapter")
    if adapter != "slurm":
        yield _in_portal(path, "v2.job.adapter", adapter, '"slurm": the app submits to nothing else')
    yield from _check_ports(file, path, _group(_group(cluster, "batch_connect"), "basic"))


def _check_ports(file: SiteFile, path: Path, basic: dict[str, Any]) -> Iterator[Finding]:
    if "min_port" not in basic and "max_port" not in basic:
        return
    first, last = basic.get("min_port", FIRST_PORT), basic.get("max_port", LAST_PORT)
    if not isinstance(first, int) or not isinstance(last, int):
        yield _in_portal(path, "v2.batch_connect.basic.min_port", f"{first}, {last}", "two whole numbers")
        return
    ports = file.site.ports
    if ports is None or ports.first < first or ports.last > last:
        expected = f"ports from {first} to {last}, as {path} says for all apps"
        finding = file.finding(("ports",), expected)
        line = f"ports: {{first: {first}, last: {last}}}"
        yield Finding(finding.kind, expected, finding.file, finding.line, finding.field, finding.found, line)


def _load(path: Path) -> dict[str, Any] | Finding:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        return Finding("unread", f"{path} could not be read: {reason}")
    return loaded if isinstance(loaded, dict) else Finding("unread", f"{path} holds no group of fields.")


def _group(values: dict[str, Any], name: str) -> dict[str, Any]:
    group = values.get(name)
    return group if isinstance(group, dict) else {}


def _in_portal(path: Path, field: str, found: object, expected: str) -> Finding:
    line = _line_of(path, field.split(".")[-1])
    return Finding("change", expected, str(path), line, field, "nothing" if found is None else f'"{found}"')


def _line_of(path: Path, key: str) -> int | None:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.strip().startswith(f"{key}:")), None)
