"""`manage.py hand_over`: give jobs another owner, from the console."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from accounts.models import User
from accounts.services import find_account
from jobs.management.acting import EXIT_CODES, UNUSABLE, ActingCommand, add_jobs, carry_out, chosen


class Command(ActingCommand):
    help = "Give jobs another owner: those named, or all of an account that leaves." + EXIT_CODES

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_jobs(parser)
        parser.add_argument("--from", metavar="ACCOUNT", help="Whose jobs: name or e-mail. Instead of naming them.")
        parser.add_argument("--to", metavar="ACCOUNT", required=True, help="The new owner: name or e-mail.")
        parser.add_argument("--reason", default="", help="Why; kept in the audit trail.")

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        if options["from"] and options["owner"]:
            raise CommandError("Say whose jobs by --from or by --owner, not by both.", returncode=UNUSABLE)
        if options["from"]:
            options["owner"] = str(_account(options["from"]).pk)
        sent = {"action": "hand_over", **chosen(options), "reason": options["reason"]}
        sent["owner"] = str(_account(options["to"]).pk)
        carry_out(self, sent, now=now, as_json=options["json"])


def _account(text: str) -> User:
    account = find_account(text)
    if account is None:
        raise CommandError(f"There is no account {text!r}.", returncode=UNUSABLE)
    return account
