"""Every place of the form on a Slurm configured like Alpine: accepted as it is, refused one step beyond each limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.launch.configure import render_files
from tests.cluster.alpine import LONG, NORMAL, TESTING
from tests.cluster.slurm_cluster import SlurmCluster
from tests.ood.conftest import copy_app
from tests.ood.renderer import render_all

pytestmark = pytest.mark.slurm

CONFIGURATION = "Requested node configuration is not available"
POLICY = "Job violates accounting/QOS policy"
USER_LIMIT = "QOSMaxGRESPerUser"
PER_USER_AND_ALL = {"gpu-normal": NORMAL, "gpu-long": LONG, "gpu-testing": TESTING, "gh200": {"gh200": (1, 0)}}
# A model that the person types is not held against the places: what is left are the places themselves.
TYPED = {"model": "other", "typed_model": "owner/name", "auto_accounts": "ucb-general"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_app(tmp_path_factory.mktemp("places") / "app", "config/site.yml")


def submitted(app: Path, choices: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Give what submit.yml.erb makes of each choice: wall_time, native, accounting_id."""
    catalogue = json.loads((app / "catalogue.json").read_text())
    file = str(app / "submit.yml.erb")
    fixed = TYPED | {"form_id": catalogue["form_id"]}
    answers = render_all({"file": file, "kind": "submit", "values": fixed | choice} for choice in choices)
    assert [answer["error"] for answer in answers if answer["error"]] == []
    return [answer["yaml"]["script"] for answer in answers]


def try_out(cluster: SlurmCluster, script: dict[str, Any], changes: dict[str, str] | None = None) -> str:
    """Ask Slurm what it would say to the job; `changes` replace flags. An empty answer is a yes."""
    flags = dict(flag.split("=", 1) if "=" in flag else (flag, "") for flag in script["native"])
    flags |= {"--time": str(script["wall_time"] // 60), "--account": script["accounting_id"]} | (changes or {})
    words = [f"{name}={value}" if value else name for name, value in flags.items()]
    done = cluster.run(["sbatch", "--test-only", *words], user="alice", input="#!/bin/bash\n")
    return "" if done.returncode == 0 else done.stderr


def test_slurm_accepts_every_place_that_the_form_can_make(alpine_cluster: SlurmCluster, app: Path) -> None:
    catalogue = Catalogue.model_validate_json((app / "catalogue.json").read_text())
    choices = [
        {"gpu_type": gpu_type, "num_gpus": count, "bc_num_hours": str(hours), "qos": qos.name or ""}
        for gpu_type, counts in catalogue.offers.items()
        for count, offer in counts.items()
        for qos in offer.qos
        for hours in (1, qos.max_hours)
    ]
    scripts = submitted(app, choices)
    refused = {
        str(choice): answer
        for choice, script in zip(choices, scripts, strict=True)
        if (answer := try_out(alpine_cluster, script))
    }
    assert refused == {}
    assert {gpu_type.name for gpu_type in catalogue.gpu_types} == {choice["gpu_type"] for choice in choices}


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"--gres": "gpu:h200:5"}, USER_LIMIT),
        ({"--partition": "aa100", "--gres": "gpu:a100-40gb:4", "--cpus-per-task": "8", "--mem": "8G"}, CONFIGURATION),
        ({"--gres": "gpu:h-200:4"}, CONFIGURATION),
        ({"--cpus-per-task": "129"}, CONFIGURATION),
        ({"--mem": "1431G"}, CONFIGURATION),
        ({"--constraint": "infiniband"}, "Invalid feature specification"),
        ({"--partition": "ah100"}, "invalid partition specified"),
        ({"--partition": "al40", "--cpus-per-task": "8", "--mem": "8G"}, CONFIGURATION),
        ({"--qos": "gpu-short"}, "Invalid qos specification"),
        ({"--qos": "gpu-testing"}, "Invalid qos specification"),
        ({"--time": str(24 * 60 + 1)}, "QOSMaxWallDurationPerJobLimit"),
        ({"--time": str(168 * 60 + 1), "--qos": "gpu-long", "--gres": "gpu:h200:1"}, "time limit is invalid"),
        ({"--qos": "gpu-long"}, POLICY),
        ({"--account": "nobody"}, "Invalid account"),
    ],
)
def test_slurm_refuses_one_step_beyond_each_limit(
    alpine_cluster: SlurmCluster, app: Path, change: dict[str, str], answer: str
) -> None:
    largest = {"gpu_type": "h200", "num_gpus": "4", "bc_num_hours": "24", "qos": "gpu-normal"}
    (script,) = submitted(app, [largest])
    assert try_out(alpine_cluster, script) == ""
    assert answer in try_out(alpine_cluster, script, change)


