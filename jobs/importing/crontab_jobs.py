"""Make jobs of the entries of a crontab, with the report of an import."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction

from audit import origin
from audit.services import record_all
from cronsched.lib.errors import DomainError
from jobs.definitions import revisions, validation
from jobs.importing import crontab
from jobs.importing.crontab import Line
from jobs.importing.legacy.report import Finding, ImportReport
from jobs.models import Job, JobPause
from jobs.schedule.reschedule import next_fire

COMMAND = "import_crontab"
TABLE = "crontab"
UNTIL_RESUMED = "Imported from a crontab. Resume it when the line there is gone."
# curl waits for ever, wget for 15 minutes; a job here waits for 10 s unless it says otherwise.
TIMEOUT_SECONDS = 300
NO_LIMIT = f"It set no time limit: {TIMEOUT_SECONDS} seconds here."
REDIRECTS = "wget followed redirects: a job here does not, so give it the final address."


@dataclass(frozen=True)
class CrontabOptions:
    """What holds for all jobs of a crontab."""

    team: str
    end_date: date
    activate: bool = False
    dry_run: bool = False


def import_lines(lines: Sequence[Line], options: CrontabOptions, report: ImportReport, *, now: datetime) -> None:
    """Create a job for each entry that can be one, in one transaction. A job of the same name is left as it is."""
    there = set(Job.objects.values_list("name", flat=True))
    count = report.table(TABLE)
    jobs = []
    for line, name in zip(lines, crontab.names(lines), strict=True):
        count.read += 1
        if line.problem:
            report.leave_out(Finding(TABLE, f"line {line.number}", "", line.problem, line.text))
        elif name in there:
            count.present += 1
        elif job := _job(line, name, options, report, now):
            jobs.append(job)
            count.imported += 1
    if not options.dry_run:
        _store(jobs, options, now)


def _job(line: Line, name: str, options: CrontabOptions, report: ImportReport, now: datetime) -> Job | None:
    sent = {**definition(line), "name": name, "pic_team": options.team, "end_date": options.end_date.isoformat()}
    place = f"line {line.number}"
    try:
        values = validation.for_create(sent, now=now)
    except DomainError as error:
        report.leave_out(Finding(TABLE, place, name, error.message or error.error, line.text))
        return None
    assert line.call is not None
    if line.call.timeout_seconds is None:
        report.note(Finding(TABLE, place, name, NO_LIMIT))
    if line.call.program == "wget":
        report.note(Finding(TABLE, place, name, REDIRECTS, line.call.url))
    job = Job(**values, created_at=now, revision=1)
    job.is_active = options.activate
    job.next_fire_at, job.schedule_error = next_fire(job, now)
    return job


def definition(line: Line) -> dict[str, Any]:
    """Return what an entry says as a caller of the API would send it."""
    assert line.call is not None
    return {
        "cron_expression": line.cron_expression,
        "timezone": line.zone or None,
        "target_url": line.call.url,
        "timeout_seconds": TIMEOUT_SECONDS,
        **line.call.options,
    }


def _store(jobs: Sequence[Job], options: CrontabOptions, now: datetime) -> None:
    with transaction.atomic(), origin.acting_from(origin.Origin(command=COMMAND)):
        Job.objects.bulk_create(jobs)
        if not options.activate:
            JobPause.objects.bulk_create(
                JobPause(job=job, began_at=now, by_name=COMMAND, reason=UNTIL_RESUMED) for job in jobs
            )
        entries = []
        for job in jobs:
            changes = revisions.differences(revisions.NOTHING, revisions.definition_of(job))
            entries.append(revisions.entry(job, "created", changes, reason="Imported from a crontab."))
        record_all(entries, by=None, now=now)
