"""Sessions in a row on a real Slurm: one takes over from the other under load, and none is left over."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest

from llm_hoster.engine.record.successor import read_successor
from tests.chain.conftest import AT_ONCE, PYTHON, Portal, Session, questions
from tests.cluster.slurm_cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]
THREADS = 12
# Signals the processes of one job that have a word in their command line.
SIGNAL = """
for pid in $(pgrep -u alice -f "$2"); do
  if grep -qz "^SLURM_JOB_ID=$3$" "/proc/$pid/environ"; then kill "-$1" "$pid"; fi
done
"""


NOT_WANTED = "The session before this one in the row ended early, so this one is not wanted. It was cancelled."


@dataclass
class Row:
    first: Session
    second: Session
    load: dict[str, Any]
    # From the moment at which the second one said that it serves.
    follow_s: float
    engine_gone_s: float
    endpoint_before: dict[str, str]
    engine: str


def engines_of(cluster: SlurmCluster, session: Session) -> list[str]:
    """List the engine's processes of a session."""
    found = cluster.run(["pgrep", "-f", f"vllm serve.*{session.runtime_dir()}/"]).stdout
    return found.split()


@pytest.fixture(scope="module")
def row(portal: Portal, cluster: SlurmCluster) -> Iterator[Row]:
    """Two sessions, the second at once, with questions to the first one's address all the time."""
    first = portal.launch(options=AT_ONCE, chain_length="2")
    first.wait_until_ready()
    endpoint = first.read("endpoint.json")
    engine = engines_of(cluster, first)
    with questions(cluster, endpoint, THREADS) as load:
        second = first.wait_for_next()
        first.wait("successor.json", lambda: read_successor(first.path("")))
        told_at = first.path("successor.json").stat().st_mtime
        followed_at = first.when("has taken over")
        gone_at = first.when("last answer")
        # Some seconds through the old address alone.
        time.sleep(3)
        answer = json.loads(load.communicate("")[0])
    yield Row(first, second, answer, followed_at - told_at, gone_at - told_at, endpoint, engine[0])


def test_no_question_fails_while_one_session_takes_over_from_the_other(row: Row) -> None:
    print(
        f"questions asked {row.load['asked']}, failed {len(row.load['faults'])}; slowest {row.load['slowest_s']} s; "
        f"noticed {row.follow_s:.1f} s and old engine gone {row.engine_gone_s:.1f} s after the next one served"
    )
    assert row.load["faults"] == []
    assert row.load["asked"] > 200
    assert row.follow_s < 4


def test_the_old_engine_has_ended_and_its_session_goes_on_as_a_door(row: Row, cluster: SlurmCluster) -> None:
    assert row.engine not in engines_of(cluster, row.first)
    assert engines_of(cluster, row.first) == []
    state = row.first.state()
    assert state is not None
    assert state.state == "ready"
    assert row.first.job_state().startswith("RUNNING")


def test_secret_key_and_model_are_the_same_and_the_endpoint_file_follows(row: Row) -> None:
    first, second = row.first, row.second
    assert first.text("secret") == second.text("secret") != ""
    assert stat.S_IMODE(second.path("").stat().st_mode) == 0o700
    for name in ("secret", "session.json", "predecessor.json", "endpoint.json"):
        assert stat.S_IMODE(second.path(name).stat().st_mode) == 0o600, name
    before, after = row.endpoint_before, first.read("endpoint.json")
    assert after == second.read("endpoint.json")
    assert after["base_url"] != before["base_url"]
    assert (after["api_key"], after["model"]) == (before["api_key"], before["model"])
    assert second.read("session.json")["context"]["chain_length"] == "1"
    assert not second.path("next.json").exists()
    assert "password" in second.text("connection.yml")


def test_deleting_a_session_takes_the_waiting_one_out_of_the_queue(portal: Portal, cluster: SlurmCluster) -> None:
    session = portal.launch(chain_length="3")
    session.wait_until_ready()
    waiting = session.wait_for_next()
    assert waiting.job_state() == "PENDING Dependency"
    assert "may start 11 minutes before the end" in session.wait("the note", session.notes)
    assert waiting.read("session.json")["context"]["chain_length"] == "2"
    # One that has not come yet changes nothing.
    port = session.wait("the pages", lambda: session.text("port").strip())
    state = session.state()
    assert state is not None
    assert (state.state, state.successor) == ("ready", None)
    assert session.read("endpoint.json")["base_url"].endswith(f":{port}/v1")
    cluster.check(["scancel", session.job_id], user="alice")
    waiting.wait("its end", lambda: waiting.job_state().startswith("CANCELLED"))
    assert session.read("outcome.json")["reason"] == "The session was cancelled."
    assert waiting.text("called_off") == "The session was cancelled."


def test_ending_a_session_from_its_page_does_so_too(portal: Portal, cluster: SlurmCluster) -> None:
    session = portal.launch(chain_length="2")
    session.wait_until_ready()
    waiting = session.wait_for_next()
    program = (
        "from pathlib import Path; from llm_hoster.engine.record.order import Order, give; "
        f"give(Path('{session.runtime_dir()}/control.sock'), Order('stop'))"
    )
    cluster.check([PYTHON, "-c", program], user="alice")
    waiting.wait("its end", lambda: waiting.job_state().startswith("CANCELLED"))


