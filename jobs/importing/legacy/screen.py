"""What the commands that import have in common: the report on the screen and in a file, and dates among options."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Any, cast

from django.utils.dateparse import parse_date
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cronsched.lib.errors import DomainError
from jobs.importing.legacy.report import ImportReport

# Examples of a decision on the screen; the file has all of them.
EXAMPLES = 20
# Decisions about these are listed whole, however many there are.
LISTED_WHOLE = {"jobs", "users", "crontab"}


def show(report: ImportReport, out: Any) -> None:
    """Print the report: what has to be answered, what was counted, and each decision with its rows."""
    for line in (*report.questions, *report.remarks):
        out.write(line)
    if report.tables:
        _print(_counts(report), out)
    for (table, decision), count in report.decisions.items():
        _show_decision(report, table, decision, count, out)
    if not report.questions and report.batch_id:
        out.write(f"Jobs that were active there are paused under the batch_id {report.batch_id}.")


def _show_decision(report: ImportReport, table: str, decision: str, count: int, out: Any) -> None:
    out.write(f"{table}: {count}: {decision}")
    found = list(report.of_decision(table, decision))
    shown = found if table in LISTED_WHOLE else found[:EXAMPLES]
    grid = Table("Id", "Name", "Detail", show_header=True)
    for finding in shown:
        # As text: what a cell says must not be taken for markup.
        grid.add_row(*(Text(" ".join(part.split())) for part in (finding.id, finding.name, finding.detail)))
    _print(grid, out)
    if count > len(shown):
        out.write(f"and {count - len(shown)} more; --report FILE.csv lists all of them.")


def _print(grid: Table, out: Any) -> None:
    Console(file=cast(IO[str], out)).print(grid)


def _counts(report: ImportReport) -> Table:
    imported = "Would come in" if report.dry_run else "Imported"
    grid = Table("Table", "Read", imported, "Here already", "Left out")
    for name, count in report.tables.items():
        figures = (count.read, count.imported, count.present, count.left_out)
        grid.add_row(name, *(f"{figure:,}" for figure in figures))
    return grid


@contextmanager
def report_file(path: Path | None) -> Iterator[IO[str] | None]:
    """Yield the open file for all decisions, None where none is asked for. Raises `DomainError`."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise DomainError("Invalid report", f"--report: {path} cannot be written: {error.strerror}.") from None
    with file:
        yield file


def read_option_date(text: str | None, option: str) -> date | None:
    """Return the date of an option, None where it is not given. Raises `DomainError`."""
    if text is None:
        return None
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise DomainError("Invalid date", f"{option} must be YYYY-MM-DD.")
    return found
