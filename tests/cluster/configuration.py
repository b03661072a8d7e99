"""Slurm's configuration files for nodes with fake cores and fake GPUs."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.hardware import HEAD, Hardware, Node

# Slurm's own is 30 s. Long enough that a session on a busy machine asks why it ends before it is killed.
KILL_WAIT_S = 10
KNOWN_ACCOUNTS = ("ucb-general", "lab")

# config_overrides lets a node claim more cores than the machine has.
SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={head.name}({head.address})
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=/run/slurm/state
SlurmdSpoolDir=/run/slurm/spool-%n
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd-%n.pid
SlurmctldLogFile={log_folder}/slurmctld.log
SlurmdLogFile={log_folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
KillWait={kill_wait_s}
ReturnToService=2
GresTypes=gpu
DefMemPerCPU=100
"""

# Without accounting Slurm takes any account name, so this refuses unknown ones with slurmdbd's answer.
JOB_SUBMIT_LUA = """\
local known = {{ {accounts} }}

function slurm_job_submit(job, partitions, uid)
    if job.account ~= nil and not known[job.account] then
        return slurm.ESLURM_INVALID_ACCOUNT or 2045
    end
    return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, uid)
    return slurm.SUCCESS
end
"""

ACCOUNTING_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={head.name}
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES={tres}
"""


def write_configuration(folder: Path, log_folder: Path, hardware: Hardware) -> None:
    """Write what /etc/slurm holds into `folder`."""
    lines = [SLURM_CONF.format(name=hardware.name, head=HEAD, log_folder=log_folder, kill_wait_s=KILL_WAIT_S)]
    if hardware.qos:
        tres = ["gres/gpu", *(f"gres/gpu:{name}" for name in hardware.gpu_names)]
        lines.append(ACCOUNTING_CONF.format(head=HEAD, tres=",".join(tres)))
    else:
        lines.append("JobSubmitPlugins=lua\n")
        accounts = ", ".join(f'["{account}"] = true' for account in KNOWN_ACCOUNTS)
        (folder / "job_submit.lua").write_text(JOB_SUBMIT_LUA.format(accounts=accounts))
    lines += [_node_line(node) for node in hardware.nodes]
    for partition in hardware.partitions:
        nodes = ",".join(partition.nodes)
        lines.append(
            f"PartitionName={partition.name} Nodes={nodes} MaxTime={partition.max_time} State=UP {partition.options}\n"
        )
    (folder / "slurm.conf").write_text("".join(lines))
    (folder / "gres.conf").write_text("".join(_gres_lines(node) for node in hardware.nodes))
    # Slurm 22.05 knows no "disabled" here; slurmd would die of it.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def write_hosts(path: Path, hardware: Hardware) -> None:
    lines = ["127.0.0.1 localhost", *(f"{node.address} {node.name}" for node in (HEAD, *hardware.nodes))]
    path.write_text("\n".join(lines) + "\n")


def _node_line(node: Node) -> str:
    gres = ",".join(f"gpu:{name}:{count}" for name, count in node.gpus)
    feature = f" Feature={node.feature}" if node.feature else ""
    return (
        f"NodeName={node.name} NodeAddr={node.address} CPUs={node.cores} RealMemory={node.memory_mib}"
        f" Gres={gres}{feature} State=UNKNOWN\n"
    )


def _gres_lines(node: Node) -> str:
    """Give each GPU of a node a device file of its own; Slurm refuses a node whose GPUs are only counted."""
    lines, first = "", 0
    for name, count in node.gpus:
        files = f"/run/slurm/device/gpu[{first}-{first + count - 1}]"
        lines += f"NodeName={node.name} Name=gpu Type={name} File={files}\n"
        first += count
    return lines
