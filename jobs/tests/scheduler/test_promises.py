"""What the scheduler promises, one test or more for each promise, by its number.

Those about processes (G3, G6, G12) stand in `test_processes.py`; what is tried for minutes in `jobs/tests/chaos`.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.tests.factories import make_user
from cronsched.lib.tests.servers import OK, Target, Visit, target
from jobs import cron, services
from jobs.end_dates.expiry import pause_expired
from jobs.models import CatchUp, Job, JobExecution, Overlap, Status, TriggerType
from jobs.schedule.reschedule import reschedule
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.scheduler.helpers import (
    MINUTE,
    Bench,
    Clock,
    claim,
    failure,
    make_due_job,
    only_row,
    record,
    rows,
    start,
    success,
)

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

WAIT = 30.0
SECOND = timedelta(seconds=1)


# --- G1: exactly one row for every fire time -------------------------------------------------------------------------


def fire_times_of(execution: JobExecution) -> list[datetime]:
    """Return the minutes a row stands for."""
    assert execution.scheduled_for is not None
    first = execution.missed_from or execution.scheduled_for
    return [first + number * MINUTE for number in range((execution.scheduled_for - first) // MINUTE + 1)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("catch_up", CatchUp.values)
def test_g1_every_fire_time_ends_in_exactly_one_row_through_outages_edits_and_pauses(seed, catch_up):
    dice = random.Random(f"{seed}{catch_up}")
    job = make_due_job(catch_up=catch_up, misfire_grace_seconds=dice.choice([0, 90, 3600]))
    now = NOON
    due: set[datetime] = set()
    for _ in range(25):
        job.refresh_from_db()
        pause = dice.choice([SECOND, 50 * SECOND, 3 * MINUTE, 40 * MINUTE])
        if job.next_fire_at is not None:
            due |= set(cron.fire_times_between("* * * * *", "UTC", after=job.next_fire_at - SECOND, until=now + pause))
        now += pause
        if dice.random() < 0.3:
            job.is_active = dice.random() < 0.7
            reschedule(job, now=now)
            job.save()
        else:
            claim(now)
    reschedule(Job.objects.get(pk=job.pk), now=now)
    recorded = Counter(moment for row in JobExecution.objects.all() for moment in fire_times_of(row))
    assert recorded == Counter(due)
    assert all(row.reason for row in JobExecution.objects.filter(status__in=(Status.MISSED, Status.SKIPPED)))


# --- G2: no request before its row -----------------------------------------------------------------------------------


def test_g2_when_a_request_arrives_its_row_is_committed_as_running():
    seen: list[str] = []

    def look(visit: Visit) -> None:
        while request := visit.read_request():
            key = next(
                line for line in request.decode().splitlines() if line.lower().startswith("x-cron-execution-id: ")
            )
            try:
                seen.append(JobExecution.objects.get(pk=key.partition(": ")[2]).status)
            finally:
                connection.close()
            visit.send(OK)

    with target(look) as sink:
        for number in range(30):
            make_due_job(target_url=sink.url(f"/{number}"))
        make_execution(make_job(target_url=sink.url("/queued")), status=Status.QUEUED)
        run_pass(limit=8)
    assert seen == ["running"] * 31


def run_pass(*, limit: int = 50, now: datetime = NOON) -> list[Any]:
    bench = Bench(limit=limit, clock=Clock(now))
    bench.run_pass()
    return bench.results


# --- G4: attempts ----------------------------------------------------------------------------------------------------


def test_g4_attempts_are_asked_for_grow_apart_and_carry_one_webhook_id():
    make_due_job(max_attempts=4, backoff_seconds=60)
    prepared = claim().prepared
    ids, waits, now = set(), [], NOON
    for _ in range(3):
        ids.add(prepared[0].request.run.execution_id)
        record(prepared, failure(retryable=True), at=now)
        waits.append(only_row().not_before - now)
        now = only_row().not_before
        prepared = start(only_row(), now=now)
    record(prepared, failure(retryable=True), at=now)
    assert only_row().status == "failed"
    assert ids == {only_row().pk}
    assert waits[0] < waits[1] < waits[2]
    assert [wait // MINUTE for wait in waits] == [1, 2, 4]


# --- G5: never early, never unnamed, the last day whole ---------------------------------------------------------------


def test_g5_a_fire_time_is_not_claimed_before_the_database_s_clock_has_it():
    make_due_job()
    assert claim(NOON - timedelta(microseconds=1)).jobs == 0
    assert claim(NOON).jobs == 1


def test_g5_a_time_the_expression_does_not_name_is_never_fired():
    make_due_job(cron_expression="*/10 * * * *", next_fire_at=NOON + MINUTE)
    claim(NOON + 5 * MINUTE)
    assert not JobExecution.objects.exists()
    claim(NOON + 10 * MINUTE)
    assert rows() == [("running", "12:10")]


def test_g5_a_23_59_fire_of_the_end_date_claimed_after_midnight_still_runs():
    # In Tokyo the 15th ends at 15:00 UTC.
    last = NOON.replace(hour=14, minute=59)
    job = make_due_job(cron_expression="59 23 * * *", timezone=None, end_date=date(2026, 1, 15), next_fire_at=last)
    (prepared,) = claim(last + 90 * SECOND).prepared
    record([prepared], success(), at=last + 91 * SECOND)
    assert rows() == [("success", "14:59")]
    pause_expired(now=last + 2 * MINUTE)
    job.refresh_from_db()
    assert not job.is_active
    assert rows() == [("success", "14:59")]


def test_g5_a_23_59_fire_that_waits_for_its_turn_is_sent_although_the_job_was_paused_meanwhile():
    last = NOON.replace(hour=14, minute=59)
    make_due_job(cron_expression="59 23 * * *", timezone=None, end_date=date(2026, 1, 15), next_fire_at=last)
    claim(last, room=0)
    pause_expired(now=last + 2 * MINUTE)
    assert len(start(only_row(), now=last + 3 * MINUTE)) == 1


# --- G6: prompt ------------------------------------------------------------------------------------------------------


def test_g6_with_room_in_the_pool_every_send_starts_within_2_s():
    now = timezone.now()
    minute = now.replace(second=0, microsecond=0)
    arrived: list[datetime] = []

    def note(visit: Visit) -> None:
        while visit.read_request():
            arrived.append(datetime.now(UTC))
            visit.send(OK)

    with target(note) as sink:
        for number in range(300):
            make_due_job(target_url=sink.url(f"/{number}"), next_fire_at=minute)
        began = datetime.now(UTC)
        run_pass(limit=400, now=now)
    lateness = sorted(moment - began for moment in arrived)
    assert len(lateness) == 300
    assert lateness[296] < 2 * SECOND


# --- G7: catch-up ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "catch_up, expected",
    [
        (CatchUp.LATEST, [("missed", "11:57"), ("missed", "11:58"), ("missed", "11:59"), ("running", "12:00")]),
        (CatchUp.ALL, [("missed", "11:57"), ("running", "11:58"), ("running", "11:59"), ("running", "12:00")]),
        (CatchUp.NONE, [("missed", "11:57"), ("missed", "11:58"), ("missed", "11:59"), ("missed", "12:00")]),
    ],
)
def test_g7_after_an_outage_the_job_s_own_choice_decides_what_is_run(catch_up, expected):
    make_due_job(catch_up=catch_up, misfire_grace_seconds=170, next_fire_at=NOON - 3 * MINUTE)
    claim(NOON + 40 * SECOND)
    assert rows() == expected


# --- G8: overlap -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("earlier", [Status.QUEUED, Status.RUNNING])
@pytest.mark.parametrize(
    "overlap, becomes", [(Overlap.ALLOW, "running"), (Overlap.SKIP, "skipped"), (Overlap.QUEUE, "queued")]
)
def test_g8_the_overlap_choice_counts_what_waits_and_what_runs(overlap, becomes, earlier):
    job = make_due_job(overlap=overlap)
    make_execution(
        job, status=earlier, trigger_type=TriggerType.SCHEDULED, scheduled_for=NOON - MINUTE, not_before=NOON + MINUTE
    )
    claim()
    assert rows()[-1] == (becomes, "12:00")


def test_g8_a_manual_run_bypasses_the_overlap_choice():
    job = make_due_job(overlap=Overlap.SKIP)
    claim()
    manual = make_execution(job, status=Status.QUEUED)
    assert [item.execution_id for item in start(manual)] == [manual.pk]


# --- G9: crontab(5) --------------------------------------------------------------------------------------------------


def test_g9_a_daily_job_inside_the_spring_gap_fires_once_when_the_gap_ends():
    # New York skips 02:00 to 03:00 on 8 March 2026; 03:00 EDT is 07:00 UTC.
    gap_ends = datetime(2026, 3, 8, 7, 0, tzinfo=UTC)
    job = make_job(cron_expression="30 2 * * *", timezone="America/New_York")
    reschedule(job, now=gap_ends - timedelta(hours=3))
    job.save()
    assert claim(gap_ends - SECOND).jobs == 0
    claim(gap_ends)
    assert rows() == [("running", "07:00")]
    job.refresh_from_db()
    assert job.next_fire_at == datetime(2026, 3, 9, 6, 30, tzinfo=UTC)


# --- G10: what was answered holds ------------------------------------------------------------------------------------


def test_g10_a_pause_that_was_answered_lets_no_start_through():
    """A start that has read the job but not committed makes the pause wait; one that comes later finds it paused."""
    job = make_job(next_fire_at=NOON + MINUTE)
    execution = make_execution(job, status=Status.QUEUED, trigger_type=TriggerType.SCHEDULED, scheduled_for=NOON)
    owner = make_user(role="admin")
    has_read, may_go_on = threading.Event(), threading.Event()

    def hold_back(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if "job_executions" in sql:
            has_read.set()
            may_go_on.wait(WAIT)
        return result

    def start_slowly() -> int:
        try:
            with connection.execute_wrapper(hold_back):
                return len(start(execution))
        finally:
            connection.close()

    def pause() -> str:
        try:
            services.pause_job(job.pk, by=owner, now=NOON)
            return JobExecution.objects.get(pk=execution.pk).status
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        started = pool.submit(start_slowly)
        assert has_read.wait(WAIT)
        paused = pool.submit(pause)
        with pytest.raises(TimeoutError):
            paused.result(timeout=0.3)
        may_go_on.set()
        assert started.result(WAIT) == 1
        # The send had begun when the pause was answered.
        assert paused.result(WAIT) == "running"


def test_g10_after_a_pause_an_edit_or_a_deletion_nothing_of_the_old_definition_starts():
    admin = make_user(role="admin")
    paused, edited, deleted = (make_job(target_url=f"https://{name}.example.com/") for name in ("a", "b", "c"))
    queued = [
        make_execution(job, status=Status.QUEUED, trigger_type=TriggerType.SCHEDULED, scheduled_for=NOON)
        for job in (paused, edited, deleted)
    ]
    services.pause_job(paused.pk, by=admin, now=NOON)
    services.update_job(edited.pk, {"target_url": "https://new.example.com/"}, by=admin, now=NOON)
    services.delete_job(deleted.pk, by=admin, now=NOON)
    assert [item.request.url for item in start(*queued)] == ["https://new.example.com/"]


def test_g10_resuming_sends_no_burst():
    admin = make_user(role="admin")
    job = make_due_job(catch_up=CatchUp.ALL)
    services.pause_job(job.pk, by=admin, now=NOON - SECOND)
    services.resume_job(job.pk, by=admin, now=NOON + timedelta(minutes=30, seconds=20))
    assert claim(NOON + timedelta(minutes=30, seconds=30)).jobs == 0
    assert claim(NOON + 31 * MINUTE).jobs == 1


# --- G11: two who both believe they lead -----------------------------------------------------------------------------


def test_g11_two_processes_that_both_lead_send_each_fire_time_once():
    arrived: Counter[str] = Counter()
    lock = threading.Lock()

    def count(visit: Visit) -> None:
        while request := visit.read_request():
            with lock:
                arrived[request.split(b" ", 2)[1].decode()] += 1
            visit.send(OK)

    def lead(sink: Target, limit: int) -> None:
        try:
            run_pass(limit=limit)
        finally:
            connection.close()

    with target(count) as sink, ThreadPoolExecutor(3) as pool:
        for number in range(90):
            make_due_job(target_url=sink.url(f"/{number}"))
        for _ in range(30):
            make_execution(make_job(target_url=sink.url("/queued")), status=Status.QUEUED)
        for leading in [pool.submit(lead, sink, limit) for limit in (20, 30, 40)]:
            leading.result(WAIT)
        # Rows that one held while another looked are found at the next second.
        run_pass()
    assert arrived == Counter({f"/{number}": 1 for number in range(90)}) + Counter({"/queued": 30})


def test_g11_a_clock_that_jumps_back_fires_nothing_twice():
    job = make_due_job()
    for now in (NOON, NOON + MINUTE, NOON + 2 * MINUTE):
        claim(now)
    # The clock is set back, and an edit computes the schedule by it.
    job.refresh_from_db()
    reschedule(job, now=NOON - SECOND)
    job.save()
    for minutes in range(4):
        claim(NOON + minutes * MINUTE)
    assert rows() == [("running", "12:00"), ("running", "12:01"), ("running", "12:02"), ("running", "12:03")]
