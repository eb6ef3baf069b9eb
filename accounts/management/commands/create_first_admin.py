import secrets
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.services import create_first_admin
from audit.origin import Origin, acting_from
from cronsched.lib.errors import Conflict

RANDOM_PASSWORD_BYTES = 12
# Which variable holds the value that a field refuses.
VARIABLES = {"username": "DEFAULT_ADMIN_USERNAME", "email": "DEFAULT_ADMIN_EMAIL"}


class Command(BaseCommand):
    help = (
        "Create the first administrator from DEFAULT_ADMIN_* where there is no active one and ALLOW_DEFAULT_ADMIN is"
        " on. Does nothing otherwise, so it can run at every start."
    )

    def handle(self, **options: Any) -> None:
        if not settings.ALLOW_DEFAULT_ADMIN:
            self.stdout.write("ALLOW_DEFAULT_ADMIN is off: no administrator is created.")
            return
        given = settings.DEFAULT_ADMIN_PASSWORD
        password = given or secrets.token_urlsafe(RANDOM_PASSWORD_BYTES)
        try:
            with acting_from(Origin(command="create_first_admin")):
                user = create_first_admin(
                    username=settings.DEFAULT_ADMIN_USERNAME,
                    email=settings.DEFAULT_ADMIN_EMAIL,
                    password=password,
                    now=timezone.now(),
                )
        except Conflict:
            # No failure: `make run` starts all the same, and everybody else can sign in.
            self.stdout.write(
                "There is no active administrator, and none was created: the name or address belongs to another"
                " account. Set DEFAULT_ADMIN_USERNAME and DEFAULT_ADMIN_EMAIL to others and run"
                " manage.py create_first_admin again."
            )
            return
        except ValidationError as error:
            raise CommandError(f"The first administrator cannot be created: {_words(error)}") from None
        if user is None:
            self.stdout.write("There is an administrator already.")
        elif given:
            self.stdout.write(f'Administrator "{user.username}" created with the password of DEFAULT_ADMIN_PASSWORD.')
        else:
            self.stdout.write(f'Administrator "{user.username}" created. Password, shown only now: {password}')


def _words(error: ValidationError) -> str:
    """Return one line that names the variables at fault."""
    if not hasattr(error, "error_dict"):
        return f"DEFAULT_ADMIN_PASSWORD: {' '.join(error.messages)}"
    problems = (f"{VARIABLES.get(field, field)}: {' '.join(texts)}" for field, texts in error.message_dict.items())
    return "; ".join(problems)
