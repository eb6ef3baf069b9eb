from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import second_factors
from accounts.services import find_account
from audit.origin import Origin, acting_from

UNUSABLE = 2


class Command(BaseCommand):
    help = (
        "Remove all second factors and recovery codes of a person who has lost them. Exit code 0: done; 2: there is no"
        " such account."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name or e-mail of the account")

    def handle(self, *, username: str, **options: Any) -> None:
        user = find_account(username)
        if user is None:
            raise CommandError(f"There is no account {username}.", returncode=UNUSABLE)
        with acting_from(Origin(command="reset_second_factor")):
            number = second_factors.reset(user, by=None, now=timezone.now())
        self.stdout.write(f"{number} second factor{'' if number == 1 else 's'} of {user} removed.")
