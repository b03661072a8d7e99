"""One portal with this machine as its only compute node, in a folder of its own: for `demo` and `smoke`."""

from __future__ import annotations

import fcntl
import getpass
import importlib.util
import json
import os
import secrets
import shutil
import signal
import time
from pathlib import Path
from typing import IO

from portal.debian_package import find_missing, install_sentence
from portal.demo_app import REPOSITORY, SITE, DemoError, make_app
from portal.httpd import find_program
from portal.local import LocalJobs
from portal.process import Process
from portal.running_portal import RunningPortal
from portal.settings import PortalSettings

# apache2 is not among them: another distribution has it by another name, which httpd.py finds.
PACKAGES = ("apache2-utils", "netcat-openbsd", "procps", "rsync", "ruby", "ruby-redcarpet", "util-linux")


class DemoSite:
    """Use it with `with`. What an earlier one left running is ended at the start; `fresh` also drops its files."""

    def __init__(
        self, folder: Path, *, site_file: Path = SITE, address: str = "127.0.0.1", port: int = 0, fresh: bool = False
    ) -> None:
        self.folder = folder
        self.site_file = site_file
        self.address = address
        self.port = port
        self.fresh = fresh
        self.user = getpass.getuser()
        self.password = secrets.token_urlsafe(9)
        self.jobs = LocalJobs(folder / "data" / "local_jobs")
        self.portal: RunningPortal | None = None
        self.lock: IO[str] | None = None

    @property
    def url(self) -> str:
        return self.portal.url if self.portal else ""

    @property
    def node_dir(self) -> Path:
        """Where the app's sessions have their node-local folders."""
        catalogue = json.loads((self.folder / "app" / "catalogue.json").read_text())
        return Path(os.path.expandvars(catalogue["site"]["node_dir"]))

    @property
    def leftovers(self) -> Path:
        return self.folder / "processes"

    def __enter__(self) -> DemoSite:
        require_programs()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.take_lock()
        self.end_leftovers()
        if self.fresh:
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            shutil.rmtree(self.folder / "home", ignore_errors=True)
        (self.folder / "home").mkdir(exist_ok=True)
        settings = PortalSettings(
            app_root=make_app(self.folder / "app", self.site_file),
            data_root=self.folder / "data",
            secret_key=secrets.token_urlsafe(32),
            home=self.folder / "home",
            # The host name of a laptop may be known to nobody, least of all with the network off.
            batch_connect_basic={"set_host": "host=127.0.0.1"},
        )
        portal = RunningPortal(settings, {self.user: self.password}, address=self.address, port=self.port)
        portal.on_start = self.remember
        self.portal = portal.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """End the portal and every session that still runs."""
        self.jobs.delete_all()
        if self.portal is not None:
            self.portal.stop()
        self.leftovers.unlink(missing_ok=True)
        if self.lock is not None:
            self.lock.close()

    def take_lock(self) -> None:
        self.lock = (self.folder / "lock").open("a")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(f"A demo runs already in {self.folder}. Stop it with Ctrl-C first.") from error

    def remember(self, pids: list[int], temporary_folder: Path) -> None:
        """Write down what must be ended if this process is killed."""
        lines = [str(temporary_folder), *(str(Process.of(pid)) for pid in pids)]
        self.leftovers.write_text("\n".join(lines) + "\n")

    def end_leftovers(self) -> None:
        if self.leftovers.exists():
            temporary_folder, *processes = self.leftovers.read_text().splitlines()
            for line in processes:
                end_group(Process.from_text(line))
            shutil.rmtree(temporary_folder, ignore_errors=True)
            self.leftovers.unlink()
        self.jobs.delete_all()


def end_group(process: Process) -> None:
    """End a process that leads a group, and with it its workers; both of ours do so at SIGTERM."""
    process.signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while process.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    process.signal(signal.SIGKILL)


def require_programs() -> None:
    """Raise DemoError that names what is missing, all of it at once."""
    missing = find_missing(PACKAGES) + (["apache2"] if find_program() is None else [])
    if missing:
        raise DemoError(f"Programs are missing. {install_sentence(missing)}")
    if importlib.util.find_spec("llm_hoster") is None:
        raise DemoError(f"The package llm_hoster is not installed for this Python. In {REPOSITORY} run: make install")
