"""A home folder of 50 MB, at a path with spaces and a quote, and a model folder with both kinds of quotes."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.launched_session import LaunchedSession
from tests.end_to_end.site_app import MODEL_FOLDER

HOME_LIMIT_KIB = 2048


def test_a_session_writes_nothing_into_the_home_folder_but_ondemands_own(
    main: LaunchedSession, cluster: SlurmCluster
) -> None:
    home = cluster.accounts["alice"].home
    entries = cluster.check(["find", ".", "-mindepth", "1", "-maxdepth", "1"], user="alice").split()
    assert entries == ["./ondemand"]
    assert int(cluster.check(["du", "-sk", home], user="alice").split()[0]) < HOME_LIMIT_KIB


def test_caches_and_conversations_lie_where_the_site_says(main: LaunchedSession) -> None:
    assert any(main.outside(Path("/srv/scratch/alice/llm-hoster")).iterdir())
    assert list(main.outside(Path("/srv/projects/alice/the lab's data")).rglob("*.sqlite3"))


def test_the_engine_runs_the_model_of_the_awkward_folder_as_the_user(
    main: LaunchedSession, cluster: SlurmCluster
) -> None:
    """vLLM knows the folder by a link in its own, so that compiled code fits wherever a model lies."""
    runtime_dir = Path(main.runtime_dir)
    processes = cluster.check(["ps", "-u", "alice", "-eo", "user,args", "-ww"])
    serving = [line for line in processes.splitlines() if f"{runtime_dir}/vllm.sock" in line and "serve" in line]
    assert serving
    assert {line.split()[0] for line in serving} == {"alice"}
    (link,) = (word for word in serving[0].split() if word.startswith("./model-"))
    assert Path(cluster.check(["readlink", str(runtime_dir / "t" / link)]).strip()).name == MODEL_FOLDER
