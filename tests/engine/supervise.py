"""
A supervisor without pages, for the tests of idleness: it takes seconds where the form takes minutes.

Arguments: runtime folder, outcome file, seconds without a question, seconds until vLLM is taken to hang, seconds that a
start may be silent, and the program in vLLM's place with its arguments.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.outcome import Charge
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.run.plan import Plan
from llm_hoster.engine.supervision.supervisor import Supervisor


class OnePlan:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def plan(self, values: object, adjustment: object) -> Plan:
        return self._plan


def main() -> None:
    runtime_dir, outcome, idle_s, hang_s, silent_start_s, *program = sys.argv[1:]
    folders = Folders(Path(runtime_dir), Path(outcome).parent)
    folders.tmp_dir.mkdir(parents=True)
    charge = Charge(time.time(), time.time() + 3600, su_per_hour=1.0, su_estimate=1.0)
    plan = Plan(ServedModel("tiny", "Tiny model"), program, os.environ)
    log = Path(outcome).with_name("vllm.log")
    times = {"idle_s": float(idle_s) or None, "hang_s": float(hang_s), "silent_start_s": float(silent_start_s)}
    supervisor = Supervisor(OnePlan(plan), plan, folders, charge, Path(outcome), log, **times)
    supervisor.catch_signals()
    supervisor.start_engine()
    sys.exit(supervisor.run())


if __name__ == "__main__":
    main()
