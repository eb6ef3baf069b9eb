"""`manage.py mark_restored`: after a restore of an older database, record what was due since as restored."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from jobs.management.acting import EXIT_CODES, ActingCommand, add_json
from jobs.schedule import restored


class Command(ActingCommand):
    help = (
        "To be run after an older backup was restored, before a scheduler is started: what was due since the backup"
        " may have been sent. It is recorded as restored, and not sent again." + EXIT_CODES
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count.")
        add_json(parser)

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        marked = restored.mark(now=now, dry_run=options["dry_run"])
        verb = "would be recorded" if options["dry_run"] else "recorded"
        line = f"{marked.fire_times} fire times of {marked.jobs} jobs {verb} as restored; {marked.queued} queued runs"
        ending = "would be given up." if options["dry_run"] else "given up."
        document = {"dry_run": options["dry_run"], **marked._asdict()}
        self.write(document, [f"{line} {ending}"], as_json=options["json"])
