"""
The script of a test's job: Ray over all nodes and nothing else; again after each failure.

`python serve_job.py FOLDER`: FOLDER/job.json says how. Each piece of news is a line of FOLDER/news: "nodes 2 of 2
nodes", "failed SENTENCE | LINE". The file FOLDER/again starts everything again after a failure.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llm_hoster.catalogue.compiled import Engine, Network
from llm_hoster.engine.cluster.nodes import read_job_nodes
from llm_hoster.engine.cluster.ray_cluster import RayCluster, make_ray_plan
from llm_hoster.engine.cluster.ray_node import ray_environment
from llm_hoster.engine.job.ending import end_processes
from llm_hoster.engine.process.folders import Folders, make_cache_dir, runtime_dir_in
from llm_hoster.engine.process.guard import Guard, adopt_orphans
from llm_hoster.engine.vllm.command import build_command, build_environment

NETWORK = Network(interface="eth0", private=False, env={})


class Job:
    def __init__(self, folder: Path, folders: Folders) -> None:
        self.folder = folder
        self.folders = folders
        self.wishes: dict[str, Any] = json.loads((folder / "job.json").read_text())
        self.wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.guard = Guard(folders.runtime_dir)
        engine = Engine(**self.wishes["engine"])
        environment = build_environment(os.environ, engine, folders, hf_offline=True)
        plan = make_ray_plan(
            NETWORK, gpus_per_node=1, runtime_dir=folders.runtime_dir, node_dir=Path(self.wishes["node_dir"])
        )
        self.environment = environment | ray_environment(plan, folders.runtime_dir, plan.head_address)
        self.plan, self.nodes = plan, read_job_nodes(os.environ)
        self.engine = engine

    def say(self, news: str) -> None:
        with (self.folder / "news").open("a") as file:
            file.write(f"{time.time():.1f} {news}\n")

    def notify(self) -> None:
        self.wake.put(None)

    def run(self) -> None:
        """Go on until SIGTERM."""
        while True:
            self.serve()
            while not (self.folder / "again").exists():
                time.sleep(0.1)
            (self.folder / "again").unlink()

    def serve(self) -> None:
        vllm = build_command(self.engine, [], [], self.folders, self.environment)
        ray = RayCluster(self.plan, self.nodes, vllm, self.environment, cores=2, staged_root=self.folder)
        ray.start(self.notify)
        try:
            while ray.failure is None:
                self.wait()
                was_done = ray.is_done
                ray.look()
                self.guard.watch([child.pid for child in ray.children if child.is_running])
                if ray.is_done and not was_done:
                    self.say(f"nodes {ray.detail}")
            self.say(f"failed {ray.failure.cause} | {ray.failure.deciding_line}")
        finally:
            self.say("ending")
            end_processes(ray.children, {self.guard.pid}, grace_s=8, meanwhile=lambda: None)
            self.say("ended")

    def wait(self) -> None:
        try:
            self.wake.get(timeout=1)
        except queue.Empty:
            return


def main(folder: Path) -> None:
    def leave(*_: object) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, leave)
    adopt_orphans()
    site = SimpleNamespace(**json.loads((folder / "job.json").read_text()))
    with runtime_dir_in(Path(site.node_dir)) as runtime_dir:
        job = Job(folder, Folders(runtime_dir, make_cache_dir(folder / "cache")))
        try:
            job.run()
        finally:
            shutil.rmtree(runtime_dir, ignore_errors=True)
            job.guard.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
