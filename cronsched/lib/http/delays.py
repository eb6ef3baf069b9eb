"""Delays of the loop: how long ready events wait."""

import math

KEPT = 4096


class LoopDelay:
    """The delays of the loop's last turns, in seconds. One thread records, any may read."""

    def __init__(self) -> None:
        self._ring: list[float] = []
        self._turns = 0

    def record(self, seconds: float) -> None:
        if len(self._ring) < KEPT:
            self._ring.append(seconds)
        else:
            self._ring[self._turns % KEPT] = seconds
        self._turns += 1

    def quantile(self, share: float) -> float:
        """Return what `share` of the delays do not exceed, 0 where there was no turn."""
        delays = sorted(self._ring)
        return delays[max(0, math.ceil(share * len(delays)) - 1)] if delays else 0.0

    @property
    def p99(self) -> float:
        return self.quantile(0.99)

    @property
    def worst(self) -> float:
        return self.quantile(1.0)
