"""What doctor proposes is what configure takes, also where Slurm allows a limit that site.yml has no word for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from llm_hoster.catalogue.compiler import load_site
from llm_hoster.site_check.doctor import examine
from llm_hoster.site_check.finding import Finding
from llm_hoster.site_check.first_site import write_site
from llm_hoster.site_check.site_file import SiteFile
from llm_hoster.site_check.slurm import Cluster, Qos
from tests.site_check.small_cluster import NODE, small

QOS = Qos("q", max_hours=24, max_jobs=5, per_user={"a100": 2}, total={"a100": 4}, usage_factor=1)


def cluster(partition: dict[str, object] | None = None, qos: dict[str, object] | None = None) -> Cluster:
    usual = {"max_hours": 24.0, "allowed_qos": frozenset({"q"})}
    made = small({"a100": 2}, **usual | (partition or {}))
    made.qos = {"q": replace(QOS, **(qos or {}))}  # type: ignore[arg-type]
    return made


def contradictions(path: Path, found: Cluster) -> list[Finding]:
    return [each for each in examine(SiteFile(path), found) if each.kind in ("change", "note")]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yml"
    path.write_text(write_site(cluster()))
    assert contradictions(path, cluster()) == []
    return path


@pytest.mark.parametrize(
    ("odd", "field", "expected"),
    [
        (cluster({"max_hours": 0.5}), "partitions[0].max_hours", "1, the MaxTime of p"),
        (cluster(qos={"max_hours": 0.5}), "qos[0].max_hours", "1, its MaxWall"),
        (cluster(qos={"max_hours": 1.9}), "qos[0].max_hours", "1, its MaxWall"),
        (cluster(qos={"per_user": {"": 8}}), "gpu_types[0].qos.q.per_user", "4, its GrpTRES for a100"),
        (cluster(qos={"per_user": {"": 3}}), "gpu_types[0].qos.q.per_user", "3, its MaxTRESPU for a100"),
    ],
)
def test_the_proposed_line_is_taken_and_settles_it(site: Path, odd: Cluster, field: str, expected: str) -> None:
    (found,) = contradictions(site, odd)
    assert (found.kind, found.field, found.expected) == ("change", field, expected)
    lines = site.read_text().splitlines()
    assert found.line is not None and found.proposal is not None
    before = lines[found.line - 1]
    lines[found.line - 1] = before[: len(before) - len(before.lstrip())] + found.proposal
    site.write_text("\n".join(lines) + "\n")
    load_site(site)
    assert [each for each in contradictions(site, odd) if each.kind == "change"] == []


@pytest.mark.parametrize(
    ("odd", "field", "expected"),
    [
        (cluster(qos={"max_jobs": 0}), "qos[0].max_jobs", "no such QoS: its MaxJobsPU or MaxSubmitPU is 0"),
        (cluster(qos={"total": {"a100": 0}}), "gpu_types[0].qos.q", "no q here: it gives nobody a100"),
        (cluster({"nodes": ()}), "partitions[0].name", "a partition with nodes: p has none"),
        (
            cluster({"nodes": (replace(NODE, gpus={"a100": 2}, memory_mib=1),)}),
            "partitions[0].memory_per_core_gb",
            "at most 0.0, the memory of the smallest node of p by its cores",
        ),
    ],
)
def test_where_site_yml_has_no_word_for_it_none_is_proposed(
    site: Path, odd: Cluster, field: str, expected: str
) -> None:
    found = contradictions(site, odd)[0]
    assert (found.kind, found.field, found.expected, found.proposal) == ("change", field, expected, None)


@pytest.mark.parametrize(
    ("odd", "field", "limit"),
    [
        (cluster({"max_hours": 0.5}), "partitions[0].max_hours", "the MaxTime of p"),
        (cluster(qos={"max_hours": 0.5}), "qos[0].max_hours", "its MaxWall"),
    ],
)
def test_a_limit_below_the_shortest_launch_is_a_note(site: Path, odd: Cluster, field: str, limit: str) -> None:
    site.write_text(write_site(odd))
    (found,) = contradictions(site, odd)
    expected = f"an hour at least, but {limit} is 30 minutes: no launch is that short, leave it out"
    assert (found.kind, found.field, found.found, found.expected) == ("note", field, "1", expected)
    assert found.proposal is None


def test_discover_gives_no_type_to_a_qos_that_gives_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "site.yml"
    found = cluster(qos={"per_user": {"a100": 0}})
    path.write_text(write_site(found))
    assert load_site(path).gpu_types[0].qos == {}
    assert contradictions(path, found) == []
