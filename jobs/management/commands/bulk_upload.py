"""`manage.py bulk_upload jobs.csv`: the upload of the API from the console (contract, section 10)."""

import json
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid
from rich.text import Text

from accounts.models import User
from audit.origin import Origin, acting_from
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs.definitions.validation import local_date
from jobs.importing import rejected
from jobs.importing.csv_file import Table, read_table
from jobs.importing.file_options import FileOptions, read_options
from jobs.importing.report import Report
from jobs.importing.weekdays import Weekdays
from jobs.importing.writer import import_jobs

ROWS_FAILED = 1
UNUSABLE = 2


class Command(BaseCommand):
    help = "Create jobs from a CSV file. Ends with 1 where rows were left out, with 2 where nothing could be read."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="CSV file: UTF-8, separated by commas, with a header row.")
        parser.add_argument("--dry-run", action="store_true", help="Only check the rows.")
        parser.add_argument("--owner", metavar="USERNAME", help="The account that will own the jobs. Default: none.")
        parser.add_argument(
            "--default-github-owner", metavar="OWNER", default="", help="For rows that name no GitHub owner."
        )
        parser.add_argument(
            "--update-existing", action="store_true", help="Rows that name an existing job change that job."
        )
        parser.add_argument(
            "--end-date",
            metavar="DATE",
            default="",
            help="For rows without one, and for active rows whose own is past.",
        )
        parser.add_argument("--create-teams", action="store_true", help="Create the teams that do not exist.")
        parser.add_argument(
            "--map-team",
            metavar="OLD=NEW",
            action="append",
            default=[],
            help="Rows of the team OLD belong to the team NEW. May be given several times.",
        )
        parser.add_argument(
            "--weekdays",
            choices=list(Weekdays),
            default="",
            help="What numbers in the weekday field mean: as-written, 0 is Sunday as in crontab; as-fired, 0 is Monday "
            "as in the older service, so that fire times stay what they were there.",
        )
        parser.add_argument(
            "--rejected", type=Path, metavar="FILE.csv", help="Write the rows left out there, each with its reasons."
        )
        parser.add_argument("--json", action="store_true", help="Print the report as the API answers it.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            table = read_table(_content(options["file"]))
            report = self._import(table, _owner(options["owner"]), options)
            if options["rejected"] and report.errors:
                options["rejected"].write_text(rejected.as_csv(table, report), encoding="utf-8")
        except DomainError as error:
            raise CommandError(error.message or error.error, returncode=UNUSABLE) from None
        except OSError as error:
            raise CommandError(f"Cannot write {error.filename}: {error.strerror}.", returncode=UNUSABLE) from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}", returncode=UNUSABLE) from None
        if options["json"]:
            self.stdout.write(json.dumps(report.body, indent=2, ensure_ascii=False))
        else:
            self._show(report)
        if report.errors:
            raise CommandError(f"{_rows(len(report.errors))} left out.", returncode=ROWS_FAILED)

    def _import(self, table: Table, owner: User | None, options: dict[str, Any]) -> Report:
        now = database_now()
        # On standard error, so that a redirected report holds nothing else; on a terminal only.
        console = Console(stderr=True)
        columns = TextColumn("Checking rows"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        acting = acting_from(Origin(command="bulk_upload"))
        with acting, Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("rows", total=len(table.rows))
            return import_jobs(
                table,
                by=owner,
                now=now,
                options=_file_options(now, options),
                dry_run=options["dry_run"],
                on_row=lambda: progress.advance(task),
            )

    def _show(self, report: Report) -> None:
        for line in report.summary:
            self.stdout.write(f"  {line}")
        if report.errors:
            self._show_errors(report.errors)
        for item in report.warnings:
            self.stdout.write(f"Row {item['row']} ({item['name']}): {' '.join(item['warnings'])}")
        jobs = "Jobs that would be" if report.dry_run else "Jobs"
        self.stdout.write(f"{jobs} created: {report.created}, updated: {report.updated}.")
        blank = report.stats["removed_empty_row_count"], report.stats["removed_column_count"]
        if any(blank):
            self.stdout.write(f"Ignored: {blank[0]} blank rows, {blank[1]} columns without a name.")
        if report.ignored_columns:
            self.stdout.write(f"Columns that mean nothing here: {', '.join(report.ignored_columns)}.")
        if report.undecodable:
            rows = ", ".join(map(str, report.undecodable))
            self.stdout.write(
                f"{sum(report.undecodable.values())} bytes were not UTF-8 and are replaced, in rows {rows}."
            )
        if report.created_teams:
            self.stdout.write(f"Teams {'to be ' if report.dry_run else ''}created: {', '.join(report.created_teams)}.")

    def _show_errors(self, errors: list[dict[str, Any]]) -> None:
        grid = Grid("Row", "Job", "Error", "Message", title="Rows left out")
        for error in errors:
            # As text: the content of a cell must not be read as markup.
            for number, fault in enumerate(error["faults"]):
                row, name = (str(error["row"]), error["name"]) if number == 0 else ("", "")
                message = " ".join(filter(None, (fault["message"], error.get("hint") if number == 0 else None)))
                grid.add_row(row, *(Text(part or "") for part in (name, fault["error"], message)))
        Console(file=cast(IO[str], self.stdout)).print(grid)


def _file_options(now: datetime, options: dict[str, Any]) -> FileOptions:
    return read_options(
        # The operator at the command line may do what an admin may, whatever account will own the jobs.
        by=None,
        today=local_date(now),
        default_owner=options["default_github_owner"],
        update_existing=options["update_existing"],
        end_date=options["end_date"],
        create_teams=options["create_teams"],
        map_team=options["map_team"],
        weekdays=options["weekdays"],
    )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(settings.MAX_UPLOAD_BYTES + 1)
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.", returncode=UNUSABLE) from None
    if len(content) > settings.MAX_UPLOAD_BYTES:
        message = f"{path} has more than {settings.MAX_UPLOAD_BYTES} bytes (MAX_UPLOAD_BYTES). Split the file."
        raise CommandError(message, returncode=UNUSABLE)
    return content


def _owner(username: str | None) -> User | None:
    if username is None:
        return None
    owner = User.objects.filter(username__in={username, username.lower()}).first()
    if owner is None:
        raise CommandError(f"There is no account named {username!r}.", returncode=UNUSABLE)
    if not owner.is_active or not owner.can_write:
        raise CommandError(f"The account {owner.username!r} may not create jobs.", returncode=UNUSABLE)
    return owner


def _rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count} rows were"
