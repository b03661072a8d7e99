"""What Slurm is asked for a choice. launch.rb says the same for the portal, and a test holds the two equal."""

from __future__ import annotations

from typing import Any

from llm_hoster.catalogue.choice import Choice
from llm_hoster.catalogue.compiled import Offer


def script_options(choice: Choice) -> dict[str, Any]:
    """Give `script` of submit.yml."""
    options: dict[str, Any] = {"wall_time": choice.hours * 3600, "native": _native(choice)}
    if choice.values.account:
        options["accounting_id"] = choice.values.account
    if choice.values.reservation:
        options["reservation_id"] = choice.values.reservation
    return options


def _native(choice: Choice) -> list[str]:
    offer = choice.offer
    return [
        f"--partition={offer.partition}",
        *([f"--qos={choice.qos.name}"] if choice.qos.name else []),
        *_gpus(offer),
        *([f"--constraint={offer.constraint}"] if offer.constraint else []),
        f"--nodes={offer.nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={offer.cores}",
        f"--mem={offer.memory_gib}G",
        "--no-requeue",  # a second start would find the first one's secret, port and conversation
        *(["--no-kill"] if offer.nodes > 1 else []),  # a lost node ends vLLM, not the session
        *(["--exclusive"] if offer.exclusive else []),
    ]


def _gpus(offer: Offer) -> list[str]:
    if offer.gres is None:
        return []
    return [f"--gres={offer.gres}"] if offer.nodes == 1 else [f"--gpus-per-node={offer.gres.removeprefix('gpu:')}"]
