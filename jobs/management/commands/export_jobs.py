"""`manage.py export_jobs`: the export of the API from the console (beyond.md, section 6)."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from cronsched.lib.errors import DomainError
from jobs.definitions.job_filter import FILTERS, filtered
from jobs.definitions.validation import local_date
from jobs.importing.export import FORMATS
from jobs.models import Job


class Command(BaseCommand):
    help = "Write jobs to a file that bulk_upload reads back unchanged (csv), or that people read (yaml)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=list(FORMATS), default="csv", help="Default: csv.")
        parser.add_argument("--output", type=Path, help="The file to write; standard output unless given.")
        for name in FILTERS:
            parser.add_argument(f"--{name.replace('_', '-')}", default="", help="As in GET /jobs.")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = {name: options[name] for name in FILTERS}
        try:
            jobs = filtered(Job.objects.all(), asked, by=None, today=local_date(timezone.now()))
        except DomainError as error:
            raise CommandError(error.message or error.error) from None
        text = FORMATS[options["format"]](jobs)
        if options["output"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["output"].write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise CommandError(f"{options['output']} cannot be written: {error.strerror}") from error
        self.stderr.write(f"Wrote {jobs.count()} jobs to {options['output']}.")
