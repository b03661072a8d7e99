"""What a machine needs before a cluster can start; a test fails, never skips, where it is missing."""

from __future__ import annotations

import os
from collections.abc import Mapping

from portal.debian_package import MissingProgramError, find_program, install_sentence

# The programs of the cluster itself, and those that the tests run in it.
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "iproute2", "util-linux", "procps", "curl")
# What a cluster with accounting needs besides: package, and a program of it.
ACCOUNTING_PACKAGES = {"slurmdbd": "slurmdbd", "mariadb-server": "mariadbd"}


class MissingRequirementError(RuntimeError):
    """The machine cannot run the cluster; the message says what to do."""


def require_root(user_id: int | None = None) -> None:
    """Raise MissingRequirementError unless this process may make namespaces and users."""
    if (os.geteuid() if user_id is None else user_id) != 0:
        raise MissingRequirementError(
            "The test cluster makes namespaces, network devices and users, which needs root:"
            " run these tests as root in a container or a virtual machine."
        )


def require_programs(packages: Mapping[str, str]) -> None:
    """Raise MissingRequirementError that names all packages whose program is not there."""
    missing = []
    for package, program in packages.items():
        try:
            find_program(program)
        except MissingProgramError:
            missing.append(package)
    if missing:
        raise MissingRequirementError(f"Programs are missing. {install_sentence(missing)}")
