"""`llm-hoster doctor`: say what of site.yml the cluster, the portal or the installed software contradicts."""

from __future__ import annotations

import dataclasses
import getpass
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from llm_hoster.catalogue.app_dir import find_app_dir
from llm_hoster.site_check.finding import Finding
from llm_hoster.site_check.folder_check import check_folders
from llm_hoster.site_check.hardware_check import check_gpu_types, check_partitions
from llm_hoster.site_check.portal_check import check_cluster_file, check_portal
from llm_hoster.site_check.qos_check import check_gpu_limits, check_qos
from llm_hoster.site_check.site_file import SiteFile
from llm_hoster.site_check.slurm import Cluster, Partition, read_cluster

OOD_FOLDER = Path("/etc/ood/config")
HEADINGS = {"change": "To change", "note": "Worth a look", "unread": "Not checked"}


@click.command()
@click.option("--site", "site_path", type=click.Path(path_type=Path), help="site.yml; default: that of this app.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of findings as JSON.")
@click.option(
    "--ood-portal", type=click.Path(path_type=Path), help=f"default: {OOD_FOLDER}/ood_portal.yml, where it is there."
)
@click.option(
    "--cluster-config",
    type=click.Path(path_type=Path),
    help=f"OnDemand's file of the cluster; default: {OOD_FOLDER}/clusters.d/CLUSTER.yml, where it is there.",
)
def doctor(site_path: Path | None, as_json: bool, ood_portal: Path | None, cluster_config: Path | None) -> None:
    """Compare site.yml with the cluster, the portal and the installed software. Reads only, changes nothing.

    Ends with 1 when something must change.
    """
    file = SiteFile(site_path or find_app_dir() / "config" / "site.yml")
    findings = list(examine(file, read_cluster(user=getpass.getuser()), ood_portal, cluster_config))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
    else:
        click.echo(_report(file, findings))
    if any(finding.kind == "change" for finding in findings):
        sys.exit(1)


def examine(
    file: SiteFile, cluster: Cluster, ood_portal: Path | None = None, cluster_config: Path | None = None
) -> Iterator[Finding]:
    """Give everything that is found, in the order of the report."""
    partitions, qos = cluster.partitions, cluster.qos
    if partitions is not None:
        yield from check_partitions(file, partitions)
        yield from check_gpu_types(file, partitions)
    # A cluster without accounting has no QoS but answers; then there is nothing to compare.
    if qos:
        yield from check_qos(file, qos, cluster.own_qos)
        yield from check_gpu_limits(file, qos, partitions or {})
    yield from _check_portal_side(file, _hosts(file, partitions or {}), ood_portal, cluster_config)
    yield from check_folders(file)
    yield from (Finding("unread", reason) for reason in cluster.unread)


def _hosts(file: SiteFile, partitions: dict[str, Partition]) -> list[str]:
    """Name the hosts of all nodes that a launch may land on."""
    names = {gpu_type.partition for gpu_type in file.site.gpu_types}
    return sorted({node.host for name in names if name in partitions for node in partitions[name].nodes})


def _check_portal_side(
    file: SiteFile, hosts: list[str], ood_portal: Path | None, cluster_config: Path | None
) -> Iterator[Finding]:
    default_portal = OOD_FOLDER / "ood_portal.yml"
    default_cluster = OOD_FOLDER / "clusters.d" / f"{file.site.cluster}.yml"
    if ood_portal is not None or default_portal.exists():
        yield from check_portal(file, ood_portal or default_portal, hosts)
    else:
        yield Finding("unread", f"{default_portal} is not on this machine: name a copy with --ood-portal.")
    if cluster_config is not None or default_cluster.exists():
        yield from check_cluster_file(file, cluster_config or default_cluster)
    else:
        yield Finding("unread", f"{default_cluster} is not on this machine: name a copy with --cluster-config.")


def _report(file: SiteFile, findings: list[Finding]) -> str:
    parts = []
    for kind, heading in HEADINGS.items():
        texts = [f"  {finding.text}" for finding in findings if finding.kind == kind]
        if texts:
            parts.append("\n".join([f"{heading}:", *texts]))
    if not any(finding.kind == "change" for finding in findings):
        parts.append(f"{file.path}: nothing has to change.")
    return "\n".join(parts)
