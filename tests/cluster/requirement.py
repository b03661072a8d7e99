"""What a machine needs before a cluster can start; a test fails, never skips, where it is missing."""

from __future__ import annotations

import os
import shutil

PACKAGES = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}


class MissingRequirementError(RuntimeError):
    """The machine cannot run the cluster; the message says what to do."""


def require_tools(packages: dict[str, str] | None = None) -> None:
    """Raise MissingRequirementError with the command that installs the missing Debian packages.

    `packages` maps a program to the package that holds it.
    """
    packages = PACKAGES if packages is None else packages
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = {tool: package for tool, package in packages.items() if shutil.which(tool, path=search) is None}
    if missing:
        names = " ".join(sorted(set(missing.values())))
        raise MissingRequirementError(
            f"These programs are missing: {', '.join(sorted(missing))}."
            f" Install them with: apt-get install -y --no-install-recommends {names}"
        )


def require_root(user_id: int | None = None) -> None:
    """Raise MissingRequirementError unless this process may make namespaces and users."""
    if (os.geteuid() if user_id is None else user_id) != 0:
        raise MissingRequirementError(
            "The test cluster makes namespaces, network devices and users, which needs root:"
            " run these tests as root in a container or a virtual machine."
        )
