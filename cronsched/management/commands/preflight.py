"""Says in one line why the processes cannot start, before they try."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from cronsched import startup
from cronsched.lib.db import older_service
from cronsched.lib.db.writing import try_to_write
from cronsched.serving.listener import CannotListen, listen


class Command(BaseCommand):
    help = "Check that the port is free and the database can be written; exits with 1 and one line if not."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", required=True, help="port the web process will listen on")

    def handle(self, *, port: str, **options: Any) -> None:
        check_port(settings.BIND_ADDRESS, port)
        check_database()


def check_port(address: str, port: str) -> None:
    """Raise CommandError unless `port` can be listened on at `address`."""
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise CommandError(f"PORT={port} is not a port number (1-65535).")
    try:
        listen(address, int(port)).close()
    except CannotListen as error:
        raise CommandError(str(error)) from None


def check_database() -> None:
    """Raise CommandError unless the database can be written, or where it is the older service's."""
    with startup.own_connection() as own:
        try:
            older_service.refuse(own)
            own.ensure_connection()
            if own.vendor == "sqlite":
                try_to_write(own)
        except (DatabaseError, ImproperlyConfigured) as error:
            reason = str(error).strip().splitlines()[0]
            database = own.settings_dict["NAME"]
            raise CommandError(f"The database {database} cannot be used: {reason}. See DATABASE_URL.") from None
