"""Serve the API and the console: `manage.py serve`."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cronsched import serving, startup


class Command(BaseCommand):
    # Asked for below: a port that is taken is told in one line, whatever else could be said.
    requires_system_checks: list[str] = []
    help = "Serve the API and the console at BIND_ADDRESS and PORT. SIGTERM lets requests in flight end."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            listener = serving.listen(settings.BIND_ADDRESS, settings.PORT)
        except serving.CannotListen as error:
            raise CommandError(str(error)) from None
        self.check()
        startup.look()
        startup.look_for_static_files()
        if code := serving.serve(listener):
            sys.exit(code)
