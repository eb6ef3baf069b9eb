"""`manage.py compare_legacy URL`: when jobs fire there and here, without firing any (docs/moving-in.md)."""

import json
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs.importing.legacy.comparison import Comparison, compare
from jobs.importing.legacy.source import opened

DIFFERENT = 1
UNUSABLE = 2
DAYS = range(1, 63)


class Command(BaseCommand):
    help = (
        "Compare the next fire times of both services. Ends with 0 where they are the same, with 1 where they differ."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="As for import_legacy.")
        parser.add_argument("--days", type=int, default=7, help="How far to look ahead. Default: 7.")
        parser.add_argument("--json", action="store_true", help="Print the differences as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] not in DAYS:
            raise CommandError(f"--days must be from {DAYS[0]} to {DAYS[-1]}.", returncode=UNUSABLE)
        try:
            with opened(options["url"]) as source:
                found = compare(source, now=database_now(), days=options["days"])
        except DomainError as error:
            raise CommandError(error.message or error.error, returncode=UNUSABLE) from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}", returncode=UNUSABLE) from None
        if options["json"]:
            listed = [difference._asdict() for difference in found.differences]
            self.stdout.write(json.dumps({"compared": found.compared, "differences": listed}, indent=2))
        else:
            self._show(found, options["days"])
        if found.differences:
            raise CommandError(f"Jobs that fire at other times: {len(found.differences)}.", returncode=DIFFERENT)

    def _show(self, found: Comparison, days: int) -> None:
        self.stdout.write(f"{found.compared} active jobs compared over {days} days.")
        if not found.differences:
            return
        grid = Table("Job", "Difference", "First only there", "First only here")
        for item in found.differences:
            cells = (item.name, item.what, "\n".join(item.only_there), "\n".join(item.only_here))
            grid.add_row(*map(Text, cells))
        Console(file=cast(IO[str], self.stdout)).print(grid)
