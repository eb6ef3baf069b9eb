"""The daily counts equal what a look at every row would give, whatever happens to the rows."""

import random
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from jobs.chores.sweep import sweep
from jobs.dispatch import Prepared
from jobs.history import daily_counts, retention
from jobs.models import OPEN_STATUSES, DailyCount, ExecutionType, Job, JobCount, JobExecution, Overlap, Status
from jobs.schedule.reschedule import reschedule
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.scheduler.helpers import MINUTE, claim, failure, make_due_job, record, start, success

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def counted_row_by_row(job_id=None):
    """Count the history row by row."""
    found: Any = defaultdict(lambda: [0, 0, 0.0])
    for row in JobExecution.objects.exclude(status__in=OPEN_STATUSES):
        if job_id not in (None, row.job_id):
            continue
        entry = found[row.started_at.astimezone(UTC).date(), row.status, row.trigger_type, row.execution_type or ""]
        entry[0] += 1
        if row.duration_seconds is not None:
            entry[1] += 1
            entry[2] += row.duration_seconds
    return {key: (number, timed, pytest.approx(seconds)) for key, (number, timed, seconds) in found.items()}


def stored(job_id=None):
    rows = DailyCount.objects.filter(job_key=job_id or daily_counts.ALL_JOBS).exclude(count=0, timed=0)
    fields = ("day", "status", "trigger_type", "execution_type", "count", "timed", "seconds")
    return {row[:4]: row[4:] for row in rows.values_list(*fields)}


def of_any_day(job_id):
    """Return the counts of a job whatever the day, and what its daily counts are together."""
    fields = ("status", "trigger_type", "execution_type")
    days: Any = defaultdict(lambda: [0, 0, 0.0])
    for (_day, *kind), amounts in stored(job_id).items():
        days[tuple(kind)] = [a + b for a, b in zip(days[tuple(kind)], amounts, strict=True)]
    rows = JobCount.objects.filter(job_key=job_id).exclude(count=0, timed=0)
    found = {row[:3]: [*row[3:]] for row in rows.values_list(*fields, "count", "timed", "seconds")}
    return found, {kind: [number, timed, pytest.approx(seconds)] for kind, (number, timed, seconds) in days.items()}


def assert_counts_are_right():
    for job_id in [None, *JobExecution.objects.order_by("job").values_list("job", flat=True).distinct()]:
        assert stored(job_id) == counted_row_by_row(job_id)
    for job in Job.objects.all():
        found, days = of_any_day(job.pk)
        assert found == days


