"""Apache and alice's dashboard on the cluster's head: one door for all, and behind it her own pages, run as her."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

from portal.apache import Apache
from portal.dashboard import SETTINGS_VARIABLE
from portal.settings import PortalSettings
from tests.cluster.slurm_cluster import SlurmCluster

REPOSITORY = Path(__file__).resolve().parents[2]
PORT = 8080
START_TIMEOUT_S = 30.0


class ClusterPortal:
    """The browser sees it at http://localhost:8080, from inside the cluster's network."""

    def __init__(self, cluster: SlurmCluster, app_root: Path, owner: str = "alice") -> None:
        self.cluster = cluster
        self.owner = cluster.accounts[owner]
        # Bob may pass the portal's login as anyone may; the dashboard behind it is the owner's.
        self.passwords = {name: secrets.token_urlsafe(12) for name in cluster.accounts}
        self.folder = cluster.folder / "portal"
        self.data_root = Path(self.owner.home, "ondemand/data/sys/dashboard")
        self.settings = PortalSettings(
            app_root=app_root, data_root=self.data_root, secret_key=secrets.token_hex(16), batch_system="slurm"
        )
        self.apache = Apache(
            folder=cluster.folder / "httpd",
            dashboard_socket=self.folder / "socket",
            address="0.0.0.0",  # of the cluster's own network, where compute nodes may try it too
            port=PORT,
            server_name="localhost",
            prefix=cluster.command(),
        )

    @property
    def url(self) -> str:
        return self.apache.url

    def start(self) -> None:
        self.folder.mkdir(mode=0o711)
        settings_file = self.folder / "settings.json"
        self.settings.write(settings_file)
        for path in (self.folder, settings_file):
            os.chown(path, self.owner.user_id, self.owner.user_id)
        self._start_dashboard(settings_file)
        self.apache.write(self.passwords)
        self.apache.start()

    def stop(self) -> None:
        self.apache.stop()
        self.dashboard.terminate()
        self.dashboard.wait()

    def staged_root(self, session_id: str) -> Path:
        return self.settings.sessions_root / self.settings.token / "output" / session_id

    def _start_dashboard(self, settings_file: Path) -> None:
        environment = {SETTINGS_VARIABLE: str(settings_file), "PYTHONPATH": str(REPOSITORY)}
        gunicorn = [sys.executable, "-m", "gunicorn", "portal.dashboard:create_app()", "--worker-class", "gthread"]
        gunicorn += ["--threads", "8", "--bind", f"unix:{self.apache.dashboard_socket}", "--no-control-socket"]
        with (self.cluster.log_folder / "dashboard.log").open("wb") as log:
            self.dashboard = subprocess.Popen(
                self.cluster.command(user=self.owner.name, env=environment) + gunicorn,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.apache.dashboard_socket.exists():
            assert self.dashboard.poll() is None and time.monotonic() < deadline, self.cluster.read_logs()
            time.sleep(0.05)
