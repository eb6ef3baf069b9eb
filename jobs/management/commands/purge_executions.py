"""`manage.py purge_executions`: delete old history now instead of by the nightly retention."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from audit.services import Entry, record
from jobs.chores import prune_history
from jobs.management.acting import EXIT_CODES, UNUSABLE, ActingCommand, add_json

# A hundred years: what lies further back may be no date at all.
MOST_DAYS = 36_500


class Command(ActingCommand):
    help = "Delete settled executions that are older than so many days, in small portions." + EXIT_CODES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=int, required=True, metavar="DAYS", help=f"1 to {MOST_DAYS}.")
        parser.add_argument("--dry-run", action="store_true", help="Only count.")
        add_json(parser)

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        days, dry_run = options["older_than"], options["dry_run"]
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--older-than must be 1 to {MOST_DAYS}.", returncode=UNUSABLE)
        number = prune_history.older_than(days, now=now).count() if dry_run else prune_history.purge(days, now=now)
        if number and not dry_run:
            told = {"executions": (None, number), "older_than_days": (None, days)}
            record(Entry("history.purged", "", "old executions", told), by=None, now=now)
        verb = "would be deleted" if dry_run else "were deleted"
        document = {
            "older_than_days": days,
            "dry_run": dry_run,
            "deleted": 0 if dry_run else number,
            "matching": number,
        }
        self.write(document, [f"{number} executions {verb}."], as_json=options["json"])
