"""`manage.py seed_demo`: fill an empty database with a believable service, for tours and pictures."""

import secrets
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from jobs.management import demo
from jobs.management.acting import EXIT_CODES, UNUSABLE, ActingCommand, add_json


class Command(ActingCommand):
    help = (
        "Fill an empty database with people, teams, jobs and 30 days of history. Never a database with jobs."
        + EXIT_CODES
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password", help="Of all its accounts. Default: a random one, printed once.")
        parser.add_argument("--unless-filled", action="store_true", help="Do nothing where there are jobs.")
        add_json(parser)

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        if demo.is_filled():
            if options["unless_filled"]:
                self.write({}, ["There are jobs already: nothing was added."], as_json=options["json"])
                return
            raise CommandError(
                "There are jobs in this database. Name an empty one by DATABASE_URL.", returncode=UNUSABLE
            )
        password = options["password"] or secrets.token_urlsafe(9)
        made = demo.seed(base_url=f"http://127.0.0.1:{settings.PORT}", password=password, now=now)
        names = ", ".join(f"{name} ({role})" for name, role in demo.PEOPLE)
        lines = [f"Made {', '.join(f'{number} {kind}' for kind, number in made.items())}."]
        lines.append(f"Sign in as {names} with the password {password}")
        self.write({**made, "password": password}, lines, as_json=options["json"])
