"""Two nodes of a real Slurm, and sessions that are launched on them as the portal does it, with a small engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from llm_hoster.engine.record.state import State, read_state
from portal.demo_app import copy_app_files
from portal.settings import PortalSettings
from tests.cluster.account import ALICE, BOB
from tests.cluster.slurm_cluster import SlurmCluster
from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import python_homes
from tests.end_to_end.site_app import MODEL_FOLDER, NODE_DIR, make_models, make_site, write_yaml

FoundT = TypeVar("FoundT")
PYTHON = str(Path(sys.prefix) / "bin" / "python")
WAIT_S = 30.0
# The launch of the test's choice of `serve`'s options, which a site's script.sh does not have.
OPTIONS = '$(cat "$HOME/options")'
# The next session of a row comes as soon as this one serves.
AT_ONCE = "--overlap 60"


@dataclass(frozen=True)
class Session:
    """One of the row: its job and its folder, which the test, being root outside of the cluster, may read."""

    cluster: SlurmCluster
    id: str
    job_id: str
    folder: Path

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.cluster.init_pid}/root")

    def path(self, name: str) -> Path:
        return self.root / self.folder.relative_to("/") / name

    def read(self, name: str) -> Any:
        return json.loads(self.path(name).read_text())

    def text(self, name: str) -> str:
        path = self.path(name)
        return path.read_text() if path.exists() else ""

    def state(self) -> State | None:
        runtime_dir = self.runtime_dir()
        return read_state(self.root / runtime_dir.relative_to("/") / "state.json") if runtime_dir else None

    def runtime_dir(self) -> Path | None:
        """Give the folder on the node as the cluster calls it."""
        for path in (self.root / NODE_DIR.lstrip("/")).glob("llmh-*/settings.json"):
            try:
                if json.loads(path.read_text())["staged_root"] == str(self.folder):
                    return Path("/") / path.parent.relative_to(self.root)
            except (OSError, ValueError):
                continue
        return None

    def wait(self, what: str, look: Callable[[], FoundT | None], timeout_s: float = WAIT_S) -> FoundT:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = look()
            except OSError:
                found = None
            if found:
                return found
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{self.explain()}"
            time.sleep(0.05)

    def wait_until_ready(self, timeout_s: float = WAIT_S) -> State:
        def look() -> State | None:
            state = self.state()
            return state if state is not None and state.state == "ready" else None

        return self.wait("ready", look, timeout_s)

    def wait_for_next(self) -> Session:
        """Give the session after this one, once Slurm has its job."""
        document = self.wait("the next job", lambda: self.read("next.json"))
        folder = Path(document["folder"])
        return Session(self.cluster, folder.name, document["job_id"], folder)

    def when(self, words: str) -> float:
        """Wait for a note with these words; give its time."""

        def look() -> float | None:
            state = self.state()
            found = [each.at for each in state.transitions if words in (each.cause or "")] if state else []
            return found[0] if found else None

        return self.wait(words, look)

    def notes(self) -> str:
        state = self.state()
        return "\n".join(each.cause or "" for each in state.transitions) if state else ""

    def job_state(self) -> str:
        return self.cluster.run(["squeue", "-h", "--states=all", "-j", self.job_id, "-o", "%T %r"]).stdout.strip()

    def explain(self) -> str:
        names = ("output.log", "vllm.log", "web.log")
        logs = [f"--- {self.id} {name}\n{self.text(name)[-2000:]}" for name in names]
        return "\n".join([*logs, self.cluster.run(["squeue", "--states=all"]).stdout])


@dataclass(frozen=True)
class Portal:
    cluster: SlurmCluster
    settings: Path

    def launch(self, *, options: str = "", **values: str) -> Session:
        """Launch as the form does; `options` are those of `llm-hoster serve`."""
        self.cluster.check(["tee", "options"], user="alice", input=options)
        context = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"} | values
        answer = self._ask("launch", context)
        return Session(self.cluster, answer["id"], answer["job_id"], Path(answer["folder"]))

    def card(self, session: Session) -> dict[str, list[str]]:
        answer: dict[str, list[str]] = self._ask("card", session.id)
        return answer

    def _ask(self, what: str, question: Any) -> Any:
        command = ["env", f"PYTHONPATH={REPOSITORY}", PYTHON, "-m", "tests.chain.portal_job", str(self.settings), what]
        return json.loads(self.cluster.check(command, user="alice", input=json.dumps(question)))


@contextmanager
def questions(cluster: SlurmCluster, endpoint: dict[str, str], threads: int) -> Iterator[subprocess.Popen[str]]:
    """Ask all the time; closing its stdin brings the answer of load.py."""
    command = [PYTHON, str(REPOSITORY / "tests/chain/load.py"), endpoint["base_url"], endpoint["api_key"], str(threads)]
    with subprocess.Popen(
        [*cluster.command(user="alice"), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="package")
def cluster(prefix: Path) -> Iterator[SlurmCluster]:
    with SlurmCluster(accounts=(ALICE, BOB), shared=[REPOSITORY, prefix, *python_homes(prefix)]) as cluster:
        yield cluster


@pytest.fixture(scope="package")
def portal(cluster: SlurmCluster, prefix: Path) -> Portal:
    """Its sessions run a small engine in vLLM's place."""
    folder = cluster.folder / "small"
    engine = folder / "engine" / "bin" / "vllm"
    engine.parent.mkdir(parents=True)
    small_engine = REPOSITORY / "tests" / "engine" / "small_engine.py"
    engine.write_text(f"#!{PYTHON}\n{small_engine.read_text()}")
    engine.chmod(0o755)
    site = make_site(prefix)
    site["engines"] = [{"name": "small", "kind": "venv", "target": str(engine.parents[1]), "accelerator": "cpu"}]
    site["gpu_types"] = [each | {"engine": "small"} for each in site["gpu_types"]]
    return make_portal(cluster, folder, prefix, site, args=[])


def make_portal(cluster: SlurmCluster, folder: Path, prefix: Path, site: dict[str, Any], **model: Any) -> Portal:
    settings = PortalSettings(
        app_root=make_app(folder, prefix, site | {"chain_max": 4}, **model),
        data_root=Path(ALICE.home, "ondemand/data/sys/dashboard"),
        secret_key="k" * 32,
        batch_system="slurm",
    )
    path = folder / "settings.json"
    settings.write(path)
    path.chmod(0o644)
    return Portal(cluster, path)


def make_app(folder: Path, prefix: Path, site: dict[str, Any], **model: Any) -> Path:
    """Lay the app out with one model, the tiny one; `model` changes its entry in the list."""
    app = folder / "app"
    copy_app_files(app)
    script = app / "template" / "script.sh.erb"
    text = script.read_text()
    assert text.rstrip().endswith("serve")
    script.write_text(f"{text.rstrip()} {OPTIONS}\n")
    models = folder / "models"
    shutil.copytree(prefix / "models" / "tiny", models / MODEL_FOLDER)
    (app / "config").mkdir()
    write_yaml(app / "config" / "site.yml", site)
    write_yaml(app / "config" / "models.yml", {"models": [make_models(models)["models"][0] | model]})
    command = [PYTHON, "-m", "llm_hoster", "configure", "--site", str(app / "config" / "site.yml"), "--app", str(app)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return app
