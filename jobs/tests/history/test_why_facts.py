"""What is read to tell why a job ran or did not, from all that its services, pauses and leaders leave behind."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from audit import terms
from jobs import services
from jobs.history.why_facts import explain, explain_at, read
from jobs.models import ExecutionType, GitHubRun, Job, JobExecution, Status, Tracking, TriggerType
from jobs.notices import events
from jobs.schedule.pauses import Terms
from jobs.tests.factories import job_body, make_execution, make_job
from jobs.tests.scheduler.helpers import claim
from notifications.models import Notification
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
BEFORE = NOON - 10 * DAY


@pytest.fixture
def job(admin):
    make_team(name="Ops")
    body = job_body(cron_expression="0 * * * *", timezone="UTC", name="backup")
    return services.create_job(body, by=admin, now=BEFORE)


def fired(job, due_at, status=Status.SUCCESS, **fields):
    return make_execution(
        job,
        status=status,
        trigger_type=TriggerType.SCHEDULED,
        scheduled_for=due_at,
        **{"started_at": due_at + timedelta(seconds=1), "response_status": 200} | fields,
    )


def verdicts(job, start=NOON - 6 * HOUR, end=NOON, *, now=NOON, limit=1000):
    """Return the verdicts, the oldest first."""
    job = Job.objects.get(pk=job.pk)
    answer, told = explain(job, start=start, end=end, limit=limit, now=now)
    assert sum(answer.counts.values()) >= len(told)
    return [(item.found.due_at.strftime("%H:%M"), str(item.found.verdict)) for item in reversed(told)]


def told_at(job, due_at, *, now=NOON):
    return explain_at(Job.objects.get(pk=job.pk), due_at, now=now)


def test_an_edit_leaves_the_definition_of_then_and_says_who(job, alice, admin):
    for hour in (8, 9, 10):
        fired(job, NOON.replace(hour=hour))
    Job.objects.update(next_fire_at=NOON.replace(hour=11))
    services.update_job(job.pk, {"cron_expression": "30 * * * *"}, by=admin, now=NOON.replace(hour=10, minute=45))
    assert verdicts(job, NOON.replace(hour=8), NOON, now=NOON.replace(hour=10, minute=50)) == [
        ("08:00", "ran"),
        ("08:30", "other_schedule"),
        ("09:00", "ran"),
        ("09:30", "other_schedule"),
        ("10:00", "ran"),
        ("10:30", "other_schedule"),
        ("11:30", "upcoming"),
    ]
    told = told_at(job, NOON.replace(hour=8, minute=30))
    assert (told.found.by, told.found.since) == ("admin", NOON.replace(hour=10, minute=45))
    assert told.sentence == ('The schedule was changed at 10:45 by admin. The schedule was "0 * * * *" then in UTC.')


def test_a_pause_is_told_with_who_and_why_while_it_lasts_and_afterwards(job, admin):
    Job.objects.update(next_fire_at=NOON)
    terms_of = Terms("target is moved", until=NOON + 3 * HOUR)
    services.pause_job(job.pk, by=admin, now=NOON - 30 * MINUTE, terms=terms_of)
    expected = [
        ("12:00", "paused"),
        ("13:00", "paused"),
        ("14:00", "paused"),
        ("15:00", "paused"),
        ("16:00", "upcoming"),
    ]
    assert verdicts(job, NOON, NOON + 5 * HOUR, now=NOON + MINUTE) == expected
    told = told_at(job, NOON + HOUR, now=NOON + MINUTE)
    assert told.sentence == "Paused by admin since 11:30 until 15:00, because: target is moved."
    services.resume_job(job.pk, by=admin, now=NOON + 90 * MINUTE, missed="last")
    later = NOON + 100 * MINUTE
    assert verdicts(job, NOON, NOON + 3 * HOUR, now=later) == [
        ("12:00", "paused"),
        ("13:00", "waiting"),
        ("14:00", "upcoming"),
    ]


def test_a_pause_that_should_be_over_lasts_until_somebody_leads(job, admin):
    Job.objects.update(next_fire_at=NOON)
    services.pause_job(job.pk, by=admin, now=NOON - HOUR, terms=Terms(until=NOON + HOUR))
    assert verdicts(job, NOON, NOON + 4 * HOUR, now=NOON + 3 * HOUR + MINUTE) == [
        (f"{hour}:00", "paused") for hour in (12, 13, 14, 15)
    ]


def test_an_outage_is_told_by_the_log_of_leaders_and_in_the_notice():
    job = make_job(name="backup", cron_expression="* * * * *", timezone="UTC", next_fire_at=NOON, created_at=BEFORE)
    terms.begin("a:1", 1, now=BEFORE)
    terms.seen(1, now=NOON - timedelta(seconds=4))
    terms.begin("b:1", 2, now=NOON + 3 * MINUTE + timedelta(seconds=30))
    now = NOON + 3 * MINUTE + timedelta(seconds=31)
    assert len(claim(now).prepared) == 1
    JobExecution.objects.filter(status=Status.RUNNING).update(status=Status.SUCCESS, response_status=200)
    assert verdicts(job, NOON, NOON + 5 * MINUTE, now=now) == [
        ("12:00", "missed_no_leader"),
        ("12:01", "missed_no_leader"),
        ("12:02", "missed_no_leader"),
        ("12:03", "ran_late"),
        ("12:04", "upcoming"),
    ]
    assert told_at(job, NOON).sentence == "No scheduler was running from 11:59 to 12:03."
    notice = Notification.objects.get().message
    assert notice == (
        'Job "backup" missed 3 runs (2026-03-10 12:00 UTC to 2026-03-10 12:02 UTC):'
        " No scheduler was running from 11:59 to 12:03."
    )


def test_one_missed_run_is_told_in_the_zone_of_the_job():
    make_job(name="backup", cron_expression="0 21 * * *", timezone="Asia/Tokyo", next_fire_at=NOON, catch_up="none")
    terms.begin("a:1", 1, now=BEFORE)
    terms.seen(1, now=NOON - MINUTE)
    terms.begin("b:1", 2, now=NOON + MINUTE)
    claim(NOON + MINUTE)
    assert Notification.objects.get().message.endswith(": No scheduler was running at 21:00.")


def test_many_misses_in_one_row_are_told_one_by_one_also_from_the_middle():
    job = make_job(cron_expression="* * * * *", timezone="UTC", next_fire_at=NOON, created_at=BEFORE)
    terms.begin("a:1", 1, now=BEFORE)
    terms.seen(1, now=NOON - timedelta(seconds=5))
    terms.begin("b:1", 2, now=NOON + 2 * HOUR)
    claim(NOON + 2 * HOUR)
    row = JobExecution.objects.get(status=Status.MISSED)
    assert row.missed_count == 120
    answer, told = explain(job, start=NOON + 10 * MINUTE, end=NOON + 20 * MINUTE, limit=3, now=NOON + 2 * HOUR)
    assert answer.counts == {"missed_no_leader": 10}
    assert answer.is_truncated
    assert [(item.execution_id, item.found.due_at.minute) for item in told] == [
        (row.pk, 19),
        (row.pk, 18),
        (row.pk, 17),
    ]


def test_nobody_leads_at_all():
    job = make_job(cron_expression="*/30 * * * *", timezone="UTC", next_fire_at=NOON - HOUR, created_at=BEFORE)
    terms.begin("a:1", 1, now=BEFORE)
    terms.end(1, now=NOON - 2 * HOUR)
    # The grace time is an hour.
    expected = [("11:00", "missed_no_leader"), ("11:30", "waiting"), ("12:00", "waiting")]
    assert verdicts(job, NOON - HOUR, NOON + MINUTE, now=NOON + MINUTE) == expected


def test_how_it_failed_is_told_with_the_execution(job):
    row = fired(
        job, NOON - HOUR, Status.FAILED, response_status=None, error_message="Request failed: timed out", attempt=2
    )
    told = told_at(job, NOON - HOUR)
    assert (told.found.verdict, told.execution_id) == ("failed", row.pk)
    assert told.sentence == "It failed after 2 attempts: Request failed: timed out."


def test_a_dispatch_is_told_by_its_run(job):
    ended = fired(job, NOON - 3 * HOUR, execution_type=ExecutionType.GITHUB_ACTIONS)
    fired(job, NOON - 2 * HOUR, execution_type=ExecutionType.GITHUB_ACTIONS)
    going = fired(job, NOON - HOUR, execution_type=ExecutionType.GITHUB_ACTIONS)
    for execution, conclusion, tracking in ((ended, "failure", Tracking.CONCLUDED), (going, "", Tracking.FOLLOWED)):
        GitHubRun.objects.create(
            execution=execution, repository="a/b", conclusion=conclusion, tracking=tracking, created_at=NOON
        )
    assert verdicts(job, NOON - 3 * HOUR, NOON) == [("09:00", "run_failed"), ("10:00", "ran"), ("11:00", "running")]


def test_before_its_creation_and_after_its_end(job, admin):
    assert verdicts(job, BEFORE - HOUR, BEFORE + HOUR, now=BEFORE + MINUTE) == [
        ("11:00", "not_created_yet"),
        ("12:00", "not_created_yet"),
    ]
    assert told_at(job, BEFORE - HOUR).sentence == "The job was created only at 12:00 by admin."
    Job.objects.update(end_date=date(2026, 3, 10), next_fire_at=NOON + 3 * HOUR)
    # The day ends at 15:00 UTC, at midnight in Tokyo.
    assert verdicts(job, NOON + 2 * HOUR, NOON + 5 * HOUR) == [
        ("14:00", "upcoming"),
        ("15:00", "ended"),
        ("16:00", "ended"),
    ]


def test_what_cannot_be_computed_is_told_once(job):
    Job.objects.update(cron_expression="61 * * * *", next_fire_at=None, schedule_error="no such minute")
    answer, (told,) = explain(Job.objects.get(), start=NOON - DAY, end=NOON, limit=10, now=NOON)
    assert answer.counts == {"unschedulable": 1}
    assert told.sentence.startswith("The job cannot be scheduled: ")
    assert told_at(job, NOON).found.verdict == "unschedulable"


def test_a_job_whose_row_could_not_be_read_says_so(job):
    Job.objects.update(next_fire_at=None, schedule_error="The job's row could not be read or written.")
    assert Counter(verdict for _, verdict in verdicts(job)) == {"unschedulable": 6}


def test_the_definition_reaches_back_behind_what_the_trail_holds():
    job = make_job(cron_expression="0 * * * *", timezone=None, created_at=BEFORE)
    (definition,) = read(job, start=NOON - DAY, end=NOON, now=NOON).definitions
    assert definition.schedule == ("0 * * * *", "Asia/Tokyo")


def test_edits_that_touch_no_time_are_no_definitions(job, admin):
    services.update_job(job.pk, {"metadata": {"a": 1}}, by=admin, now=NOON - HOUR)
    assert len(read(Job.objects.get(), start=NOON - DAY, end=NOON, now=NOON).definitions) == 1


def test_a_month_takes_as_many_queries_as_an_hour(job, admin, django_assert_num_queries):
    for hour in range(200):
        fired(job, NOON - hour * HOUR)
        terms.begin(f"a:{hour}", hour + 1, now=NOON - (200 - hour) * HOUR)
    stored = Job.objects.get()
    for length in (HOUR, 31 * DAY):
        with django_assert_num_queries(11):
            explain(stored, start=NOON - length, end=NOON, limit=1000, now=NOON)


def test_the_text_of_a_notice_is_as_before_where_somebody_led(job):
    message = events.missed(
        Job.objects.select_related("category", "pic_team").get(),
        first=NOON,
        last=NOON,
        count=1,
        reason="No scheduler started it in time.",
        execution_id=None,
        now=NOON,
    )
    assert message.text.endswith(": No scheduler started it in time.")
