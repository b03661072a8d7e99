"""config/site.yml for the test cluster, which has Alpine's kinds of nodes but few of each."""

from __future__ import annotations

import re
from pathlib import Path

from llm_hoster.site_check.slurm import Cluster, ToolError, read_cluster
from tests.cluster.alpine import ALPINE
from tests.cluster.slurm_cluster import SlurmCluster

REPOSITORY = Path(__file__).resolve().parents[2]


def site_text() -> str:
    text = (REPOSITORY / "config" / "site.yml").read_text()
    for partition in ALPINE.partitions:
        pattern = rf'(name: "{partition.name}", nodes: )\d+'
        text, count = re.subn(pattern, rf"\g<1>{len(partition.nodes)}", text)
        assert count == 1, partition.name
    return text


def read(cluster: SlurmCluster, user: str = "alice") -> Cluster:
    """Read the cluster as this user would there."""

    def run(argv: list[str]) -> str:
        done = cluster.run(argv, user=None if user == "root" else user)
        if done.returncode != 0:
            raise ToolError(done.stderr)
        return done.stdout

    return read_cluster(run, user)
