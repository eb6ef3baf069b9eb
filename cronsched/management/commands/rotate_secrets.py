"""`manage.py rotate_secrets`: put stored secrets under the key of the present settings."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronsched.lib.db.encrypted_columns import Survey, rotate, survey


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret anew by the first key (SECRETS_KEY, else SECRET_KEY); the others, listed as "
        "fallbacks, are needed for reading until it is done. May be ended and begun again at any time. "
        "Ends with 1 where something cannot be read by any key."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count.")
        parser.add_argument("--json", action="store_true", help="Print the counts as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        surveys = survey() if options["dry_run"] else rotate()
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], "columns": [asdict(one) for one in surveys]}))
        else:
            for one in surveys:
                self.stdout.write(_line(one, dry_run=options["dry_run"]))
        lost = sum(len(one.unreadable) for one in surveys)
        if lost:
            message = f"{lost} cannot be read by any key. Add the key they were written with to SECRETS_KEY_FALLBACKS."
            raise CommandError(message, returncode=1)


def _line(one: Survey, *, dry_run: bool) -> str:
    moved = f"{one.old} under an older key" if dry_run else f"{one.rotated} encrypted anew"
    line = f"{one.table}.{one.column}: {one.current} under the first key, {moved}"
    if one.unreadable:
        line += f", unreadable: {', '.join(one.unreadable)}"
    return f"{line}."
