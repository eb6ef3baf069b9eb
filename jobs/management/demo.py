"""A believable service for tours and pictures: people, teams, jobs, and 30 days of what became of them.

Definitions are made by the verbs that people use, at times that have passed, so that audit trail, revisions and pauses
are there as well. The history is written in bulk. Targets are this service's own pages, so no other server is called.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction

from accounts.models import Role, User
from accounts.services import AccountChanges, record_creation, update_account
from audit import origin
from audit.models import LeaderTerm
from cronsched.lib.ids import uuid7
from jobs import bulk_acts, cron, services
from jobs.definitions.validation import local_date
from jobs.history import daily_counts
from jobs.models import Job, JobExecution, JobPause, Status, TriggerType
from jobs.schedule import pauses
from jobs.schedule.pauses import Terms
from jobs.schedule.reschedule import next_fire
from taxonomy.models import JobCategory, PicTeam
from taxonomy.services import create_label

DAYS = 30
BATCH = 1000
# A time without a leader: how long ago it began, and how long it lasted.
OUTAGE = (timedelta(days=9, hours=4), timedelta(minutes=47))
NO_LEADER = "No scheduler was running at this time."
PEOPLE = (
    *(("maria", Role.ADMIN), ("daniel", Role.USER), ("priya", Role.USER)),
    *(("lena", Role.USER), ("tom", Role.VIEWER)),
)
# She has left and owns jobs.
LEAVER = "lena"
TEAMS = ("Platform", "Data", "Billing", "Support", "Shops", "Marketing")
CATEGORIES = ("Backups", "Reports", "Clean-up", "Synchronisation")


class Plan(NamedTuple):
    """One job: its share of failures, and how many of the latest runs have failed."""

    name: str
    expression: str
    team: str
    category: str
    owner: str
    failing: float = 0.01
    failed_last: int = 0
    days_left: int = 400
    metadata: Mapping[str, str] | None = None


CITIES = (
    *("Amsterdam", "Athens", "Barcelona", "Bergen", "Berlin", "Bordeaux", "Bratislava", "Brussels", "Cologne"),
    *("Copenhagen", "Dresden", "Dublin", "Florence", "Geneva", "Ghent", "Graz", "Hamburg", "Helsinki", "Krakow"),
    *("Lisbon", "Ljubljana", "Lyon", "Madrid", "Malmo", "Milan", "Munich", "Naples", "Oslo", "Paris", "Porto"),
)
SUPPLIERS = (
    *("Acacia", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel", "Ironwood", "Juniper", "Larch"),
    *("Maple", "Oak", "Pine", "Rowan", "Spruce", "Teak", "Willow"),
)
TABLES = ("baskets", "customers", "deliveries", "orders", "payments", "products", "refunds", "visits")
MARKETING = (
    "Abandoned baskets",
    "Birthday cards",
    "Coupons that end",
    "Loyalty points",
    "Newsletter",
    "Reviews asked for",
)
# Many of a kind: what a service is full of, and what is acted on together.
FAMILIES = (
    *(Plan(f"Prices for {city}", "0 9 * * mon", "Shops", "Synchronisation", "daniel") for city in CITIES),
    *(
        Plan(f"Feed of {name}", f"{number * 3} 5 * * *", "Shops", "Synchronisation", "daniel", days_left=10 + number)
        for number, name in enumerate(SUPPLIERS)
    ),
    *(
        Plan(f"Warehouse: {table}", f"{number * 5} 1 * * *", "Data", "Synchronisation", "priya")
        for number, table in enumerate(TABLES)
    ),
    *(
        Plan(name, f"{number * 7} 8 * * mon-fri", "Marketing", "Reports", LEAVER)
        for number, name in enumerate(MARKETING)
    ),
)
PLANS = (
    Plan("Nightly database backup", "0 2 * * *", "Platform", "Backups", "maria"),
    Plan("Hourly snapshot of the wiki", "20 * * * *", "Platform", "Backups", "daniel"),
    Plan("Restore drill", "0 6 * * sun", "Platform", "Backups", "maria", failing=0.2),
    Plan("Renew certificates", "15 4 * * mon,thu", "Platform", "Clean-up", "daniel"),
    Plan("Rotate access logs", "0 0 * * *", "Platform", "Clean-up", "daniel", days_left=5),
    Plan("Prune old sessions", "*/30 * * * *", "Platform", "Clean-up", "maria"),
    Plan(
        "Sales report", "30 7 * * mon-fri", "Data", "Reports", "priya", metadata={"region": "all", "day": "yesterday"}
    ),
    Plan("Warehouse load", "10 1 * * *", "Data", "Synchronisation", "priya", failing=0.1),
    Plan("Refresh dashboards", "*/20 * * * *", "Data", "Reports", "priya", failing=0.03),
    Plan("Exchange rates", "5 9,13,17 * * mon-fri", "Data", "Synchronisation", "priya", failing=0.05, failed_last=4),
    Plan("Clean staging tables", "45 3 * * *", "Data", "Clean-up", "priya"),
    Plan("Invoices of the day", "0 18 * * mon-fri", "Billing", "Reports", "daniel"),
    Plan("Payment reminders", "0 10 * * tue", "Billing", "Reports", "daniel"),
    Plan("Bank statements", "*/15 6-20 * * mon-fri", "Billing", "Synchronisation", "daniel", failing=0.02),
    Plan("Month end closing", "0 5 1 * *", "Billing", "Reports", "maria", days_left=20),
    Plan("Reconcile card payments", "40 2 * * *", "Billing", "Synchronisation", "daniel", failing=0.15, failed_last=2),
    Plan("Survey mails", "0 11 * * wed", "Support", "Reports", "priya"),
    Plan("Close silent tickets", "0 */4 * * *", "Support", "Clean-up", "priya"),
    Plan("Import phone calls", "*/10 * * * *", "Support", "Synchronisation", "priya", failing=0.02),
    Plan("Weekly hours", "0 8 * * mon", "Support", "Reports", "maria"),
    *FAMILIES,
)
FAILURES = (
    (500, "Webhook returned status 500", "upstream said: connection pool exhausted"),
    (503, "Webhook returned status 503", "maintenance"),
    (None, "Request failed: timed out after 10 s", None),
)


def is_filled() -> bool:
    return Job.objects.exists()


def seed(*, base_url: str, password: str, now: datetime) -> dict[str, int]:
    """Fill an empty database; return how many there are of each. All in one transaction: half a demo is none."""
    chance = random.Random("cronsched")  # noqa: S311 - the same demo each time
    with transaction.atomic():
        people = _people(password, now)
        _teams(people["maria"], now - timedelta(days=DAYS + 2))
        jobs = [(plan, _job(plan, people, base_url, now)) for plan in PLANS]
        _leaders(now)
        _changes({job.name: job for _, job in jobs}, people, now)
        for plan, job in jobs:
            _history(plan, job, chance, now)
        _settle(now)
        gone, left_at = AccountChanges(is_active=False), now - timedelta(days=2)
        update_account(people[LEAVER], gone, keep_session=None, by=people["maria"], now=left_at)
    return {
        "accounts": len(people),
        "teams": len(TEAMS),
        "jobs": len(jobs),
        "executions": JobExecution.objects.count(),
    }


def _people(password: str, now: datetime) -> dict[str, User]:
    people = {}
    for name, role in PEOPLE:
        user = User.objects.create_user(name, f"{name}@example.com", password, role=role)
        record_creation(user, by=None, now=now - timedelta(days=DAYS + 3))
        people[name] = user
    return people


def _teams(by: User, at: datetime) -> None:
    for name in TEAMS:
        create_label(PicTeam, {"name": name, "slack_handle": f"@{name.lower()}"}, by=by, now=at)
    for name in CATEGORIES:
        create_label(JobCategory, {"name": name}, by=by, now=at)


def _job(plan: Plan, people: Mapping[str, User], base_url: str, now: datetime) -> Job:
    sent: dict[str, Any] = {
        "name": plan.name,
        "cron_expression": plan.expression,
        "target_url": f"{base_url}/livez",
        "category": plan.category,
        "pic_team": plan.team,
        "end_date": str(local_date(now) + timedelta(days=plan.days_left)),
    }
    if plan.metadata:
        # What has inputs is posted, which the page does not take.
        sent |= {"metadata": dict(plan.metadata), "success_statuses": "200-299,405"}
    job = services.create_job(sent, by=people[plan.owner], now=now - timedelta(days=DAYS + 1))
    _rest(job)
    return job


def _rest(job: Job) -> None:
    """Keep later acts of the demo from recording what was due before them: the history is written apart."""
    Job.objects.filter(pk=job.pk).update(next_fire_at=None)
    job.next_fire_at = None


# --- What became of the jobs -----------------------------------------------------------------------------------------


def _leaders(now: datetime) -> None:
    gap_at = now - OUTAGE[0]
    back_at = gap_at + OUTAGE[1]
    LeaderTerm.objects.create(
        holder="cron-1:4711 demo",
        fence=-1,
        began_at=now - timedelta(days=DAYS + 1),
        seen_at=gap_at,
        ended_at=gap_at,
        end_reason="It stopped renewing its lease: it died, hung or lost the database.",
    )
    LeaderTerm.objects.create(
        holder="cron-2:815 demo", fence=0, began_at=back_at, seen_at=now, ended_at=now, end_reason="It was stopped."
    )


def _history(plan: Plan, job: Job, chance: random.Random, now: datetime) -> None:
    kept_back = [(pause.began_at, pause.ended_at or now) for pause in JobPause.objects.filter(job=job)]
    moments = [
        moment
        for moment in _fire_times(job, now)
        if not any(began_at <= moment <= ended_at for began_at, ended_at in kept_back)
    ]
    rows = [
        _execution(job, moment, chance, fails=place < plan.failed_last or chance.random() < plan.failing, now=now)
        for place, moment in enumerate(reversed(moments))
    ]
    for start in range(0, len(rows), BATCH):
        part = JobExecution.objects.bulk_create(rows[start : start + BATCH])
        daily_counts.add(daily_counts.of(JobExecution.objects.filter(pk__in=[row.pk for row in part])))
    if plan.failed_last:
        Job.objects.filter(pk=job.pk).update(consecutive_failures=plan.failed_last)


def _fire_times(job: Job, now: datetime) -> list[datetime]:
    """Return when the job was due in all the days of the demo."""
    first = now - timedelta(days=DAYS)
    return list(cron.fire_times_between(job.cron_expression, job.zone_name, after=first, until=now, limit=10_000))


def _execution(job: Job, moment: datetime, chance: random.Random, *, fails: bool, now: datetime) -> JobExecution:
    gap_at = now - OUTAGE[0]
    common: dict[str, Any] = {
        "id": uuid7(),
        "job": job,
        "trigger_type": TriggerType.SCHEDULED,
        "execution_type": "webhook",
        "target": job.target_url,
        "scheduled_for": moment,
        "queued_at": moment,
    }
    if gap_at <= moment < gap_at + OUTAGE[1]:
        back_at = gap_at + OUTAGE[1]
        missed = {"status": Status.MISSED, "reason": NO_LEADER, "started_at": back_at, "completed_at": back_at}
        return JobExecution(**common, **missed)
    took = round(chance.lognormvariate(-1.2, 0.9), 3)
    started_at = moment + timedelta(milliseconds=chance.randint(30, 900))
    status, message, output = chance.choice(FAILURES) if fails else (200, None, '{"status": "alive"}')
    return JobExecution(
        **common,
        status=Status.FAILED if fails else Status.SUCCESS,
        started_at=started_at,
        completed_at=started_at + timedelta(seconds=took),
        duration_seconds=took,
        response_status=status,
        error_message=message,
        output=output,
        request_snapshot=_request(job),
    )


def _request(job: Job) -> dict[str, Any]:
    method = "POST" if job.metadata else "GET"
    return {"method": method, "url": job.target_url, "headers": {}, "body": job.metadata or {}, "signed": False}


# --- What people did -------------------------------------------------------------------------------------------------


def _changes(jobs: Mapping[str, Job], people: Mapping[str, User], now: datetime) -> None:
    maria, daniel, priya = people["maria"], people["daniel"], people["priya"]
    for job, by, days, sent in _edits(jobs, people):
        services.update_job(job.pk, sent, by=by, now=now - timedelta(days=days))
        _rest(job)
    services.hand_over(
        jobs["Weekly hours"].pk, priya, by=maria, now=now - timedelta(days=12), reason="Support runs it themselves"
    )
    _rest(jobs["Weekly hours"])
    pause = Terms("Release of the new portal", now + timedelta(days=1), "last")
    services.pause_job(jobs["Survey mails"].pk, by=priya, now=now - timedelta(hours=20), terms=pause)
    waiting = Terms("Waits for the bank's new certificate")
    services.pause_job(jobs["Bank statements"].pk, by=daniel, now=now - timedelta(hours=3), terms=waiting)
    failing = jobs["Warehouse load"]
    # Whenever the demo is made, this job was paused when it was due last: within the 24 hours that Why shows unasked.
    due = max(_fire_times(failing, now))
    full = Terms("Disk full, waits for a larger one")
    services.pause_job(failing.pk, by=priya, now=due - timedelta(hours=3), terms=full)
    services.resume_job(failing.pk, by=priya, now=min(due + timedelta(hours=4), now), reason="Disk enlarged")
    _rest(failing)
    _slip(jobs["Clean staging tables"], maria, now - timedelta(minutes=40))
    unread = Terms("Nobody reads it")
    services.pause_job(jobs["Warehouse: visits"].pk, by=priya, now=now - timedelta(days=5), terms=unread)
    _outage([jobs[f"Warehouse: {table}"] for table in TABLES], maria, now - timedelta(minutes=50))


def _outage(jobs: Iterable[Job], by: User, at: datetime) -> None:
    """Pause what needs the warehouse, in one act: what was paused before is not of it."""
    act = bulk_acts.read({"action": "pause", "reason": "Outage of the warehouse"}, by=by, now=at)
    bulk_acts.carry_out(act, [job.pk for job in jobs])


def _slip(job: Job, by: User, at: datetime) -> None:
    """Change what its owner will want to undo."""
    with origin.acting_from(replace(origin.NOWHERE, reason="Less load at night")):
        services.update_job(job.pk, {"cron_expression": "45 13 * * *"}, by=by, now=at)


def _edits(jobs: Mapping[str, Job], people: Mapping[str, User]) -> Iterator[tuple[Job, User, int, dict[str, Any]]]:
    yield jobs["Nightly database backup"], people["maria"], 21, {"timeout_seconds": 60, "max_attempts": 3}
    yield jobs["Sales report"], people["priya"], 17, {"notify_on_success": True}
    yield jobs["Close silent tickets"], people["priya"], 11, {"cron_expression": "0 */3 * * *"}
    yield jobs["Close silent tickets"], people["priya"], 10, {"cron_expression": "0 */4 * * *"}
    yield jobs["Exchange rates"], people["priya"], 4, {"pause_after_failures": 20}


def _settle(now: datetime) -> None:
    """Schedule the active jobs from now on."""
    for job in Job.objects.active():
        job.next_fire_at, job.schedule_error = next_fire(job, now)
        Job.objects.filter(pk=job.pk).update(next_fire_at=job.next_fire_at)
    assert not any(pauses.current(job) for job in Job.objects.active())
