"""discover on a real Slurm: the file that it writes passes the checks, and doctor finds nothing wrong in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from llm_hoster.catalogue.compiler import load_site
from llm_hoster.errors import LLMHosterError
from llm_hoster.site_check.doctor import examine
from llm_hoster.site_check.first_site import write_site
from llm_hoster.site_check.known_gpu import find_gpu, is_slice
from llm_hoster.site_check.site_file import SiteFile
from llm_hoster.site_check.slurm import Qos, ToolError, read_cluster
from tests.cluster.slurm_cluster import SlurmCluster
from tests.site_check.alpine_site import REPOSITORY, read
from tests.site_check.small_cluster import small


@pytest.mark.slurm
def test_the_file_passes_the_checks_and_agrees_with_the_cluster(tmp_path: Path, alpine_cluster: SlurmCluster) -> None:
    cluster = read(alpine_cluster)
    path = tmp_path / "site.yml"
    path.write_text(write_site(cluster))
    site = load_site(path)
    assert [each.text for each in examine(SiteFile(path), cluster) if each.kind in ("change", "note")] == []
    assert site.cluster == "alpine"
    assert site.defaults.gpu_type == "a100-40gb"
    ours = load_site(REPOSITORY / "config" / "site.yml")
    known = {each.gres: each for each in ours.gpu_types}
    assert {each.gres for each in site.gpu_types} == set(known)
    for each in site.gpu_types:
        right = known[each.gres]
        assert (each.partition, each.compute_capability, each.is_slice) == (
            right.partition,
            right.compute_capability,
            right.is_slice,
        )
        assert each.memory_gib <= right.memory_gib
        assert each.num_gpus == right.num_gpus
        assert all(each.qos[name] == limit for name, limit in right.qos.items())


@pytest.mark.slurm
def test_the_command_prints_the_file_and_nothing_else(tmp_path: Path, alpine_cluster: SlurmCluster) -> None:
    done = alpine_cluster.run([sys.executable, "-m", "llm_hoster", "discover", "--cluster", "my-cluster"])
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "site.yml").write_text(done.stdout)
    assert load_site(tmp_path / "site.yml").cluster == "my-cluster"
    assert done.stdout.count("check this") > 10


@pytest.mark.slurm
def test_a_cluster_without_accounting_gets_a_site_without_qos(tmp_path: Path, slurm_cluster: SlurmCluster) -> None:
    cluster = read(slurm_cluster)
    assert cluster.qos is None
    assert len(cluster.unread) == 1
    path = tmp_path / "site.yml"
    path.write_text(write_site(cluster))
    site = load_site(path)
    assert (site.qos, [each.name for each in site.gpu_types]) == ([], ["fake", "fake-gpu"])
    assert "check this: this type of GPU is not known here" in path.read_text()
    assert [each.text for each in examine(SiteFile(path), cluster) if each.kind == "change"] == []


def test_odd_clusters_give_a_file_that_passes_or_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "site.yml"
    for gpus in ({"A100": 3}, {"tesla": 8}, {"tesla": 16}, {"a100_1g.10gb": 7, "2g.35gb": 1, "": 2}):
        path.write_text(write_site(small(gpus, max_hours=0.5)))
        site = load_site(path)
        assert site.partitions[0].max_hours == 1
    text = path.read_text()
    assert "# Left out: partition p: its GPUs have no type in Slurm." in text
    assert yaml.safe_load(text)["gpu_types"][0]["num_gpus"] == [1]
    with pytest.raises(
        LLMHosterError, match=r"No partition of this cluster has GPUs with a type\. partition p: its GPUs"
    ):
        write_site(small({"": 4}))
    with pytest.raises(LLMHosterError, match="No partition of this cluster has GPUs"):
        write_site(small({}))


def test_limits_of_slurm_that_contradict_each_other_or_are_none_give_a_file_that_passes(tmp_path: Path) -> None:
    """Slurm takes a user's limit above that of all users, and a partition without a longest time; site.yml does not."""
    qos = Qos("q", None, None, per_user={"": 8}, total={"a100": 2}, usage_factor=1)
    cluster = small({"a100": 4}, max_hours=None, allowed_qos=frozenset({"q", "gone"}))
    cluster.qos = {"q": qos}
    path = tmp_path / "site.yml"
    path.write_text(write_site(cluster))
    site = load_site(path)
    assert site.gpu_types[0].qos["q"].model_dump() == {"per_user": 2, "total": 2}
    assert site.gpu_types[0].num_gpus == [1, 2]
    assert (site.partitions[0].max_hours, site.qos[0].max_hours) == (168, 168)


def test_a_machine_without_slurm_is_told_where_to_go() -> None:
    def run(argv: list[str]) -> str:
        raise ToolError(f"{argv[0]} is not installed on this machine: run this on a login node of the cluster.")

    with pytest.raises(LLMHosterError, match=r"The cluster could not be read\. sinfo is not installed"):
        write_site(read_cluster(run))


@pytest.mark.parametrize(
    ("name", "memory_gib", "capability"),
    [
        ("h100nvl", 93.0, 9.0),
        ("nvidia_h100_80gb_hbm3", 79.1, 9.0),
        ("nvidia_a100-pcie-40gb", 39.3, 8.0),
        ("nvidia_a100_80gb_pcie", 79.1, 8.0),
        ("tesla_v100-sxm2-16gb", 15.7, 7.0),
        ("v100-sxm2-32gb", 31.7, 7.0),
        ("l4", 21.9, 8.9),
        ("l40s", 44.3, 8.9),
        ("nvidia_h200_nvl", 139.7, 9.0),
        ("a100_3g.40gb", 39.2, 8.0),
        ("nvidia_h100_80gb_hbm3_1g.20gb", 17.8, 9.0),
    ],
)
def test_gpus_are_known_by_the_names_that_sites_give_them(name: str, memory_gib: float, capability: float) -> None:
    gpu = find_gpu(name)
    assert gpu is not None
    assert (gpu.memory_gib, gpu.compute_capability) == (memory_gib, capability)
    assert is_slice(name) == ("g." in name)
