"""`manage.py bulk_upload jobs.csv`: the upload of the API from the console (contract, section 10)."""

import json
from argparse import ArgumentParser
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
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs.importing.rows import Report, Table, read_table
from jobs.services import import_jobs

ROWS_FAILED = 1
UNUSABLE = 2


class Command(BaseCommand):
    help = "Create jobs from a CSV file. Ends with 1 where rows were left out, with 2 where nothing could be read."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="CSV file: UTF-8, separated by commas, with a header row.")
        parser.add_argument("--dry-run", action="store_true", help="Only check the rows.")
        parser.add_argument("--owner", metavar="USERNAME", help="Whose the jobs will be. Default: nobody's.")
        parser.add_argument(
            "--default-github-owner", metavar="OWNER", default="", help="For rows that name no GitHub owner."
        )
        parser.add_argument(
            "--update-existing", action="store_true", help="Rows that name an existing job change that job."
        )
        parser.add_argument("--json", action="store_true", help="Print the report as the API answers it.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            table = read_table(_content(options["file"]))
            report = self._import(table, _owner(options["owner"]), options)
        except DomainError as error:
            raise CommandError(error.message or error.error, returncode=UNUSABLE) from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}", returncode=UNUSABLE) from None
        if options["json"]:
            self.stdout.write(json.dumps(report.body, indent=2, ensure_ascii=False))
        else:
            self._show(report)
        if report.errors:
            raise CommandError(f"{_rows(len(report.errors))} left out.", returncode=ROWS_FAILED)

    def _import(self, table: Table, owner: User | None, options: dict[str, Any]) -> Report:
        # On standard error, so that a redirected report holds nothing else; on a terminal only.
        console = Console(stderr=True)
        columns = TextColumn("Checking rows"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("rows", total=len(table.rows))
            return import_jobs(
                table,
                by=owner,
                now=database_now(),
                default_owner=options["default_github_owner"],
                update_existing=options["update_existing"],
                dry_run=options["dry_run"],
                on_row=lambda: progress.advance(task),
            )

    def _show(self, report: Report) -> None:
        if report.errors:
            self._show_errors(report.errors)
        jobs = "Jobs that would be" if report.dry_run else "Jobs"
        self.stdout.write(f"{jobs} created: {report.created}, updated: {report.updated}.")
        blank = report.stats["removed_empty_row_count"], report.stats["removed_column_count"]
        if any(blank):
            self.stdout.write(f"Ignored: {blank[0]} blank rows, {blank[1]} columns without a name.")

    def _show_errors(self, errors: list[dict[str, Any]]) -> None:
        grid = Grid("Row", "Job", "Error", "Message", title="Rows left out")
        for error in errors:
            # As text: what a cell says must not be taken for markup.
            message = " ".join(filter(None, (error.get("message"), error.get("hint"))))
            grid.add_row(str(error["row"]), *(Text(part or "") for part in (error["name"], error["error"], message)))
        Console(file=cast(IO[str], self.stdout)).print(grid)


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
