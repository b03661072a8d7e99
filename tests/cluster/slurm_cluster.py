"""A whole Slurm cluster, started in about a second and gone without a trace; with accounting in about five."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from portal.debian_package import require_packages
from tests.cluster.account import ALICE, BOB, Account, write_account_files
from tests.cluster.accounting import limit_commands, write_accounting
from tests.cluster.configuration import write_configuration, write_hosts
from tests.cluster.hardware import HEAD, PLAIN, Hardware
from tests.cluster.mount_plan import render_mounts
from tests.cluster.requirement import ACCOUNTING_PACKAGES, PACKAGES, require_programs, require_root

START_TIMEOUT_S = 30.0
UNSHARE = ("unshare", "-mnpu", "--fork", "--mount-proc", "--kill-child")
UNFINISHED = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}


class ClusterError(RuntimeError):
    """The cluster did not come up or a command in it failed; the message holds the logs."""


class SlurmCluster:
    """munged, slurmctld and a slurmd a node in namespaces of their own; killing their first process ends them all."""

    def __init__(
        self, accounts: tuple[Account, ...] = (ALICE, BOB), shared: Iterable[Path] = (), hardware: Hardware = PLAIN
    ) -> None:
        """`shared` lists the folders that every user must be able to read at their own paths."""
        require_packages(PACKAGES)
        if hardware.qos:
            require_programs(ACCOUNTING_PACKAGES)
        require_root()
        self.hardware = hardware
        self.accounts = {account.name: account for account in accounts}
        self.shared = tuple(shared)
        self.folder = Path(tempfile.mkdtemp(prefix="llm-hoster-cluster-"))
        self.init_pid = 0

    def __enter__(self) -> SlurmCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log_folder(self) -> Path:
        return self.folder / "log"

    def start(self) -> SlurmCluster:
        self._write_files()
        output = (self.log_folder / "boot.log").open("wb")
        script = Path(__file__).with_name("boot.sh")
        nodes = [f"{node.name}={node.address}" for node in self.hardware.nodes]
        with output:
            self._unshare = subprocess.Popen(
                [*UNSHARE, "bash", str(script), str(self.folder), HEAD.address, *nodes],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        try:
            self._wait_until("the daemons to start", (self.folder / "ready").exists)
            children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
            self.init_pid = int(children[0])
            self._wait_until("all nodes to register", self._nodes_are_idle)
            for command in limit_commands(self.hardware):
                self.check(command)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process of the cluster and remove its folder."""
        if self.init_pid:
            os.kill(self.init_pid, signal.SIGKILL)
        else:
            self._unshare.kill()
        self._unshare.wait()
        shutil.rmtree(self.folder)

    def command(
        self,
        user: str | None = None,
        node: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Give the words to put before a command so that it runs in the cluster.

        `user` None is root; `node` None is the head, where the portal lives. A user starts in the own home folder with
        a login's environment and nothing of the caller's. The command gets SIGTERM when its starter dies.
        """
        words = ["nsenter", "-t", str(self.init_pid), "-m", "-n", "-p", "-u", "--"]
        if node is not None:
            words += ["nsenter", f"--net=/run/netns/{node}", f"--uts=/run/uts/{node}", "--"]
        words += ["setpriv", "--pdeathsig=SIGTERM"]
        if user is not None:
            words += [f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"]
            cwd = cwd or self.accounts[user].home
        words += ["env", f"--chdir={cwd or '/'}"]
        return words + [f"{name}={value}" for name, value in (env or {}).items()]

    def run(
        self,
        argv: list[str],
        user: str | None = None,
        node: str | None = None,
        *,
        input: str | None = None,
        timeout_s: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the cluster to its end; the caller judges the exit status."""
        return subprocess.run(
            self.command(user=user, node=node, env=env) + argv,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def check(self, argv: list[str], user: str | None = None, node: str | None = None, **more: str) -> str:
        """Run a command that must succeed and give what it printed."""
        done = self.run(argv, user=user, node=node, input=more.get("input"))
        if done.returncode != 0:
            raise ClusterError(f"{argv} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def read_job_state(self, job_id: str) -> str:
        """Give Slurm's word for the state of a job that it still remembers."""
        return self.check(["squeue", "-h", "--states=all", "-j", job_id, "-o", "%T"]).strip()

    def wait_for_job_end(self, job_id: str, timeout_s: float = 20) -> str:
        """Wait until no process of the job is left, as far as Slurm knows, and give its last state."""
        deadline = time.monotonic() + timeout_s
        while (state := self.read_job_state(job_id)) in UNFINISHED:
            if time.monotonic() > deadline:
                raise ClusterError(f"Job {job_id} is still {state} after {timeout_s:.0f} s.\n{self.read_logs()}")
            time.sleep(0.1)
        return state

    def pids_of(self, user: str) -> list[int]:
        """List a user's processes, as the cluster numbers them."""
        listing = self.run(["ps", "-u", user, "-o", "pid="])
        return [int(word) for word in listing.stdout.split()]

    def read_logs(self) -> str:
        """Give the last lines of every daemon's log, for a failure's message."""
        parts = []
        for path in sorted(self.log_folder.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-30:]
            parts.append(f"--- {path.name}\n" + "\n".join(tail))
        return "\n".join(parts)

    def _write_files(self) -> None:
        self.folder.chmod(0o755)
        for name in ("etc", "slurm", "log"):
            (self.folder / name).mkdir()
        accounts = tuple(self.accounts.values())
        write_account_files(self.folder / "etc", accounts)
        write_hosts(self.folder / "etc" / "hosts", self.hardware)
        write_configuration(self.folder / "slurm", self.log_folder, self.hardware)
        if self.hardware.qos:
            write_accounting(self.folder, self.log_folder, self.hardware, accounts)
        (self.folder / "mounts.sh").write_text(render_mounts(self.folder, accounts, self.shared))

    def _nodes_are_idle(self) -> bool:
        states = self.run(["sinfo", "-h", "-o", "%D %T"]).stdout.split()
        return set(states[1::2]) == {"idle"} and sum(map(int, states[::2])) >= len(self.hardware.nodes)

    def _wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not holds():
            if self._unshare.poll() is not None:
                raise ClusterError(f"The cluster's first process ended.\n{self.read_logs()}")
            if time.monotonic() > deadline:
                raise ClusterError(f"Waited {START_TIMEOUT_S:.0f} s for {what}.\n{self.read_logs()}")
            time.sleep(0.05)
