"""`manage.py why`: why a job ran or did not, from the console (beyond.md, section 4)."""

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from jobs.api.why import why_object
from jobs.history import why_question
from jobs.history.why_question import DEFAULT_LIMIT
from jobs.history.why_words import zone_of
from jobs.models import Job

OPTIONS = ("from", "to", "at", "limit")


class Command(BaseCommand):
    help = (
        "Print why a job ran or did not, at each time its expression named, newest first."
        " Exit code 0: done; 1: there is no such job, or an option cannot be understood; 2: an unknown option."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", help="Id or name of the job.")
        parser.add_argument("--from", default="", help="Date or ISO 8601 instant. Default: 24 hours before --to.")
        parser.add_argument("--to", default="", help="End of the range, not included. Default: now.")
        parser.add_argument("--at", default="", help="One instant instead of a range.")
        parser.add_argument("--limit", default=str(DEFAULT_LIMIT), help=f"How many to print. Default: {DEFAULT_LIMIT}.")
        parser.add_argument("--json", action="store_true", help="Write the answer of the API.")

    def handle(self, *args: Any, **options: Any) -> None:
        now = database_now()
        job = _find(options["job"])
        try:
            question = why_question.read({name: options[name] for name in OPTIONS}, now=now)
        except DomainError as error:
            raise CommandError(error.message or error.error) from None
        answer = why_object(job, question, now=now)
        if options["json"]:
            self.stdout.write(json.dumps(answer, indent=2))
            return
        zone = zone_of(job.zone_name)
        self.stdout.write(f"{job.name} ({job.cron_expression}, {zone.key})")
        for verdict in answer["verdicts"]:
            due_at = datetime.fromisoformat(verdict["due_at"]).astimezone(zone)
            self.stdout.write(f"{due_at:%Y-%m-%d %H:%M}  {verdict['verdict']:<16}  {verdict['sentence']}")
        counts = ", ".join(f"{number} {verdict}" for verdict, number in answer["counts"].items())
        cut = " Older ones are not shown: use --limit." if answer["truncated"] else ""
        self.stdout.write(f"{counts or 'No run was due.'}{cut}")


def _find(text: str) -> Job:
    """Return the job with that id or name. Raises `CommandError`."""
    key = known_id(text)
    job = Job.objects.filter(pk=key).first() if key else None
    job = job or Job.objects.filter(name=text).first()
    if job is None:
        raise CommandError(f"There is no job with the id or name {text!r}.")
    return job
