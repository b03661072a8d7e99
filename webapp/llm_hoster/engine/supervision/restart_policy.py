"""When something that has died is started again, and when it is given up."""

from __future__ import annotations

# The first restart comes at once: most crashes come alone. What crashes again right away is given time to get free.
DELAYS_S = (0.0, 3.0, 10.0)
# Who has served so long does not crash in a loop.
PROVEN_S = 20 * 60.0


class RestartPolicy:
    """Counts crashes. How long a start takes does not matter: a large model loads for many minutes."""

    def __init__(self) -> None:
        self._crashes = 0

    def delay_after_crash(self, served_s: float) -> float | None:
        """
        Give the seconds to wait before the next start; None = it has crashed too often.

        `served_s` is for how long it served before this crash, 0 when it never did.
        """
        if served_s >= PROVEN_S:
            self._crashes = 0
        self._crashes += 1
        return DELAYS_S[self._crashes - 1] if self._crashes <= len(DELAYS_S) else None

    def forget(self) -> None:
        """Begin anew: somebody has changed something."""
        self._crashes = 0
