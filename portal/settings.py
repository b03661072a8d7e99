"""What the dashboard's process must know, in one JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from portal.jobs import JobAdapter
from portal.local import LocalJobs
from portal.slurm import SlurmJobs


@dataclass(frozen=True)
class PortalSettings:
    """What a cluster's administrator and OnDemand's own settings say.

    `data_root` is OnDemand's data folder of the user. `batch_system` is "local" or "slurm". `batch_connect_basic` is
    the cluster's own default for submit.yml's `batch_connect`. `home` is the HOME of local jobs, None the user's own.
    `bootstrap` is 5 as in OnDemand 4, or 4 as in OnDemand 3.1; `strict_csp` blocks inline script, as a site may.
    """

    app_root: Path
    data_root: Path
    secret_key: str = field(repr=False)
    token: str = "sys/llm_hoster"  # noqa: S105 - OnDemand's word for the name of an app
    batch_system: str = "local"
    command_prefix: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    portal_name: str = "ondemand"
    session_in_view: bool = False
    kill_grace_s: float = 10.0
    home: Path | None = None
    bootstrap: int = 5
    strict_csp: bool = False
    batch_connect_basic: dict[str, Any] = field(default_factory=dict)

    @property
    def jobs(self) -> JobAdapter:
        if self.batch_system == "slurm":
            return SlurmJobs(self.command_prefix)
        return LocalJobs(self.data_root / "local_jobs", self.kill_grace_s, self.home)

    @property
    def sessions_root(self) -> Path:
        return self.data_root / "batch_connect"

    def write(self, path: Path) -> None:
        """Write the file; only the owner may read it, since it holds the key that signs the cookies."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), default=str))

    @classmethod
    def from_file(cls, path: Path) -> PortalSettings:
        values = json.loads(path.read_text())
        for name in ("app_root", "data_root"):
            values[name] = Path(values[name])
        values["home"] = Path(values["home"]) if values["home"] else None
        for name in ("command_prefix", "accounts"):
            values[name] = tuple(values[name])
        return cls(**values)