def test_slurm_accepts_a_choice_that_takes_two_whole_nodes(alpine_cluster: SlurmCluster, tmp_path: Path) -> None:
    app = copy_app(tmp_path / "app", "config/site.yml")
    site = app / "config" / "site.yml"
    before = site.read_text()
    old = "    num_gpus: [1, 2]\n    cores_per_gpu: 10\n    cores_per_gpu_max: 21\n    qos: {gpu-normal: {per_user: 6,"
    assert before.count(old) == 1
    before = before.replace("network: null", 'network: {interface: "ib0"}')
    site.write_text(before.replace(old, old.replace("[1, 2]", "[1, 2, 6]\n    max_nodes: 2")))
    for name, text in render_files(site, None, app).items():
        (app / name).write_text(text)
    (script,) = submitted(app, [{"gpu_type": "a100-40gb", "num_gpus": "6", "bc_num_hours": "1"}])
    assert {"--nodes=2", "--gpus-per-node=a100-40gb:3", "--no-kill", "--exclusive"} <= set(script["native"])
    assert try_out(alpine_cluster, script) == ""
    three = {"--nodes": "3", "--gpus-per-node": "a100-40gb:2"}
    assert CONFIGURATION in try_out(alpine_cluster, script, three)


def flag_of(script: dict[str, Any], name: str) -> str:
    return next(flag.removeprefix(f"{name}=") for flag in script["native"] if flag.startswith(f"{name}="))


def test_slurm_refuses_one_gpu_more_than_a_user_and_than_a_node_has_of_each_type(
    alpine_cluster: SlurmCluster, app: Path
) -> None:
    """Each limit of each type by its own reason: to a wrong name of a gres there would be one answer, the node's."""
    catalogue = Catalogue.model_validate_json((app / "catalogue.json").read_text())
    choices = [
        {"gpu_type": gpu_type, "num_gpus": count, "bc_num_hours": "1", "qos": qos.name or ""}
        for gpu_type, counts in catalogue.offers.items()
        for count, offer in list(counts.items())[-1:]
        for qos in offer.qos
    ]
    beyond_a_node = set()
    for choice, script in zip(choices, submitted(app, choices), strict=True):
        kind, gres, _ = flag_of(script, "--gres").split(":")
        per_user, _ = PER_USER_AND_ALL[flag_of(script, "--qos")][gres]
        on_a_node = max(dict(node.gpus).get(gres, 0) for node in alpine_cluster.hardware.nodes)
        assert try_out(alpine_cluster, script) == "", choice
        assert USER_LIMIT in try_out(alpine_cluster, script, {"--gres": f"{kind}:{gres}:{per_user + 1}"}), choice
        if on_a_node < per_user:
            answer = try_out(alpine_cluster, script, {"--gres": f"{kind}:{gres}:{on_a_node + 1}"})
            assert CONFIGURATION in answer and USER_LIMIT not in answer, (choice, answer)
            beyond_a_node.add(gres)
    # Of the other types one user may have no more than a node has.
    assert beyond_a_node == {"a100-40gb", "mi100", "h200_3g.71gb"}
