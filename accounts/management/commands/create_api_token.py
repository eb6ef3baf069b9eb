from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import api_tokens
from accounts.services import find_account
from audit.origin import Origin, acting_from
from cronsched.lib.errors import DomainError


class Command(BaseCommand):
    help = "Create an API token for an account and print its secret, which cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name or e-mail of the account the token acts as")
        parser.add_argument("--name", required=True, help="what the token is for")
        parser.add_argument(
            "--scope", action="append", choices=api_tokens.SCOPES, required=True, help="may be given several times"
        )
        parser.add_argument("--expires-days", type=int, metavar="DAYS", help="default: it does not expire")
        parser.add_argument("--allow", action="append", metavar="NETWORK", help="where it may be used from")

    def handle(self, *, username: str, name: str, scope: list[str], **options: Any) -> None:
        now, owner = timezone.now(), find_account(username)
        if owner is None:
            raise CommandError(f"There is no account {username}.")
        if not owner.is_active:
            raise CommandError(f"The account {username} is not active.")
        sent: dict[str, Any] = {"name": name, "scopes": scope, "allowed_ips": options["allow"]}
        if (days := options["expires_days"]) is not None:
            sent["expires_at"] = (now + timedelta(days=days)).isoformat()
        try:
            with acting_from(Origin(command="create_api_token")):
                made = api_tokens.create(sent, owner=owner, by=None, now=now)
        except DomainError as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(made.secret)
