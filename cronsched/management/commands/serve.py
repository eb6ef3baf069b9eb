"""Serve the API and the console: `manage.py serve`."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cronsched import serving, startup
from cronsched.serving import shared_counts


class Command(BaseCommand):
    # The checks run below: a port that is taken gets its one line, whatever the checks would say.
    requires_system_checks: list[str] = []
    help = "Serve the API and the console at BIND_ADDRESS and PORT. SIGTERM lets requests in flight end."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            listener = serving.listen(settings.BIND_ADDRESS, settings.PORT)
        except serving.CannotListen as error:
            raise CommandError(str(error)) from None
        # The checks load the views, and with them what reads where to count.
        counts = shared_counts.prepare()
        try:
            self.check()
            startup.look()
            startup.look_for_static_files()
            code = serving.serve(listener)
        finally:
            shared_counts.remove(counts)
        if code:
            sys.exit(code)
