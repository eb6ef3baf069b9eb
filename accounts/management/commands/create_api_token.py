import json
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import api_tokens
from accounts.services import find_account
from accounts.views.tokens import token_object
from audit.origin import Origin, acting_from
from cronsched.lib.errors import DomainError

UNUSABLE = 2
# A hundred years: what lies further off may be no date at all.
MOST_DAYS = 36_500


class Command(BaseCommand):
    help = (
        "Create an API token for an account and print its secret, which cannot be shown again. Exit code 0: done;"
        " 1: the account may not; 2: what was asked for cannot be understood."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name or e-mail of the account the token acts as")
        parser.add_argument("--name", required=True, help="what the token is for")
        parser.add_argument(
            "--scope", action="append", choices=api_tokens.SCOPES, required=True, help="may be given several times"
        )
        parser.add_argument("--expires-days", type=int, metavar="DAYS", help="default: it does not expire")
        parser.add_argument("--allow", action="append", metavar="NETWORK", help="where it may be used from")
        parser.add_argument("--json", action="store_true", help="print the token and its secret as JSON")

    def handle(self, *, username: str, **options: Any) -> None:
        now, owner = timezone.now(), find_account(username)
        if owner is None:
            raise CommandError(f"There is no account {username}.", returncode=UNUSABLE)
        if not owner.is_active:
            raise CommandError(f"The account {username} is not active.")
        try:
            with acting_from(Origin(command="create_api_token")):
                made = api_tokens.create(_sent(options, now), owner=owner, by=None, now=now)
        except DomainError as refusal:
            raise CommandError(str(refusal), returncode=UNUSABLE) from None
        document = {"token": token_object(made.token), "secret": made.secret}
        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) if options["json"] else made.secret)


def _sent(options: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return what the options ask for, in the words of the API. Raises `CommandError`."""
    sent = {"name": options["name"], "scopes": options["scope"], "allowed_ips": options["allow"]}
    days = options["expires_days"]
    if days is None:
        return sent
    if abs(days) > MOST_DAYS:
        raise CommandError(f"--expires-days is too far off: at most {MOST_DAYS}.", returncode=UNUSABLE)
    return {**sent, "expires_at": (now + timedelta(days=days)).isoformat()}
