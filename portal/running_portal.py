"""Apache and the dashboard together, as child processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from portal.apache import Apache
from portal.dashboard import SETTINGS_VARIABLE
from portal.httpd import ApacheError, unprivileged_account
from portal.settings import PortalSettings

DASHBOARD_TIMEOUT_S = 20.0
REPOSITORY = Path(__file__).parent.parent


class RunningPortal:
    """Use it with `with`. `dashboard_prefix` goes before the dashboard's command; `dashboard_uid` is its user then.

    The two meet on a unix socket in a folder that only they may enter: nobody else here passes Apache's login by.
    """

    def __init__(
        self,
        settings: PortalSettings,
        users: Mapping[str, str],
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        server_name: str | None = None,
        prefix: Sequence[str] = (),
        dashboard_prefix: Sequence[str] = (),
        dashboard_uid: int | None = None,
    ) -> None:
        self.settings = settings
        self.users = users
        self.folder = Path(tempfile.mkdtemp(prefix="portal-"))
        self.dashboard_folder = self.folder / "dashboard"
        self.dashboard_prefix = [*dashboard_prefix]
        self.dashboard_uid = os.getuid() if dashboard_uid is None else dashboard_uid
        self.dashboard: subprocess.Popen[bytes] | None = None
        # Told the process ids and the temporary folder as soon as there are any, for one who may have to clear up.
        self.on_start: Callable[[list[int], Path], None] = lambda pids, folder: None
        self.apache = Apache(
            folder=self.folder / "httpd",
            dashboard_socket=self.dashboard_folder / "socket",
            address=address,
            port=port,
            server_name=server_name or address,
            prefix=prefix,
        )

    @property
    def settings_file(self) -> Path:
        return self.dashboard_folder / "settings.json"

    @property
    def url(self) -> str:
        return self.apache.url

    def __enter__(self) -> RunningPortal:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        # Passing through is all that others may do here; the folders inside decide who connects.
        self.folder.chmod(0o711)
        self.dashboard_folder.mkdir(mode=0o700)
        self.settings.write(self.settings_file)
        if os.getuid() == 0:
            os.chown(self.settings_file, self.dashboard_uid, -1)
            os.chown(self.dashboard_folder, self.dashboard_uid, unprivileged_account().pw_gid)
            self.dashboard_folder.chmod(0o710)
        self.start_dashboard()
        self.apache.write(self.users)
        self.apache.start()
        self.on_start([child.pid for child in (self.dashboard, self.apache.process) if child], self.folder)

    def start_dashboard(self) -> None:
        log = (self.folder / "dashboard.log").open("ab")
        # By `env`, because a prefix that changes the user gives the command a new environment.
        python_path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        environment = [f"{SETTINGS_VARIABLE}={self.settings_file}", f"PYTHONPATH={python_path}"]
        command = [
            *self.dashboard_prefix, "env", *environment, sys.executable, "-m", "gunicorn",
            "portal.dashboard:create_app()", "--chdir", str(REPOSITORY), "--workers", "1",
            "--worker-class", "gthread", "--threads", "8", "--bind", f"unix:{self.apache.dashboard_socket}",
            "--no-control-socket", "--worker-tmp-dir", str(self.dashboard_folder),
        ]  # fmt: skip
        self.dashboard = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + DASHBOARD_TIMEOUT_S
        while not self.apache.dashboard_socket.exists():
            if self.dashboard.poll() is not None or time.monotonic() > deadline:
                raise ApacheError(f"the dashboard did not start: {(self.folder / 'dashboard.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End both; jobs go on, as they do when a real portal restarts."""
        self.apache.stop()
        if self.dashboard is not None and self.dashboard.poll() is None:
            os.killpg(self.dashboard.pid, signal.SIGTERM)
            try:
                self.dashboard.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self.dashboard.pid, signal.SIGKILL)
                self.dashboard.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
