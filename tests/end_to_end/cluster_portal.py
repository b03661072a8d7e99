"""Apache and alice's dashboard on the cluster's head: one door for all, and behind it her own pages, run as her."""

from __future__ import annotations

import secrets
from pathlib import Path

from portal.running_portal import RunningPortal
from portal.settings import PortalSettings
from tests.cluster.slurm_cluster import SlurmCluster

PORT = 8080


class ClusterPortal:
    """The browser sees it at http://localhost:8080, from inside the cluster's network."""

    def __init__(self, cluster: SlurmCluster, app_root: Path, owner: str = "alice") -> None:
        account = cluster.accounts[owner]
        self.cluster = cluster
        # Bob may pass the portal's login as anyone may; the dashboard behind it is the owner's.
        self.passwords = {name: secrets.token_urlsafe(12) for name in cluster.accounts}
        self.settings = PortalSettings(
            app_root=app_root,
            data_root=Path(account.home, "ondemand/data/sys/dashboard"),
            secret_key=secrets.token_hex(16),
            batch_system="slurm",
        )
        self.portal = RunningPortal(
            self.settings,
            self.passwords,
            address="0.0.0.0",  # of the cluster's own network, where compute nodes may try it too
            port=PORT,
            server_name="localhost",
            prefix=cluster.command(),
            dashboard_prefix=cluster.command(user=owner),
            dashboard_uid=account.user_id,
        )

    @property
    def url(self) -> str:
        return self.portal.url

    @property
    def dashboard_socket(self) -> Path:
        return self.portal.apache.dashboard_socket

    def staged_root(self, session_id: str) -> Path:
        return self.settings.sessions_root / self.settings.token / "output" / session_id
