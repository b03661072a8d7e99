"""Accounts, users and QoS in a real slurmdbd with a MariaDB of its own, which the cluster starts before slurmctld."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.account import Account
from tests.cluster.configuration import KNOWN_ACCOUNTS
from tests.cluster.hardware import HEAD, Hardware

SLURMDBD_CONF = """\
AuthType=auth/munge
DbdHost={head.name}
SlurmUser=root
LogFile={log_folder}/slurmdbd.log
PidFile=/run/slurm/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""

# Sourced by boot.sh. The database lies in memory and is as short-lived as the cluster.
START = """\
mkdir -p /run/mysqld /run/database
chown mysql /run/mysqld /run/database
mariadb-install-db --no-defaults --user=mysql --datadir=/run/database --skip-test-db \\
  --auth-root-authentication-method=normal >{log_folder}/mariadb-install.log 2>&1
mariadbd --no-defaults --user=mysql --datadir=/run/database --socket=/run/mysqld/mysqld.sock --skip-networking \\
  --innodb-flush-log-at-trx-commit=0 >{log_folder}/mariadbd.log 2>&1 &
until [[ -S /run/mysqld/mysqld.sock ]]; do sleep 0.05; done
slurmdbd
until sacctmgr --noheader list cluster >/dev/null 2>&1; do sleep 0.1; done
"""


def write_accounting(folder: Path, log_folder: Path, hardware: Hardware, accounts: Iterable[Account]) -> None:
    """Write slurmdbd.conf into folder/slurm and accounting.sh, which boot.sh runs, into `folder`."""
    configuration = folder / "slurm" / "slurmdbd.conf"
    configuration.write_text(SLURMDBD_CONF.format(head=HEAD, log_folder=log_folder))
    configuration.chmod(0o600)
    names = ",".join(qos.name for qos in hardware.qos)
    commands = [["add", "cluster", hardware.name]]
    # The limits name TRES that slurmctld announces when it first comes up; here it comes later.
    commands += [["add", "qos", qos.name] for qos in hardware.qos]
    commands += [["add", "account", ",".join(KNOWN_ACCOUNTS), f"qos={names}"]]
    commands += [["add", "user", user.name, f"account={','.join(KNOWN_ACCOUNTS)}"] for user in accounts]
    lines = [shlex.join(["sacctmgr", "--immediate", "--quiet", *words]) for words in commands]
    (folder / "accounting.sh").write_text(START.format(log_folder=log_folder) + "\n".join(lines) + "\n")


def limit_commands(hardware: Hardware) -> list[list[str]]:
    """Give the commands that set the limits of the QoS: they name GPU types, which slurmctld has to announce first."""
    return [["sacctmgr", "--immediate", "modify", "qos", qos.name, "set", *qos.options] for qos in hardware.qos]
