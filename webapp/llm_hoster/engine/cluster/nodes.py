"""The nodes of the job, and where they find each other."""

from __future__ import annotations

import fcntl
import os
import random
import re
import socket
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.errors import SessionError

SCONTROL_TIMEOUT_S = 10.0
SIOCGIFADDR = 0x8915  # linux/sockios.h
INTERFACE_NAME_MAX = 15
LOWEST_PORT = 20000
EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
PORT_TRIES = 50


@dataclass(frozen=True)
class JobNodes:
    """By the names that Slurm has for them; `own` is where the session's script runs."""

    own: str
    others: tuple[str, ...]

    @property
    def count(self) -> int:
        return 1 + len(self.others)


def read_job_nodes(environment: Mapping[str, str]) -> JobNodes:
    """Ask Slurm which nodes the job has; raise SessionError where it does not tell."""
    node_list, own = environment.get("SLURM_JOB_NODELIST"), environment.get("SLURMD_NODENAME")
    if not node_list or not own:
        raise SessionError("Slurm does not say which nodes this job has, and a session on several nodes must be a job.")
    try:
        answer = subprocess.run(  # noqa: S603 - a list, made by us
            ["scontrol", "show", "hostnames", node_list],  # noqa: S607 - sites install it anywhere
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=SCONTROL_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SessionError(f"`scontrol show hostnames {node_list}` does not work on the node {own}: {error}") from error
    names = answer.stdout.split()
    if own not in names:
        raise SessionError(f"The node {own} is none of the job's nodes, which are {', '.join(names) or 'none'}.")
    return JobNodes(own, tuple(name for name in names if name != own))


def address_of(interface: str) -> str:
    """Give this node's IPv4 address on a network interface; raise SessionError where it has none."""
    request = struct.pack("256s", interface.encode()[:INTERFACE_NAME_MAX])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket.fileno(), SIOCGIFADDR, request)
        except OSError as error:
            there = ", ".join(name for _, name in socket.if_nameindex())
            raise SessionError(
                f"The node {os.uname().nodename} has no IPv4 address on {interface}, the network.interface of site.yml"
                f" ({error.strerror}). Its interfaces are {there}."
            ) from error
    # struct ifreq: 16 bytes of name, then a sockaddr_in with family and port before the address.
    return socket.inet_ntoa(answer[20:24])


def free_port(address: str) -> int:
    """
    Find a port that nobody has, below those that the kernel gives away by itself.

    Between this and its use by another program it could be taken, but only by somebody who asks for this very number.
    """
    match = re.match(r"\d+", EPHEMERAL_PORTS.read_text())
    highest = max(LOWEST_PORT + 1000, int(match.group()) - 1 if match else 32767)
    for _ in range(PORT_TRIES):
        port = random.randint(LOWEST_PORT, highest)  # noqa: S311 - no secret
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            try:
                trial.bind((address, port))
            except OSError:
                continue
            return port
    raise SessionError(f"The node {os.uname().nodename} has no free port between {LOWEST_PORT} and {highest}.")
