"""Serve the API and the console: `manage.py serve`."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronsched import serving, startup


class Command(BaseCommand):
    help = "Serve the API and the console at BIND_ADDRESS and PORT. SIGTERM lets requests in flight end."

    def handle(self, *args: Any, **options: Any) -> None:
        startup.look()
        startup.look_for_static_files()
        try:
            code = serving.serve()
        except serving.CannotListen as error:
            raise CommandError(str(error)) from None
        if code:
            sys.exit(code)
