"""`manage.py next_runs`: what a cron expression means, and when it fires next."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from jobs import cron
from jobs.api.cron_tools import MAX_COUNT, preview
from jobs.management.acting import EXIT_CODES, UNUSABLE, ActingCommand, add_json


class Command(ActingCommand):
    help = "Say what a cron expression means and when it fires next." + EXIT_CODES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("expression", metavar="EXPR", help="Five fields in quotes, such as '0 2 * * mon-fri'.")
        parser.add_argument("--tz", default="", metavar="ZONE", help="IANA zone. Default: the scheduler's.")
        parser.add_argument("--count", default="", help=f"How many, 1 to {MAX_COUNT}. Default: 5.")
        add_json(parser)

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        if options["count"] and options["count"] not in map(str, range(1, MAX_COUNT + 1)):
            raise CommandError(f"--count must be 1 to {MAX_COUNT}.", returncode=UNUSABLE)
        sent = {"expression": options["expression"], "timezone": options["tz"], "count": options["count"]}
        found = preview(sent, now=now)
        description = cron.describe(cron.parse(found["cron_expression"]))
        lines = [f"{description} ({found['timezone']})", *found["next_runs"], *found["warnings"]]
        self.write({**found, "description": description}, lines, as_json=options["json"])
