"""What a machine needs before a cluster can start; a test fails, never skips, where it is missing."""

from __future__ import annotations

import os

# The programs of the cluster itself, and those that the tests run in it.
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "iproute2", "util-linux", "procps", "curl")


class MissingRequirementError(RuntimeError):
    """The machine cannot run the cluster; the message says what to do."""


def require_root(user_id: int | None = None) -> None:
    """Raise MissingRequirementError unless this process may make namespaces and users."""
    if (os.geteuid() if user_id is None else user_id) != 0:
        raise MissingRequirementError(
            "The test cluster makes namespaces, network devices and users, which needs root:"
            " run these tests as root in a container or a virtual machine."
        )