def delete_without_a_word(cluster: SlurmCluster, session: Session) -> None:
    """Slurm's SIGTERM finds no supervisor any more, and the job's own script is held, so that the job does not end."""
    for number, program in (("STOP", "slurm_script"), ("KILL", "llm-hoster serve")):
        cluster.check(["bash", "-c", SIGNAL, "signal", number, program, session.job_id])
    cluster.check(["scancel", session.job_id], user="alice")
    session.wait("its end", lambda: session.job_state().startswith("CANCELLED"), timeout_s=40)


def test_one_whose_predecessor_was_deleted_without_a_word_ends_at_once(portal: Portal, cluster: SlurmCluster) -> None:
    session = portal.launch(chain_length="2")
    session.wait_until_ready()
    waiting = session.wait_for_next()
    delete_without_a_word(cluster, session)
    assert waiting.job_state().startswith("PENDING")
    cluster.check(["scontrol", "update", f"JobId={waiting.job_id}", "Dependency="], user="alice")
    waiting.wait("its end", lambda: waiting.job_state().startswith("FAILED"))
    assert waiting.read("outcome.json")["reason"] == NOT_WANTED
    assert "vllm.log" not in [path.name for path in waiting.path("").iterdir()]


def test_one_whose_predecessor_is_deleted_without_a_word_while_it_loads_ends_too(
    portal: Portal, cluster: SlurmCluster
) -> None:
    session = portal.launch(chain_length="2")
    session.wait_until_ready()
    waiting = session.wait_for_next()
    cluster.check(["touch", "engine/wait"], user="alice")
    cluster.check(["scontrol", "update", f"JobId={waiting.job_id}", "Dependency="], user="alice")
    waiting.wait("its pages", lambda: waiting.text("port"))
    delete_without_a_word(cluster, session)
    assert waiting.job_state().startswith("RUNNING")
    cluster.check(["rm", "engine/wait"], user="alice")
    waiting.wait("its end", lambda: waiting.job_state().startswith("COMPLETED"))
    assert waiting.read("outcome.json")["reason"] == NOT_WANTED


def test_a_row_of_three_ends_in_the_last_and_deleting_its_card_ends_all(portal: Portal, cluster: SlurmCluster) -> None:
    first = portal.launch(options=AT_ONCE, chain_length="3")
    first.wait_until_ready()
    second = first.wait_for_next()
    third = second.wait_for_next()
    assert third.folder.name == f"{first.folder.name}-3"
    own_key = first.read("endpoint.json")["api_key"]
    first.wait("the third", lambda: first.read("endpoint.json") == third.read("endpoint.json"))
    second.wait("the third", lambda: second.read("successor.json")["job_id"] == third.job_id)
    assert third.read("endpoint.json")["api_key"] == own_key
    cluster.check(["scancel", first.job_id], user="alice")
    for session in (second, third):
        session.wait("its end", lambda session=session: session.job_state().startswith("CANCELLED"))


def test_a_next_session_that_slurm_refuses_is_a_sentence_and_no_end(portal: Portal, cluster: SlurmCluster) -> None:
    cluster.check(["mkdir", "-p", "engine"], user="alice")
    cluster.check(["touch", "engine/wait"], user="alice")
    session = portal.launch(chain_length="2")
    options = session.read("job_script_options.json") | {"accounting_id": "nobody"}
    cluster.check(["tee", f"{session.folder}/job_script_options.json"], user="alice", input=json.dumps(options))
    cluster.check(["rm", "engine/wait"], user="alice")
    session.wait_until_ready()
    note = session.wait("the note", lambda: "no next session" in session.notes() and session.notes())
    assert "Slurm refused it: sbatch: error: Batch job submission failed: Invalid account" in note
    assert session.job_state().startswith("RUNNING")
    cluster.check(["scancel", session.job_id], user="alice")


def test_the_time_limit_ends_the_old_session_alone_and_its_card_opens_the_next(
    row: Row, portal: Portal, cluster: SlurmCluster
) -> None:
    """Last, since the first job is older than a minute by now, or nearly so: Slurm counts in minutes."""
    first, second = row.first, row.second
    cluster.check(["scontrol", "update", f"JobId={first.job_id}", "TimeLimit=1"])
    first.wait("its end", lambda: first.job_state().startswith(("TIMEOUT", "COMPLETED")), timeout_s=120)
    assert first.read("outcome.json")["reason"] == "The time limit of the job was reached."
    assert second.job_state().startswith("RUNNING")
    successor = read_successor(first.path(""))
    assert successor is not None
    html, fault = portal.card(first)["completed"]
    assert fault is None
    assert f'action="{successor.connect_path}"' in unescape(html)
    assert f'name="password" value="{second.text("secret")}"' in html
    cluster.check(["scancel", second.job_id], user="alice")
    second.wait("its end", lambda: second.read("outcome.json")["ended_at"])
    html, _ = portal.card(first)["completed"]
    assert "The last one said: The session was cancelled." in unescape(html)
    assert "<form" not in html
