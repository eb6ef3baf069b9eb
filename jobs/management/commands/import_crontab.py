"""`manage.py import_crontab FILE`: jobs of the curl and wget lines of a crontab (docs/moving-in.md)."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs.definitions.validation import local_date
from jobs.importing.crontab import read_crontab
from jobs.importing.crontab_jobs import CrontabOptions, import_lines
from jobs.importing.legacy.report import ImportReport
from jobs.importing.legacy.screen import read_option_date, report_file, show

LINES_LEFT_OUT = 1
NOTHING_WRITTEN = 2
MAX_BYTES = 1_000_000


class Command(BaseCommand):
    help = (
        "Make jobs of the curl and wget lines of a crontab; the others are listed with the reason. Ends with 0; with 1 "
        "where lines were left out; with 2 where nothing could be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="What crontab -l prints, in a file.")
        parser.add_argument("--default-team", metavar="SLUG", required=True, help="The team of all jobs.")
        parser.add_argument("--default-end-date", metavar="DATE", required=True, help="The end date of all jobs.")
        parser.add_argument("--users", action="store_true", help="The sixth column names a user, as in /etc/crontab.")
        parser.add_argument("--dry-run", action="store_true", help="Print the whole report and write nothing.")
        parser.add_argument("--activate", action="store_true", help="Jobs come in active, not paused.")
        parser.add_argument("--report", type=Path, metavar="FILE.csv", help="Write every decision into a file.")
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with report_file(options["report"]) as file:
                report = ImportReport(dry_run=options["dry_run"], file=file)
                self._import(options, report)
        except DomainError as error:
            raise CommandError(error.message or error.error, returncode=NOTHING_WRITTEN) from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}", returncode=NOTHING_WRITTEN) from None
        if options["json"]:
            self.stdout.write(json.dumps(report.body, indent=2, ensure_ascii=False))
        else:
            show(report, self.stdout)
        if report.left_out:
            raise CommandError(f"Lines left out: {report.left_out}.", returncode=LINES_LEFT_OUT)

    def _import(self, options: dict[str, Any], report: ImportReport) -> None:
        now = database_now()
        end_date = read_option_date(options["default_end_date"], "--default-end-date")
        if end_date is None or end_date < local_date(now):
            raise DomainError("Invalid end date", "--default-end-date must be today or in the future.")
        lines = list(read_crontab(_text(options["file"]), has_users=options["users"]))
        chosen = CrontabOptions(options["default_team"], end_date, options["activate"], options["dry_run"])
        import_lines(lines, chosen, report, now=now)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES or b"\x00" in content:
            raise DomainError("Invalid file", f"{path} is no crontab.")
        return content.decode()
    except UnicodeDecodeError:
        raise DomainError("Invalid file", f"{path} is no text in UTF-8.") from None
    except OSError as error:
        raise DomainError("Invalid file", f"Cannot read {path}: {error.strerror}.") from None
