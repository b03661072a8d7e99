"""What a launch costs, in service units (SU). The form, the card and the pages all take it from here."""

from __future__ import annotations


def price_su(
    *, hours: float, cores: int, core_weight: float, num_gpus: int, gpu_weight: float, qos_factor: float = 1.0
) -> float:
    """Multiply hours, the weighted cores and GPUs, and the share of the charge that the QoS takes.

    Rounded to a millionth of an SU, so that binary fractions show neither in the form nor in JSON.
    """
    return round(hours * (cores * core_weight + num_gpus * gpu_weight) * qos_factor, 6)
