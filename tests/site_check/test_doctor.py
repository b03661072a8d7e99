"""doctor against a real Slurm configured like Alpine: a right site.yml has no findings, each wrong line is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llm_hoster.errors import ConfigError
from llm_hoster.site_check.doctor import examine
from llm_hoster.site_check.site_file import SiteFile
from llm_hoster.site_check.slurm import Cluster, parse_gres, parse_hours, read_cluster
from tests.cluster.slurm_cluster import SlurmCluster
from tests.site_check.alpine_site import REPOSITORY, read, site_text

LLM_HOSTER = [sys.executable, "-m", "llm_hoster"]
AA100 = '{name: "aa100", nodes: 4, gpus_per_node: 3, cores_per_node: 64, memory_per_core_gb: 3.8, max_hours: 168'
L40_QOS = "qos: {gpu-normal: {per_user: 3, total: 7}, gpu-long: {per_user: 3, total: 3}}"
GH200_QOS = "qos: {gh200: {per_user: 1}}"


@pytest.fixture(scope="module")
def cluster(alpine_cluster: SlurmCluster) -> Cluster:
    return read(alpine_cluster)


def changed(old: str, new: str) -> str:
    text = site_text()
    assert text.count(old) == 1, old
    return text.replace(old, new)


def findings(folder: Path, text: str, cluster: Cluster) -> list[str]:
    """Give `kind file:line: field: found, expected` of everything that Slurm contradicts, and below it the new line."""
    path = folder / "site.yml"
    path.write_text(text)
    found = examine(SiteFile(path), cluster)
    return [f"{each.kind} {each.text.replace(f'{folder}/', '')}" for each in found if each.kind != "unread"]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.slurm
def test_a_site_that_is_right_has_no_findings(tmp_path: Path, cluster: Cluster) -> None:
    assert cluster.unread == []
    assert findings(tmp_path, site_text(), cluster) == []


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            '{name: "al40", nodes',
            '{name: "al-40", nodes',
            'change site.yml:{line}: partitions[1].name: found "al-40", expected a partition of the cluster: aa100, ',
        ),
        (
            AA100,
            AA100.replace("168", "169"),
            "change site.yml:{line}: partitions[0].max_hours: found 169, expected 168",
        ),
        (AA100, AA100.replace("168", "24"), "note site.yml:{line}: partitions[0].max_hours: found 24, expected 168"),
        (
            AA100,
            AA100.replace("nodes: 4", "nodes: 12"),
            "change site.yml:{line}: partitions[0].nodes: found 12, expected 4",
        ),
        (
            AA100,
            AA100.replace("gpus_per_node: 3", "gpus_per_node: 4"),
            "change site.yml:{line}: partitions[0].gpus_per_node: found 4, expected 3, the most GPUs of one type on a ",
        ),
        (
            AA100,
            AA100.replace("cores_per_node: 64", "cores_per_node: 96"),
            "change site.yml:{line}: partitions[0].cores_per_node: found 96, expected 64",
        ),
        (
            AA100,
            AA100.replace("cores_per_node: 64", "cores_per_node: 63"),
            "note site.yml:{line}: partitions[0].cores_per_node: found 63, expected 64",
        ),
        (
            AA100,
            AA100.replace("3.8", "4"),
            "change site.yml:{line}: partitions[0].memory_per_core_gb: found 4, expected at most 3.79",
        ),
        (
            'gres: "a100-40gb"',
            'gres: "a100_40gb"',
            'change site.yml:{line}: gpu_types[3].gres: found "a100_40gb", expected a gres of aa100: a100-40gb, ',
        ),
        (
            '    gres: "gh200"\n',
            '    gres: "gh200"\n    constraint: "arm"\n',
            'change site.yml:{line}: gpu_types[10].constraint: found "arm", expected a feature of the nodes with gh200',
        ),
        (
            "is_slice: true\n    su_weight: 185.2",
            "is_slice: false\n    su_weight: 185.2",
            "change site.yml:{line}: gpu_types[6].is_slice: found false, expected true",
        ),
        (
            '{name: "gpu-long", max_hours',
            '{name: "gpu_long", max_hours',
            'change site.yml:{line}: qos[1].name: found "gpu_long", expected a QoS of the cluster: normal, gpu-normal',
        ),
        (
            '"gpu-normal", max_hours: 24,',
            '"gpu-normal", max_hours: 48,',
            "change site.yml:{line}: qos[0].max_hours: found 48, expected 24, its MaxWall",
        ),
        (
            "max_hours: 168, max_jobs: 200,",
            "max_hours: 168, max_jobs: 300,",
            "change site.yml:{line}: qos[1].max_jobs: found 300, expected 200",
        ),
        ("max_jobs: 5, charge: 0.1}", "max_jobs: 5, charge: 0.2}", "note site.yml:{line}: qos[3].charge: found 0.2, "),
        (
            L40_QOS,
            L40_QOS.replace("per_user: 3, total: 7", "per_user: 4, total: 7"),
            "change site.yml:{line}: gpu_types[4].qos.gpu-normal.per_user: found 4, expected 3, its MaxTRESPU for l40",
        ),
        (
            L40_QOS,
            L40_QOS.replace("per_user: 3, total: 7", "per_user: 3"),
            "change site.yml:{line}: gpu_types[4].qos.gpu-normal.total: found nothing, expected 7, its GrpTRES for l40",
        ),
        (
            L40_QOS,
            L40_QOS.replace("gpu-normal:", "gpu-testing: {}, gpu-normal:"),
            "change site.yml:{line}: gpu_types[4].qos.gpu-testing: found {{}}, expected no gpu-testing here: ",
        ),
        (
            GH200_QOS,
            GH200_QOS.replace("1}", "1, total: 2}"),
            "note site.yml:{line}: gpu_types[10].qos.gh200.total: found 2, expected none: the QoS has no GrpTRES for ",
        ),
    ],
)
def test_a_line_that_the_cluster_contradicts_is_named(
    tmp_path: Path, cluster: Cluster, old: str, new: str, finding: str
) -> None:
    text = changed(old, new)
    for name, other in (("al40", "al-40"), ("gpu-long", "gpu_long")):
        if other in new:  # the file must agree with itself
            text = text.replace(f'partition: "{name}"', f'partition: "{other}"').replace(f"{name}: {{", f"{other}: {{")
    found = findings(tmp_path, text, cluster)
    changed_line = next(line for line in new.splitlines() if line not in old.splitlines())
    expected = finding.format(line=line_of(text, changed_line))
    assert any(each.startswith(expected) for each in found), found


@pytest.mark.slurm
def test_a_number_of_gpus_that_no_node_has_is_named(tmp_path: Path, cluster: Cluster) -> None:
    text = changed(
        AA100.replace("aa100", "al40").replace("nodes: 4", "nodes: 1"),
        AA100.replace("aa100", "al40").replace("nodes: 4", "nodes: 1").replace("gpus_per_node: 3", "gpus_per_node: 4"),
    )
    text = text.replace(L40_QOS, L40_QOS.replace("per_user: 3, total: 7", "per_user: 4, total: 7"))
    start = text.index('  - name: "l40"')
    text = text[:start] + text[start:].replace("num_gpus: [1, 2]", "num_gpus: [1, 2, 4]", 1)
    found = findings(tmp_path, text, cluster)
    assert [each for each in found if "num_gpus" in each] == [
        f"change site.yml:{line_of(text, 'num_gpus: [1, 2, 4]')}: gpu_types[4].num_gpus: found [1, 2, 4], "
        "expected at most 3 on a node: no node of al40 has more l40\n    write: num_gpus: [1, 2]"
    ]


@pytest.mark.slurm
def test_the_proposed_line_is_the_one_that_puts_it_right(tmp_path: Path, cluster: Cluster) -> None:
    wrong = changed(AA100, AA100.replace("3.8", "4").replace("64", "96"))
    path = tmp_path / "site.yml"
    while True:
        path.write_text(wrong)
        found = [each for each in examine(SiteFile(path), cluster) if each.kind == "change"]
        if not found:
            break
        lines = wrong.splitlines()
        assert found[0].line is not None and found[0].proposal is not None
        lines[found[0].line - 1] = "  " + found[0].proposal
        wrong = "\n".join(lines) + "\n"
    assert wrong == changed(AA100, AA100.replace("3.8", "3.79"))


@pytest.mark.slurm
def test_what_the_cluster_has_and_the_site_does_not_offer_is_a_note(tmp_path: Path, cluster: Cluster) -> None:
    text = site_text()
    start, end = text.index('  - name: "h200_2g.35gb"'), text.index('  - name: "a100-40gb"')
    (found,) = findings(tmp_path, text[:start] + text[end:], cluster)
    assert found.startswith("note site.yml:")
    assert 'found "ah200", expected a GPU type for each gres of its nodes; none names h200_2g.35gb' in found


@pytest.mark.slurm
def test_nodes_that_are_down_and_accounts_without_a_qos_are_notes(tmp_path: Path, alpine_cluster: SlurmCluster) -> None:
    down = ["scontrol", "update", "nodename=grace", "state=down", "reason=test"]
    alpine_cluster.check(down)
    try:
        found = findings(tmp_path, site_text(), read(alpine_cluster, user="root"))
    finally:
        alpine_cluster.check(["scontrol", "update", "nodename=grace", "state=resume"])
    assert 'gpu_types[10].gres: found "gh200", expected nodes that are up; now: grace down' in "\n".join(found)
    assert 'qos[0].name: found "gpu-normal", expected a QoS that your accounts may use: normal' in "\n".join(found)


@pytest.mark.slurm
def test_the_command_ends_with_1_says_it_as_json_too_and_writes_nothing(
    tmp_path: Path, alpine_cluster: SlurmCluster
) -> None:
    path = REPOSITORY / "config" / "site.yml"
    before = path.read_bytes()
    arguments = ["doctor", "--site", str(path), "--json"]
    done = alpine_cluster.run(LLM_HOSTER + arguments)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {
        "kind": "change",
        "expected": "4, the nodes of aa100",
        "file": str(path),
        "field": "partitions[0].nodes",
        "found": "12",
    }.items() <= found[0].items()
    assert "nodes: 4, gpus_per_node: 3" in found[0]["proposal"]
    words = alpine_cluster.run(LLM_HOSTER + arguments[:-1]).stdout
    assert words.startswith(f"To change:\n  {path}:{found[0]['line']}: partitions[0].nodes: found 12, expected 4, ")
    assert "Not checked:\n  /etc/ood/config/ood_portal.yml is not on this machine" in words
    assert path.read_bytes() == before


@pytest.mark.parametrize("tools", ["missing", "failing"])
def test_tools_that_are_missing_or_fail_are_named_without_a_traceback(tmp_path: Path, tools: str) -> None:
    """The machine of the tests has Slurm's commands but no cluster that they could ask."""
    path = "/usr/bin:/bin" if tools == "failing" else "/nowhere"
    configuration = tmp_path / "slurm.conf"
    configuration.write_text("")
    arguments = ["doctor", "--site", str(REPOSITORY / "config" / "site.yml")]
    environment = {"PATH": path, "SLURM_CONF": str(configuration), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(LLM_HOSTER + arguments, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for tool in ("sinfo", "scontrol", "sacctmgr"):
        assert (f"{tool} is not installed on this machine" if tools == "missing" else f"  {tool} ") in done.stdout
    assert done.stdout.rstrip().endswith("nothing has to change.")


@pytest.mark.parametrize("answer", ["", "a|b\n", "\x00\n", "PartitionName\n", "x|p|gpu:a:1|many|1|f|idle|x\n"])
def test_answers_that_nobody_expects_are_told(answer: str) -> None:
    cluster = read_cluster(lambda argv: answer, "alice")
    assert all("is not understood here" in reason for reason in cluster.unread)
    assert cluster.unread or not cluster.partitions


def test_a_site_with_faults_is_told_as_configure_does(tmp_path: Path) -> None:
    path = tmp_path / "site.yml"
    path.write_text(changed("core_weight: 1.0", "core_weight: x"))
    with pytest.raises(ConfigError, match=r'core_weight: found "x", expected'):
        SiteFile(path)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("1-00:00:00", 24),
        ("7-12:00:00", 180),
        ("01:30:00", 1.5),
        ("30:00", 0.5),
        ("UNLIMITED", None),
        ("INFINITE", None),
        ("", None),
    ],
)
def test_durations_of_slurm_are_hours(text: str, hours: float | None) -> None:
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("gpu:a100-40gb:3(S:0-1)", {"a100-40gb": 3}),
        ("gpu:h200:2(S:0-1),gpu:h200_3g.71gb:6(S:0,1)", {"h200": 2, "h200_3g.71gb": 6}),
        ("gpu:4", {"": 4}),
        ("gpu:2(S:0),shard:8", {"": 2}),
        ("gpu:2g.35gb:1", {"2g.35gb": 1}),
        ("(null)", {}),
        ("craynetwork:4", {}),
    ],
)
def test_gres_of_a_node_are_counted_by_type(text: str, gpus: dict[str, int]) -> None:
    assert parse_gres(text) == gpus
