"""Slurm's configuration files for two nodes with fake cores and fake GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Node:
    """A compute node: a network and a host name of its own, the file system of all."""

    name: str
    address: str


HEAD = Node("head", "10.77.0.254")
NODES = (Node("n1", "10.77.0.1"), Node("n2", "10.77.0.2"))
GPUS_PER_NODE = 2
CORES_PER_NODE = 16
# Slurm's own is 30 s. Long enough that a session on a busy machine asks why it ends before it is killed.
KILL_WAIT_S = 10
KNOWN_ACCOUNTS = ("ucb-general", "lab")

# config_overrides lets a node claim more cores than the machine has. Without accounting Slurm takes any account name,
# so job_submit.lua refuses unknown ones with the answer that slurmdbd would give.
SLURM_CONF = """\
ClusterName=llm-hoster-test
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
JobSubmitPlugins=lua
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
NodeName={nodes} CPUs={cores} RealMemory=64000 Gres=gpu:fake:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={node_names} Default=YES MaxTime=24:00:00 State=UP
PartitionName=gpu Nodes={node_names} MaxTime=24:00:00 State=UP
"""

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


def write_configuration(folder: Path, log_folder: Path) -> None:
    """Write what /etc/slurm holds into `folder`."""
    nodes = ",".join(node.name for node in NODES)
    addresses = ",".join(node.address for node in NODES)
    text = SLURM_CONF.format(
        head=HEAD,
        log_folder=log_folder,
        nodes=f"{nodes} NodeAddr={addresses}",
        node_names=nodes,
        cores=CORES_PER_NODE,
        gpus=GPUS_PER_NODE,
        kill_wait_s=KILL_WAIT_S,
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(
        f"NodeName={nodes} Name=gpu Type=fake File=/run/slurm/device/gpu[0-{GPUS_PER_NODE - 1}]\n"
    )
    # Slurm 22.05 knows no "disabled" here; slurmd would die of it.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    accounts = ", ".join(f'["{account}"] = true' for account in KNOWN_ACCOUNTS)
    (folder / "job_submit.lua").write_text(JOB_SUBMIT_LUA.format(accounts=accounts))


def write_hosts(path: Path) -> None:
    lines = ["127.0.0.1 localhost", *(f"{node.address} {node.name}" for node in (HEAD, *NODES))]
    path.write_text("\n".join(lines) + "\n")
