"""NCCL, Gloo and Ray: what connects GPUs and nodes."""

from __future__ import annotations

from llm_hoster.engine.failures.cause import Cause

INTERFACE = "Tell the site's support: the interface belongs in `network` of site.yml."
AGAIN = "Launch again; if it stays so, tell the site's support."

CAUSES = (
    Cause(
        r"no (?:NCCL_SOCKET_IFNAME |socket )?interface found|with family \d+ is neither AF_INET",
        "NCCL, which connects the GPUs, finds no network interface that it may use.",
        INTERFACE,
        when="any",
    ),
    Cause(
        r"Unable to find address for:? ?(\S+)",
        r"This node has no network interface \1, which Gloo was told to use.",
        INTERFACE,
    ),
    Cause(
        r"Gloo connectFullMesh failed|makeDeviceForInterface|makeDeviceForHostname",
        "The parts of vLLM cannot reach one another over the network interface that Gloo chose.",
        INTERFACE,
    ),
    Cause(
        r"ibv_\w+ failed|NET/IB ?: Got completion|NET/IB ?: .*(?:error|failed)",
        "The InfiniBand or RoCE connection between the GPUs failed.",
        "Launch again on other nodes; if it stays so, tell the site's support: "
        "NCCL_IB_HCA or NCCL_IB_DISABLE in the engine's env of site.yml may help.",
        when="any",
    ),
    Cause(
        r"Watchdog caught collective operation timeout",
        "A GPU of the job waited in vain for another one.",
        "Start again; if it comes back, tell the site's support.",
        when="any",
    ),
    Cause(
        r"ncclRemoteError|remote process exited or there was a network error",
        "A part of vLLM on another GPU ended, or the network between them failed.",
        "Start again; if it comes back, tell the site's support.",
        when="any",
        is_vague=True,
    ),
    Cause(
        r"(?:NCCL|nccl).*(?:unhandled|internal|invalid|system)|NCCL error",
        "NCCL, which connects the GPUs, failed.",
        "Launch again; if it stays so, tell the site's support: "
        "NCCL_DEBUG=INFO in the engine's env of site.yml shows why.",
        when="any",
        is_vague=True,
    ),
    Cause(
        r"DistNetworkError|DistStoreError",
        "The parts of vLLM did not find one another in time.",
        AGAIN,
    ),
    Cause(
        r"Address already in use|EADDRINUSE",
        "A port or socket that vLLM needs is in use on this node.",
        "Launch again.",
    ),
    Cause(
        r"Cannot provide a placement group|exceeds the total number of available \w+ in the placement group"
        r"|You don't have enough GPUs available in a current node|Current node has no \w+ available",
        "Ray has fewer GPUs than this model was to be split over.",
        "Launch again; if it stays so, a node of the job may not join Ray: tell the site's support.",
    ),
    Cause(
        r"LocalRayletDiedError|raylet died|NodeDiedError|because its node has died|node was marked dead",
        "A node of the job was lost, or Ray on it ended.",
        "Start again; if it comes back, tell the site's support which nodes the job had.",
        when="any",
    ),
    Cause(
        r"Every node should have a unique IP address",
        "Two nodes of the job gave the same address.",
        INTERFACE,
    ),
    Cause(
        r"does not support ray|Failed to import Ray|Using Ray backend requires installation|No module named 'ray'",
        "This engine cannot use Ray, which a model over several nodes needs.",
        "Choose GPUs of one node, or another engine.",
    ),
    Cause(
        r"any running Ray instance|Failed to connect to GCS|Ray version mismatch|Version mismatch: The cluster",
        "vLLM cannot join Ray on this job's nodes.",
        AGAIN,
    ),
    Cause(
        r"RayWorkerProc rank=\[?([\d, ]+)\]? died unexpectedly",
        r"A part of vLLM on a node of the job ended without a word (rank \1).",
        "Start again; if it comes back, tell the site's support which nodes the job had.",
        when="any",
        is_vague=True,
    ),
    Cause(
        r"ActorDiedError|ActorUnavailableError|WorkerCrashedError|worker process has died",
        "A part of vLLM that Ray had started ended without a word.",
        "Start again; if it comes back, tell the site's support which nodes the job had.",
        when="any",
        is_vague=True,
    ),
)