class Life:
    """Some jobs, and everything that can happen to their executions."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now = NOON.replace(hour=23, minute=0)
        self.jobs = [
            make_due_job(next_fire_at=self.now, max_attempts=attempts, overlap=overlap)
            for attempts, overlap in ((1, Overlap.ALLOW), (3, Overlap.SKIP), (2, Overlap.QUEUE))
        ]
        self.out: list[Prepared] = []

    def step(self) -> None:
        self.now += self.dice.choice([MINUTE, 3 * MINUTE, 40 * MINUTE])
        self.dice.choice(
            [self.fire, self.fire, self.answer, self.answer, self.retry, self.sweep, self.pause, self.prune, self.run]
        )()

    def fire(self) -> None:
        self.out += claim(self.now, room=self.dice.randint(0, 3)).prepared

    def retry(self) -> None:
        self.out += start(*JobExecution.objects.filter(status=Status.QUEUED), now=self.now)

    def answer(self) -> None:
        for prepared in self.out[:2]:
            outcome = self.dice.choice([success(), failure(retryable=True), failure(execution_type=None)])
            record([prepared], outcome, at=self.now)
        del self.out[:2]

    def sweep(self) -> None:
        sweep(now=self.now, may_act=lambda: True)

    def pause(self) -> None:
        job = self.dice.choice(self.jobs)
        job.refresh_from_db()
        job.is_active = not job.is_active
        reschedule(job, now=self.now)
        job.save()

    def prune(self) -> None:
        settled = JobExecution.objects.exclude(status__in=OPEN_STATUSES).order_by("started_at")
        retention.delete(list(settled.values_list("pk", flat=True)[: self.dice.randint(0, 2)]))

    def run(self) -> None:
        execution = make_execution(self.dice.choice(self.jobs), status=Status.QUEUED, started_at=self.now)
        self.out += start(execution, now=self.now)


@pytest.mark.parametrize("seed", range(4))
def test_counts_follow_any_history(seed):
    life = Life(random.Random(seed))
    for _ in range(40):
        life.step()
    assert_counts_are_right()
    assert sum(number for number, *_ in stored().values()) > 5


def test_totals_cover_the_days_asked_for_both_included():
    job = make_job()
    for days in range(5):
        make_execution(job, started_at=NOON + timedelta(days=days), duration_seconds=2.0)
    make_execution(started_at=NOON)
    ask = partial(daily_counts.totals, job.pk)
    (total,) = ask(first_day=date(2026, 1, 16), last_day=date(2026, 1, 18))
    assert (total.status, total.number, total.timed, total.seconds) == ("success", 3, 3, 6.0)
    assert ask()[0].number == 5
    assert daily_counts.totals()[0].number == 6
    assert ask(first_day=date(2026, 2, 1)) == []


def test_open_rows_are_not_counted():
    make_execution(status=Status.RUNNING)
    assert daily_counts.totals() == []


def test_a_run_counts_on_the_day_it_started_in_utc():
    make_execution(started_at=datetime(2026, 1, 15, 23, 59, 59, tzinfo=UTC), completed_at=NOON + timedelta(days=1))
    assert [day for day, *_ in stored()] == [date(2026, 1, 15)]


def test_a_recount_mends_what_somebody_changed_in_the_database():
    job, other = make_job(), make_job()
    for execution_type in ("webhook", None):
        make_execution(job, duration_seconds=1.0, execution_type=execution_type)
    make_execution(other, status=Status.FAILED)
    assert daily_counts.recount(NOON.date()) == 0
    JobExecution.objects.filter(job=job, execution_type=None).update(status=Status.FAILED)
    JobExecution.objects.filter(job=other).delete()
    DailyCount.objects.filter(job_key=job.pk, execution_type="webhook").update(count=17, seconds=3.5)
    assert daily_counts.recount(NOON.date()) > 0
    assert daily_counts.recount_jobs() > 0
    assert_counts_are_right()
    assert daily_counts.recount_jobs() == 0
    assert stored(other.pk) == {}
    assert daily_counts.recount(NOON.date()) == 0


def test_a_recount_leaves_other_days_alone():
    make_execution(started_at=NOON - timedelta(days=1))
    DailyCount.objects.update(count=9)
    assert daily_counts.recount(NOON.date()) == 0
    assert Counter(DailyCount.objects.values_list("count", flat=True)) == {9: 2}


def test_jobs_are_recounted_in_portions(monkeypatch):
    monkeypatch.setattr("jobs.history.daily_counts.PORTION", 2)
    jobs = [make_job() for _ in range(5)]
    for job in jobs:
        make_execution(job, duration_seconds=1.0)
    JobCount.objects.filter(job_key__in=[job.pk for job in jobs[:3]]).delete()
    JobCount.objects.filter(job_key=jobs[3].pk).update(count=7)
    assert daily_counts.recount_jobs() == 4
    assert_counts_are_right()


@pytest.mark.django_db(transaction=True)
def test_an_earlier_releases_counts_are_added_up_when_it_is_upgraded():
    job = make_job()
    for days in (0, 1):
        make_execution(job, started_at=NOON - timedelta(days=days), duration_seconds=2.0)
    make_execution(job, status=Status.FAILED)
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes("jobs")
    MigrationExecutor(connection).migrate([("jobs", "0012_loop_delay_of_senders")])
    MigrationExecutor(connection).migrate(newest)
    assert JobCount.objects.count() == 2
    assert_counts_are_right()


def test_a_deleted_job_leaves_the_counts_of_all():
    job = make_job()
    make_execution(job)
    make_execution()
    daily_counts.forget(job.pk)
    assert daily_counts.totals(job.pk) == []
    assert not JobCount.objects.filter(job_key=job.pk).exists()
    assert daily_counts.totals()[0].number == 1


def test_executions_of_a_kind_are_found_within_the_days_on_which_it_occurs(db, django_assert_max_num_queries):
    job = make_job()
    webhooks = [make_execution(job, started_at=NOON - timedelta(days=days)) for days in (1, 5, 9)]
    daily_counts.add(daily_counts.of(JobExecution.objects.all()))
    everything = JobExecution.objects.all()
    of_github = daily_counts.bounded(everything, execution_type=ExecutionType.GITHUB_ACTIONS)
    # Nothing of the kind is counted or open: no row is looked at.
    with django_assert_max_num_queries(0):
        assert list(of_github) == []
    assert {*daily_counts.bounded(everything, execution_type=ExecutionType.WEBHOOK)} == {*webhooks}
    run = make_execution(job, execution_type=ExecutionType.GITHUB_ACTIONS, started_at=NOON - timedelta(days=20))
    daily_counts.add(daily_counts.of(JobExecution.objects.filter(pk=run.pk)))
    found = daily_counts.bounded(everything, execution_type=ExecutionType.GITHUB_ACTIONS)
    assert list(found) == [run]
    assert "started_at" in str(found.query.where)
    # What is open is in no count, whenever it began.
    waiting = make_execution(
        job, status=Status.QUEUED, execution_type=ExecutionType.GITHUB_ACTIONS, started_at=NOON + timedelta(days=3)
    )
    found = daily_counts.bounded(everything, execution_type=ExecutionType.GITHUB_ACTIONS)
    assert {*found} == {run, waiting}
