"""What a launch costs, in service units (SU). The form, the card and the pages all take it from here."""

from __future__ import annotations

MILLIONTHS = 10**6
# The least time for which two sessions in a row run side by side.
OVERLAP_MINUTES = 10


def price_su(
    *, hours: float, cores: int, core_weight: float, num_gpus: int, gpu_weight: float, qos_factor: float = 1.0
) -> float:
    """Multiply hours, the weighted cores and GPUs, and the share of the charge that the QoS takes.

    Rounded to a millionth of an SU, so that binary fractions show neither in the form nor in JSON.
    """
    return round(hours * (cores * core_weight + num_gpus * gpu_weight) * qos_factor, 6)


def su_text(su_per_hour: float, hours: float = 1) -> str:
    """Write hours at a rate with one decimal, half up: counted in millionths, so that the form's script agrees."""
    return _tenths(round(su_per_hour * MILLIONTHS) * hours, MILLIONTHS)


def minutes_text(su_per_hour: float, minutes: int) -> str:
    """Write minutes at a rate, as `su_text` does hours."""
    return _tenths(round(su_per_hour * MILLIONTHS) * minutes, 60 * MILLIONTHS)


def share_text(su: float, allocation_su: float) -> str:
    """Write what share of an allocation an amount is, in per cent."""
    thousandths = round(su * MILLIONTHS) * 1000 // round(allocation_su * MILLIONTHS)
    if thousandths < 1:
        return "less than 0.1 %"
    return f"{_tenths(round(su * MILLIONTHS) * 100, round(allocation_su * MILLIONTHS))} %"


def _tenths(amount: float, unit: int) -> str:
    """Write amount / unit with one decimal, half up."""
    tenths = (int(amount) * 20 + unit) // (2 * unit)
    return f"{tenths // 10}.{tenths % 10}"
