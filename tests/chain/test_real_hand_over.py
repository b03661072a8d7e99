"""Two sessions in a row that both run vLLM itself."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from llm_hoster.engine.record.successor import read_successor
from tests.chain.conftest import AT_ONCE, Portal, make_portal, questions
from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.site_app import make_site

pytestmark = [pytest.mark.slurm, pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(400)]
# Two cores carry the questions, and vLLM's start beside them.
THREADS = 3
START_S = 150.0


@pytest.fixture(scope="module")
def real_portal(cluster: SlurmCluster, prefix: Path) -> Portal:
    return make_portal(cluster, cluster.folder / "real", prefix, make_site(prefix))


def test_no_question_fails_while_one_vllm_takes_over_from_another(real_portal: Portal, cluster: SlurmCluster) -> None:
    first = real_portal.launch(options=AT_ONCE, chain_length="2")
    first.wait_until_ready(START_S)
    endpoint = first.read("endpoint.json")
    with questions(cluster, endpoint, THREADS) as load:
        second = first.wait_for_next()
        first.wait("successor.json", lambda: read_successor(first.path("")), START_S)
        first.when("last answer")
        # Some seconds through the old address alone.
        time.sleep(3)
        answer = json.loads(load.communicate("")[0])
    cluster.check(["scancel", first.job_id, second.job_id], user="alice")

    print(f"questions asked {answer['asked']}, slowest {answer['slowest_s']} s")
    assert answer["faults"] == []
    assert answer["asked"] > 50
    for session in (first, second):
        session.wait("its end", lambda session=session: session.job_state().startswith("CANCELLED"))
