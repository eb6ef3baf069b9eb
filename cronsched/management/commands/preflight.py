"""Say in one line why the processes could not start, before they try."""

from argparse import ArgumentParser
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

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
    """Raise CommandError unless a row could be written to the database now."""
    probe = connection.copy()
    # The pool would go on trying in the background and log each failure.
    probe.settings_dict["OPTIONS"].pop("pool", None)
    try:
        with closing(probe), probe.cursor() as cursor:
            if probe.vendor == "sqlite":
                # Taking the write lock is not enough: SQLite grants it on a read-only file, too.
                cursor.execute("BEGIN IMMEDIATE")
                cursor.execute("CREATE TABLE preflight_probe (id INTEGER)")
                cursor.execute("ROLLBACK")
    except (DatabaseError, ImproperlyConfigured) as error:
        reason = str(error).strip().splitlines()[0]
        database = probe.settings_dict["NAME"]
        raise CommandError(f"The database {database} cannot be used: {reason}. See DATABASE_URL.") from None
