"""`manage.py import_legacy URL`: everything from the database of the older service (docs/moving-in.md)."""

import json
from argparse import ArgumentParser
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cronsched.lib.clock import database_now
from cronsched.lib.db.writing import missing_migrations
from cronsched.lib.errors import DomainError
from jobs.definitions.validation import local_date
from jobs.importing.legacy import importer
from jobs.importing.legacy.report import ImportReport
from jobs.importing.legacy.screen import read_option_date, report_file, show
from jobs.importing.legacy.source import opened
from jobs.importing.legacy.state import ImportOptions
from jobs.importing.weekdays import Weekdays

ROWS_LEFT_OUT = 1
NOTHING_WRITTEN = 2
BATCHES = range(1, 10_001)


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
                file = stack.enter_context(report_file(options["report"]))
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
            show(report, self.stdout)
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


def _chosen(options: dict[str, Any]) -> ImportOptions:
    if options["batch"] not in BATCHES:
        raise DomainError("Invalid batch", f"--batch must be from {BATCHES[0]} to {BATCHES[-1]}.")
    since = read_option_date(options["since"], "--since")
    end_date = read_option_date(options["default_end_date"], "--default-end-date")
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
