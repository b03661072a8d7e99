"""The pytest fixture that gives every test of a run the same cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.alpine import ALPINE
from tests.cluster.slurm_cluster import SlurmCluster

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """Start a plain cluster; end-to-end tests make their own, with an awkward home folder."""
    with SlurmCluster(shared=[REPOSITORY]) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def alpine_cluster() -> Iterator[SlurmCluster]:
    """Start a cluster with Alpine's partitions, GPU types, QoS and accounts."""
    with SlurmCluster(shared=[REPOSITORY], hardware=ALPINE) as cluster:
        yield cluster
