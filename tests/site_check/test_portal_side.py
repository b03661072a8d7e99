"""What doctor says of the portal's files and of the installed software."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_hoster.site_check.finding import Finding
from llm_hoster.site_check.folder_check import check_folders
from llm_hoster.site_check.portal_check import check_cluster_file, check_portal
from llm_hoster.site_check.site_file import SiteFile
from tests.site_check.alpine_site import site_text

HOSTS = ["c3gpu-a1", "c3gpu-a2"]
PORTAL = "node_uri: /node\nrnode_uri: /rnode\nhost_regex: 'c3gpu-[a-z0-9]+'\n"
CLUSTER = """\
v2:
  job:
    adapter: "slurm"
  batch_connect:
    basic:
      min_port: 40000
      max_port: 60000
"""


def site_file(folder: Path, **changes: str) -> SiteFile:
    """Write config/site.yml with the text of some fields replaced."""
    lines = site_text().splitlines()
    for field, value in changes.items():
        (number,) = [number for number, line in enumerate(lines) if line.startswith(f"{field}: ")]
        lines[number] = f"{field}: {value}"
    path = folder / "site.yml"
    path.write_text("\n".join(lines) + "\n")
    return SiteFile(path)


def portal_findings(folder: Path, text: str, hosts: list[str] = HOSTS, **changes: str) -> list[Finding]:
    path = folder / "ood_portal.yml"
    path.write_text(text)
    return list(check_portal(site_file(folder, **changes), path, hosts))


def cluster_findings(folder: Path, text: str, name: str = "alpine", **changes: str) -> list[Finding]:
    path = folder / f"{name}.yml"
    path.write_text(text)
    return list(check_cluster_file(site_file(folder, **changes), path))


def test_a_portal_that_fits_has_no_findings(tmp_path: Path) -> None:
    assert portal_findings(tmp_path, PORTAL) == []
    assert portal_findings(tmp_path, "rnode_uri: /rnode\n") == []
    assert portal_findings(tmp_path, PORTAL, proxy='"node"') == []


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("rnode_uri: /rnode/\n", "rnode_uri", '"/rnode", as proxy of site.yml says'),
        ("rnode_uri: null\n", "rnode_uri", '"/rnode", as proxy of site.yml says'),
        ("", "", "holds no group of fields"),
        ("host_regex: 'c3gpu-b.*'\nrnode_uri: /rnode\n", "host_regex", "it does not match c3gpu-a1, c3gpu-a2"),
        ("host_regex: '['\nrnode_uri: /rnode\n", "host_regex", "a regular expression (unterminated"),
        ("host_regex: 'c3gpu'\nrnode_uri: /rnode\n", "host_regex", "it does not match c3gpu-a1"),
        ("rnode_uri: [\n", "", "could not be read: while parsing"),
        ("- 1\n", "", "holds no group of fields"),
    ],
)
def test_what_the_portal_lacks_is_named(tmp_path: Path, text: str, field: str, expected: str) -> None:
    (found,) = portal_findings(tmp_path, text)
    assert (found.field or "", found.kind) == (field, "change" if field else "unread")
    assert expected in found.text
    if field:
        assert found.line == next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(field))


def test_the_proxy_path_that_the_portal_has_is_proposed(tmp_path: Path) -> None:
    (found,) = portal_findings(tmp_path, "node_uri: /node\n")
    assert found.field == "proxy"
    assert found.found == '"rnode"'
    assert found.proposal is not None
    assert found.proposal.startswith('proxy: "node"  ')


def test_many_hosts_are_not_all_named(tmp_path: Path) -> None:
    (found,) = portal_findings(tmp_path, "rnode_uri: /rnode\nhost_regex: x\n", [f"n{number}" for number in range(40)])
    assert found.text.endswith("it does not match n0, n1, n2 and 37 more")


def test_a_cluster_file_that_fits_has_no_findings(tmp_path: Path) -> None:
    assert cluster_findings(tmp_path, CLUSTER, ports="{first: 40000, last: 60000}") == []
    assert cluster_findings(tmp_path, CLUSTER, ports="{first: 50000, last: 50100}") == []
    assert cluster_findings(tmp_path, "v2: {job: {adapter: slurm}}\n") == []


@pytest.mark.parametrize("ports", ["null", "{first: 39999, last: 60000}", "{first: 40000, last: 60001}"])
def test_ports_outside_of_those_of_the_cluster_are_named(tmp_path: Path, ports: str) -> None:
    (found,) = cluster_findings(tmp_path, CLUSTER, ports=ports)
    assert (found.field, found.found, found.proposal) == ("ports", ports, "ports: {first: 40000, last: 60000}")


def test_the_id_and_the_adapter_of_the_cluster_are_compared(tmp_path: Path) -> None:
    named, adapter = cluster_findings(tmp_path, "v2:\n  job:\n    adapter: lsf\n", name="summit")
    assert (named.field, named.found) == ("cluster", '"alpine"')
    assert named.proposal is not None
    assert named.proposal.startswith('cluster: "summit"')
    assert (adapter.field, adapter.line, adapter.found) == ("v2.job.adapter", 3, '"lsf"')


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    file = site_file(tmp_path)
    missing = tmp_path / "none.yml"
    for found in (*check_portal(file, missing, []), *check_cluster_file(file, missing)):
        assert found.kind == "unread"
        assert f"{missing} could not be read: " in found.text


def make_executable(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def engine_names(file: SiteFile) -> list[str]:
    return [engine.name for engine in file.site.engines]


def test_software_that_is_there_has_no_findings(tmp_path: Path) -> None:
    file = site_file(tmp_path, prefix=f'"{tmp_path}/sw"')
    make_executable(tmp_path / "sw" / "app" / file.site.app / "bin" / "llm-hoster")
    for name in engine_names(file):
        make_executable(tmp_path / "sw" / "engine" / name / "bin" / "vllm")
    assert list(check_folders(file)) == []


def test_software_that_is_missing_or_closed_is_named(tmp_path: Path) -> None:
    file = site_file(tmp_path, prefix=f'"{tmp_path}/sw"')
    make_executable(tmp_path / "sw" / "app" / "0.0.9" / "bin" / "llm-hoster")
    make_executable(tmp_path / "sw" / "engine" / "vllm-cuda-0.33.0" / "bin" / "vllm")
    (tmp_path / "sw").chmod(0o750)
    found = list(check_folders(file))
    assert [each.field for each in found] == ["prefix", "app", "engines[0].name", "engines[1].name", "engines[2].name"]
    assert f"chmod o+rx {tmp_path}/sw" in found[0].expected
    assert found[1].proposal is not None and found[1].proposal.startswith('app: "0.0.9"')
    assert found[2].proposal == '- name: "vllm-cuda-0.33.0"'


def test_a_prefix_that_this_machine_does_not_see_is_told(tmp_path: Path) -> None:
    (found,) = check_folders(site_file(tmp_path, prefix='"/nowhere/$USER"'))
    assert found.kind == "unread"
    assert "is not on this machine: run this on a compute node" in found.text
