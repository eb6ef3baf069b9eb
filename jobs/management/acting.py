"""The base of commands that act on jobs: who acts, which jobs are meant, and the exit codes.

They act as the operator at the console, who may do what an administrator may. The audit trail names the command.
Exit codes: 0 done, 1 something was refused or failed, 2 what was asked for cannot be understood.
"""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from audit.origin import Origin, acting_from
from cronsched.lib.clock import database_now
from cronsched.lib.db.outages import first_line
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from jobs import bulk_acts
from jobs.bulk_acts import DONE, REFUSED, Act, Outcome
from jobs.definitions.job_filter import FILTERS
from jobs.models import Job

FAILED = 1
UNUSABLE = 2
EXIT_CODES = " Exit code 0: done; 1: something was refused; 2: what was asked for cannot be understood."


class ActingCommand(BaseCommand):
    """A command whose changes stand in the audit trail under its name. `act` does the work."""

    def handle(self, *args: Any, **options: Any) -> None:
        name = type(self).__module__.rpartition(".")[2]
        try:
            with acting_from(Origin(command=name)):
                self.act(database_now(), options)
        except DomainError as refusal:
            raise CommandError(refusal.message or refusal.error, returncode=UNUSABLE) from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {first_line(error)}", returncode=UNUSABLE) from None

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        """Do it. Raises `DomainError` or `CommandError`."""
        raise NotImplementedError

    def write(self, document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
        """Print the result, as JSON or as lines."""
        text = json.dumps(document, indent=2, ensure_ascii=False) if as_json else "\n".join(lines)
        self.stdout.write(text)


def add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Print the result as JSON.")


def find_job(text: str) -> Job:
    """Return the job with that id or name. Raises `CommandError`."""
    key = known_id(text)
    job = Job.objects.filter(pk=key).first() if key else None
    job = job or Job.objects.filter(name=text).first()
    if job is None:
        raise CommandError(f"There is no job with the id or name {text!r}.", returncode=UNUSABLE)
    return job


# --- Acts on many jobs -----------------------------------------------------------------------------------------------


def add_jobs(parser: ArgumentParser) -> None:
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="Ids or names. Or name them by the options below.")
    for name in FILTERS:
        parser.add_argument(f"--{name.replace('_', '-')}", default="", help="As in GET /jobs.")
    add_json(parser)


def chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return which jobs are meant, in the words of a bulk act."""
    filters = {name: options[name] for name in FILTERS if options[name]}
    ids = [str(find_job(text).pk) for text in options["jobs"]]
    return {"ids": ids or None, "filter": filters or None}


class BulkCommand(ActingCommand):
    """A bulk action on the jobs that are named; `sends` are the options that go with it."""

    action: str
    sends: Sequence[str]

    def act(self, now: datetime, options: dict[str, Any]) -> None:
        sent = {"action": self.action, **chosen(options), **{name: options[name] for name in self.sends}}
        carry_out(self, sent, now=now, as_json=options["json"])


def carry_out(command: ActingCommand, sent: Mapping[str, Any], *, now: datetime, as_json: bool) -> None:
    """Do a bulk act and tell what became of each job. Raises `CommandError` where one was refused."""
    act = bulk_acts.read(sent, by=None, now=now)
    outcomes = bulk_acts.carry_out(act, bulk_acts.chosen(sent, act))
    summary = bulk_acts.summary(outcomes)
    document = {
        "action": sent["action"],
        "batch_id": str(act.batch_id) if act.batch_id else None,
        "counts": summary,
        "results": [outcome._asdict() for outcome in outcomes],
    }
    command.write(document, _lines(act, outcomes, summary), as_json=as_json)
    if summary[REFUSED]:
        raise CommandError(f"{summary[REFUSED]} of {len(outcomes)} jobs were refused.", returncode=FAILED)


def _lines(act: Act, outcomes: Sequence[Outcome], summary: Mapping[str, int]) -> Iterable[str]:
    names = dict(Job.objects.filter(pk__in=[outcome.id for outcome in outcomes]).values_list("pk", "name"))
    by_id = {str(key): name for key, name in names.items()}
    for outcome in outcomes:
        yield f"{outcome.outcome:<9}  {by_id.get(outcome.id, outcome.id)}: {outcome.message}"
    yield ", ".join(f"{number} {name}" for name, number in summary.items()) + "."
    if act.batch_id and act.sent["action"] == "pause" and summary[DONE]:
        yield f"Resume exactly these by: manage.py resume_jobs --batch {act.batch_id}"
