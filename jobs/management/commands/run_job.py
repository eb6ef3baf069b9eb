"""`manage.py run_job`: run a job once, from the console."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from cronsched.lib.errors import DomainError
from cronsched.lib.input.strict_json import parse_json
from jobs import services
from jobs.dispatch import manual
from jobs.management.acting import EXIT_CODES, FAILED, UNUSABLE, ActingCommand, add_json, find_job
from jobs.models import JobExecution, Status

GRACE_SECONDS = 30.0


class Command(ActingCommand):
    help = (
        "Run a job once, active or not, and wait for its end. Needs no scheduler."
        + EXIT_CODES
        + " A run that failed is 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", help="Id or name of the job.")
        parser.add_argument("--metadata", metavar="JSON", help="What is sent instead of the job's metadata.")
        parser.add_argument("--queue", action="store_true", help="Leave it to the scheduler and do not wait.")
        add_json(parser)

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        job = find_job(options["job"])
        sent = {"metadata": _object(options["metadata"])} if options["metadata"] else {}
        if options["queue"]:
            execution = services.queue_run(job.pk, sent, by=None, now=now)
        else:
            execution = services.run_now(job, sent, by=None, now=now)
            if execution.status == Status.RUNNING:
                # It takes longer than a caller of the API would wait for.
                manual.drain(job.timeout_seconds + GRACE_SECONDS)
                execution = JobExecution.objects.get(pk=execution.pk)
        shown = {
            "execution_id": str(execution.pk),
            "job_id": str(job.pk),
            "job_name": job.name,
            "status": execution.status,
            "response_status": execution.response_status,
            "duration_seconds": execution.duration_seconds,
            "error_message": execution.error_message,
            "output": execution.output,
        }
        detail = execution.error_message or execution.output or ""
        line = f"{job.name}: {execution.status} (execution {execution.pk})"
        self.write(shown, [line, *([detail] if detail else [])], as_json=options["json"])
        if execution.status in (Status.FAILED, Status.UNKNOWN):
            raise CommandError(f"The run ended as {execution.status}.", returncode=FAILED)


def _object(text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except DomainError as error:
        raise CommandError(f"--metadata is no JSON: {error.message or error.error}", returncode=UNUSABLE) from None
    if not isinstance(value, dict):
        raise CommandError("--metadata must be a JSON object.", returncode=UNUSABLE)
    return value
