"""The picture: how late each request of a herd came, for each contender."""

from collections.abc import Iterable
from pathlib import Path

from jobs.tests.benchmarks.herd import Herd

POINTS = 250
# A reader sees neither a thousandth of a second nor a curve that starts at nothing.
FLOOR_SECONDS = 0.01


def draw(herds: Iterable[Herd], file: Path) -> None:
    """Draw one line per herd: the n-th request to come, and how many seconds after due it did."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5))
    for herd in herds:
        numbers, seconds = _line(herd)
        axes.plot(numbers, seconds, label=f"{herd.contender}: {herd.drain:.1f} s")
    axes.set(xlabel="requests that have come", ylabel="seconds after due", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(title="last request after", loc="lower right")
    figure.tight_layout()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)


def _line(herd: Herd) -> tuple[list[int], list[float]]:
    step = max(1, len(herd.lateness) // POINTS)
    numbers = [*range(0, len(herd.lateness), step), len(herd.lateness) - 1]
    return [number + 1 for number in numbers], [max(FLOOR_SECONDS, herd.lateness[number]) for number in numbers]
