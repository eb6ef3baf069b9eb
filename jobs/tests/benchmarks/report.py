"""Tables of figures beside their bars: printed, and with BENCH_WRITE=1 written into docs/benchmarks.md."""

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cronsched.tests.processes import ROOT
from jobs.tests.benchmarks import machine

PAGE = ROOT / "docs" / "benchmarks.md"
WRITE = os.environ.get("BENCH_WRITE") == "1"
MISSED = "**missed**"


@dataclass
class Figures:
    """One table. `section` names the place in the page, which must exist there.

    The load is that of the moment the object was made, so make it before the work begins.
    """

    section: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    load: float = field(default_factory=machine.load)

    def add(self, *cells: str) -> None:
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def publish(self) -> None:
        """Show the table, and put it into the page where that is asked for."""
        table = Table(*self.columns, title=self.title)
        for row in self.rows:
            table.add_row(*(cell.strip("*") for cell in row), style="red" if MISSED in row else "")
        Console(width=max(180, Console().width)).print(table, f"load before: {self.load:.1f}", sep="\n")
        if WRITE:
            _put("machine", machine.description())
            _put(self.section, self._markdown())

    def _markdown(self) -> str:
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return (
            f"{table}\n\n{self.title}. Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; load before it {self.load:.1f}."
        )


def verdict(reached: bool) -> str:
    """Return the word for a bar that was reached, or for one that was not."""
    return "reached" if reached else MISSED


def at_most(figure: float, bar: float) -> str:
    return verdict(figure <= bar)


def at_least(figure: float, bar: float) -> str:
    return verdict(figure >= bar)


def size(variable: str, default: str) -> list[int]:
    """Return the numbers that the environment variable holds, separated by commas."""
    return [int(number) for number in os.environ.get(variable, default).split(",")]


def picture(name: str) -> Path:
    """Return where a picture for the page goes."""
    return PAGE.parent / "pictures" / name


def _put(section: str, text: str) -> None:
    page = PAGE.read_text()
    place = re.compile(rf"(<!-- {section} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert place.search(page), f"{PAGE.name} has no place for {section}"
    PAGE.write_text(place.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page))
