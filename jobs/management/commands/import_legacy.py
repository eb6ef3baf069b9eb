"""`manage.py import_legacy URL`: everything from the database of the older service (docs/moving-in.md)."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.utils.dateparse import parse_date
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cronsched.lib.clock import database_now
from cronsched.lib.db.writing import missing_migrations
from cronsched.lib.errors import DomainError
from jobs.definitions.validation import local_date
from jobs.importing.legacy import importer
from jobs.importing.legacy.report import ImportReport
from jobs.importing.legacy.source import opened
from jobs.importing.legacy.state import ImportOptions
from jobs.importing.weekdays import Weekdays

ROWS_LEFT_OUT = 1
NOTHING_WRITTEN = 2
BATCHES = range(1, 10_001)
# Examples of a decision on the screen; the file has all of them.
EXAMPLES = 20
# Decisions about jobs and accounts are listed whole, however many there are.
LISTED_WHOLE = {"jobs", "users"}


class Command(BaseCommand):
    help = (
        "Import accounts, jobs, executions and notifications from the database of the older service. Ends with 0; with "
        "1 where rows were left out; with 2 where nothing was written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "url", help="sqlite:///folder/file.db or mysql://user:password@host/name; opened read-only."
        )
        parser.add_argument("--dry-run", action="store_true", help="Print the whole report and write nothing.")
        parser.add_argument(
            "--weekdays",
            choices=list(Weekdays),
            help="as-fired: jobs keep the days on which they fire today; as-written: they keep their text.",
        )
        parser.add_argument("--since", metavar="DATE", help="Only executions and notifications from this day (UTC) on.")
        parser.add_argument("--default-team", metavar="SLUG", default="", help="For jobs without a team.")
        parser.add_argument("--default-end-date", metavar="DATE", help="For jobs without an end date.")
        parser.add_argument("--activate", action="store_true", help="Jobs that are active there come in active.")
        parser.add_argument("--force", action="store_true", help="Even if the older scheduler fired a moment ago.")
        parser.add_argument("--batch", type=int, default=1000, metavar="ROWS", help="Rows per transaction: 1000.")
        parser.add_argument("--report", type=Path, metavar="FILE.csv", help="Write every decision into a file.")
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        with ExitStack() as stack:
            try:
                chosen = _chosen(options)
                file = stack.enter_context(_report_file(options["report"]))
                report = ImportReport(dry_run=chosen.dry_run, file=file)
                self._import(options["url"], chosen, report)
            except DomainError as error:
                raise CommandError(error.message or error.error, returncode=NOTHING_WRITTEN) from None
            except DatabaseError as error:
                message = f"The database cannot be used: {error} Run the command again: it goes on where it stopped."
                raise CommandError(message, returncode=NOTHING_WRITTEN) from None
        if options["json"]:
            self.stdout.write(json.dumps(report.body, indent=2, ensure_ascii=False))
        else:
            self._show(report)
        if report.questions:
            raise CommandError("Nothing was written.", returncode=NOTHING_WRITTEN)
        if report.left_out:
            raise CommandError(f"Rows left out: {report.left_out}.", returncode=ROWS_LEFT_OUT)

    def _import(self, url: str, chosen: ImportOptions, report: ImportReport) -> None:
        if missing_migrations(connection):
            raise CommandError("Run first: python manage.py migrate", returncode=NOTHING_WRITTEN)
        # On standard error, so that a redirected report holds nothing else; on a terminal only.
        console = Console(stderr=True)
        columns = TextColumn("Reading rows"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with (
            opened(url) as source,
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        ):
            task = progress.add_task("rows", total=importer.rows(source))
            importer.run(source, chosen, report, now=database_now(), on_row=lambda: progress.advance(task))

    # --- What is printed ---

    def _show(self, report: ImportReport) -> None:
        for line in report.questions:
            self.stdout.write(line)
        for line in report.remarks:
            self.stdout.write(line)
        if report.tables:
            self._print(_counts(report))
        for (table, decision), count in report.decisions.items():
            self._show_decision(report, table, decision, count)
        if not report.questions and report.batch_id:
            self.stdout.write(f"Jobs that were active there are paused under the batch_id {report.batch_id}.")

    def _show_decision(self, report: ImportReport, table: str, decision: str, count: int) -> None:
        self.stdout.write(f"{table}: {count}: {decision}")
        found = list(report.of_decision(table, decision))
        shown = found if table in LISTED_WHOLE else found[:EXAMPLES]
        grid = Table("Id", "Name", "Detail", show_header=True)
        for finding in shown:
            # As text: what a cell says must not be taken for markup.
            grid.add_row(*(Text(" ".join(part.split())) for part in (finding.id, finding.name, finding.detail)))
        self._print(grid)
        if count > len(shown):
            self.stdout.write(f"and {count - len(shown)} more; --report FILE.csv lists all of them.")

    def _print(self, grid: Table) -> None:
        Console(file=cast(IO[str], self.stdout)).print(grid)


def _counts(report: ImportReport) -> Table:
    imported = "Would come in" if report.dry_run else "Imported"
    grid = Table("Table", "Read", imported, "Here already", "Left out")
    for name, count in report.tables.items():
        figures = (count.read, count.imported, count.present, count.left_out)
        grid.add_row(name, *(f"{figure:,}" for figure in figures))
    return grid


@contextmanager
def _report_file(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise DomainError("Invalid report", f"--report: {path} cannot be written: {error.strerror}.") from None
    with file:
        yield file


def _chosen(options: dict[str, Any]) -> ImportOptions:
    if options["batch"] not in BATCHES:
        raise DomainError("Invalid batch", f"--batch must be from {BATCHES[0]} to {BATCHES[-1]}.")
    since = _date(options["since"], "--since")
    end_date = _date(options["default_end_date"], "--default-end-date")
    if end_date and end_date < local_date(database_now()):
        raise DomainError("Invalid end date", "--default-end-date must be today or in the future.")
    return ImportOptions(
        weekdays=Weekdays(options["weekdays"]) if options["weekdays"] else None,
        since=datetime(since.year, since.month, since.day, tzinfo=UTC) if since else None,
        default_team=options["default_team"].strip(),
        default_end_date=end_date,
        activate=options["activate"],
        force=options["force"],
        batch=options["batch"],
        dry_run=options["dry_run"],
    )


def _date(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise DomainError("Invalid date", f"{option} must be YYYY-MM-DD.")
    return found
