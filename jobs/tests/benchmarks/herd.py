"""What became of a herd: many requests due at one instant."""

import statistics
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from jobs.tests.benchmarks.target import Arrival


@dataclass(frozen=True)
class Herd:
    """One run of one contender: `size` requests due at `due_at`, and the requests that came.

    `processor_seconds` is what the senders used from due to the last arrival.
    """

    contender: str
    size: int
    due_at: float
    arrivals: tuple[Arrival, ...]
    processor_seconds: float

    @cached_property
    def times_arrived(self) -> Counter[int]:
        return Counter(arrival.number for arrival in self.arrivals)

    @property
    def lost(self) -> int:
        """How many had not come when the watch ended."""
        return self.size - len(self.times_arrived)

    @property
    def doubled(self) -> int:
        return len(self.arrivals) - len(self.times_arrived)

    @cached_property
    def lateness(self) -> list[float]:
        """How late each request came, in seconds, the earliest first."""
        return sorted(arrival.at - self.due_at for arrival in self.arrivals)

    @property
    def drain(self) -> float:
        """Seconds from due to the last arrival."""
        return self.lateness[-1]

    @property
    def per_second(self) -> float:
        return len(self.times_arrived) / self.drain

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.lateness, n=100, method="inclusive")[percent - 1]


def middle(herds: list[Herd]) -> Herd:
    """Return the run whose speed is the median."""
    return sorted(herds, key=lambda herd: herd.per_second)[len(herds) // 2]


def ratio(ours: list[Herd], theirs: list[Herd]) -> float:
    """Return how many times as fast as theirs ours were: the median over rounds, each with its own pair."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(mine.per_second / other.per_second for mine, other in pairs)
