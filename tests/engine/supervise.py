"""
A supervisor without pages, for the tests of idleness: it takes seconds where the form takes minutes.

Arguments: runtime folder, outcome file, seconds without a question, and the program in vLLM's place with its arguments.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from llm_hoster.engine.engine_process import EngineProcess
from llm_hoster.engine.folders import Folders
from llm_hoster.engine.outcome import Charge
from llm_hoster.engine.supervisor import Supervisor


def main() -> None:
    runtime_dir, outcome, idle_s, *program = sys.argv[1:]
    folders = Folders(Path(runtime_dir), Path(outcome).parent)
    folders.tmp_dir.mkdir(parents=True)
    engine = EngineProcess(program, os.environ, folders, Path(outcome).with_name("vllm.log"))
    charge = Charge(time.time(), time.time() + 3600, su_per_hour=1.0, su_estimate=1.0)
    supervisor = Supervisor(engine, folders, charge, Path(outcome), idle_s=float(idle_s) or None)
    supervisor.catch_signals()
    supervisor.start_engine()
    sys.exit(supervisor.run())


if __name__ == "__main__":
    main()
