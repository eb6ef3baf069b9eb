"""The first page, the lists its figures lead to, and the scheduler's pulse."""

import re
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts.tests.factories import make_user
from jobs.admin.scheduler import RECONCILED
from jobs.chores.reconcile import Summary
from jobs.definitions.validation import local_date
from jobs.models import ExecutionType, GitHubRun, Job, SchedulerLease, Sender, SenderKind, Status, Tracking, TriggerType
from jobs.tests.factories import make_execution, make_job

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NOW = reverse("admin:index")
SCHEDULER = reverse("admin:jobs_schedulerlease_changelist")


@pytest.fixture
def console(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def busy(admin):
    """Jobs of every state and executions of every outcome, some of them long ago."""
    now, today = timezone.now(), local_date(timezone.now())
    fires = {"next_fire_at": now + timedelta(hours=1)}
    jobs = [make_job(**fires) for _ in range(3)]
    Job.objects.filter(pk=jobs[0].pk).update(consecutive_failures=4, created_by=admin)
    make_job(schedule_error="Unknown time zone")
    make_job(is_active=False)
    make_job(is_active=False, end_date=today - timedelta(days=1), consecutive_failures=2)
    make_job(end_date=today + timedelta(days=3), **fires)
    for age in (timedelta(hours=1), timedelta(days=3)):
        for status in Status.values:
            make_execution(jobs[0], status=status, started_at=now - age)
        for conclusion in ("failure", "success", "timed_out"):
            row = make_execution(jobs[1], execution_type=ExecutionType.GITHUB_ACTIONS, started_at=now - age)
            tracking = {"tracking": Tracking.CONCLUDED, "created_at": now}
            GitHubRun.objects.create(execution=row, repository="a/b", conclusion=conclusion, **tracking)


def rows_behind(client, link: str) -> int:
    return len(client.get(link).context["cl"].result_list)


@pytest.mark.parametrize("role", ["admin", "user", "viewer"])
def test_every_figure_is_the_number_of_rows_behind_its_link(client, busy, role):
    client.force_login(make_user(role=role))
    counters = client.get(NOW).context["counters"]
    assert {c.title: rows_behind(client, c.link) for c in counters} == {c.title: c.figure for c in counters}


def test_figures_are_by_how_executions_ended(console, busy):
    figures = {counter.title: counter.figure for counter in console.get(NOW).context["counters"]}
    assert figures == {
        "Failing jobs": 1,
        "Cannot be scheduled": 1,
        "Ending in 30 days": 1,
        "Paused": 1,
        "Active": 5,
        # Queued and running, now and three days ago.
        "Not ended yet": 4,
        # Failed, unknown, missed, and two runs at GitHub.
        "Went wrong": 5,
        "Missed": 1,
        "Succeeded": 2,
        "Mine": 1,
    }


@pytest.mark.parametrize("role", ["admin", "user", "viewer"])
def test_every_link_of_the_page_leads_somewhere(client, busy, role):
    client.force_login(make_user(role=role))
    page = client.get(NOW).content.decode()
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    ours = {link for link in links if urlsplit(link).path.startswith(NOW)}
    assert len(ours) > 15
    broken = {link: client.get(link.replace("&amp;", "&"), follow=True).status_code for link in ours}
    assert {link: status for link, status in broken.items() if status != 200} == {}


@pytest.mark.parametrize(
    "role, own, offered", [("admin", False, "Run Pause Why"), ("user", True, "Run Pause Why"), ("user", False, "Why")]
)
def test_a_failing_job_is_run_paused_and_explained_from_its_row(client, role, own, offered):
    somebody = make_user(role=role)
    job = make_job(consecutive_failures=3, created_by=somebody if own else None)
    client.force_login(somebody)
    (row,) = client.get(NOW).context["trouble"]["rows"]
    assert strip_tags(row[-1]) == offered
    for address in re.findall(r'href="([^"]+)"', row[-1]):
        assert client.get(address, follow=True).status_code == 200
    assert job.name in row[-1]


def test_a_failing_job_is_one_row_with_since_when_and_why(console):
    job = make_job(name="purge-invoices", consecutive_failures=3)
    now = timezone.now()
    make_execution(job, started_at=now - timedelta(hours=9))
    for hours in (3, 2, 1):
        make_execution(
            job, status=Status.FAILED, error_message=f"Boom {hours}", started_at=now - timedelta(hours=hours)
        )
    (row,) = console.get(NOW).context["trouble"]["rows"]
    name, since, times, reason, lately, _, _ = map(str, row)
    assert "purge-invoices" in name
    assert (times, "3\xa0h ago" in since, "Boom 1" in reason) == ("3", True, True)
    assert lately.count('class="outcome ') == 4


def test_the_queue_is_told_in_words(console):
    now = timezone.now()
    assert console.get(NOW).context["queue"] == "0 wait to be sent; 0 are out."
    for waited in (90, 5):
        make_execution(status=Status.QUEUED, queued_at=now - timedelta(seconds=waited))
    make_execution(status=Status.QUEUED, not_before=now + timedelta(minutes=5))
    make_execution(status=Status.RUNNING)
    told = "2 wait to be sent, the oldest for 2\xa0min; 1 are out. 1 wait for their time: a retry, a turn at GitHub."
    assert console.get(NOW).context["queue"] == told


def test_own_failing_jobs_come_first(client, alice):
    make_job(name="a", consecutive_failures=9), make_job(name="z", consecutive_failures=1, created_by=alice)
    client.force_login(alice)
    rows = client.get(NOW).context["trouble"]["rows"]
    assert ["z<" in str(row[0]) for row in rows] == [True, False]


def test_charts_count_a_failed_run_as_failed(console, busy):
    hours, days = console.get(NOW).context["charts"]
    # Skipped and missed stand apart.
    assert hours.summary == "Last 24 hours, per hour: succeeded 2, went wrong 4, missed or skipped 2."
    assert days.summary == "Last 30 days, per day (UTC): succeeded 4, went wrong 8, missed or skipped 4."


def test_an_empty_console_says_how_to_begin(console):
    page = console.get(NOW).content.decode()
    assert "Three steps to the first job" in page
    assert reverse("admin:jobs_job_add") in page


def test_the_first_page_takes_as_many_queries_for_many_as_for_few(console, busy, django_assert_max_num_queries):
    for number in range(40):
        job = make_job(consecutive_failures=number, next_fire_at=timezone.now() + timedelta(hours=number))
        make_execution(job, status=Status.FAILED, started_at=timezone.now())
    console.get(NOW)
    with django_assert_max_num_queries(25):
        console.get(NOW)


# --- The pulse and the page of the scheduler -------------------------------------------------------------------------


def lead(seconds: int) -> None:
    now = timezone.now()
    SchedulerLease.objects.update_or_create(
        pk=1,
        defaults={
            "holder": "host-1",
            "leading_since": now - timedelta(hours=3),
            "renewed_at": now - timedelta(seconds=seconds),
            "chores_done": {"prune_history": (now - timedelta(hours=2)).isoformat(), "odd": "soon"},
            "last_reconcile": {"ran_at": now.isoformat(), "invalid_cron": 7},
        },
    )


def test_every_page_says_that_nobody_leads(console):
    job = make_job()
    for page in (NOW, reverse("admin:jobs_job_changelist"), reverse("admin:jobs_job_change", args=[job.pk])):
        assert "No scheduler is running" in console.get(page).content.decode()
    assert 'role="alert"' in console.get(NOW).content.decode()


@pytest.mark.parametrize(("seen", "colour"), [(1, "success"), (12, "warning"), (60, "danger")])
def test_the_pulse_has_a_colour_and_words(console, seen, colour):
    lead(seen)
    due = timezone.now() - timedelta(minutes=5)
    started_at = due + timedelta(seconds=2)
    make_execution(scheduled_for=due, started_at=started_at, trigger_type=TriggerType.SCHEDULED)
    pulse = console.get(NOW).context["pulse"]
    assert pulse.colour == colour
    assert colour == "danger" or "2.0 s late" in pulse.text


def test_the_page_of_the_scheduler_shows_the_lease_and_its_chores(console):
    lead(1)
    page = console.get(SCHEDULER).content.decode()
    in_words = ("Jobs that cannot be scheduled", "Look at all jobs again")
    for text in ("host-1", "Prune history", "2\xa0h ago", "soon", *in_words):
        assert text in page
    assert console.get(reverse("admin:jobs_schedulerlease_change", args=[1])).headers["Location"] == SCHEDULER


def test_what_a_reconcile_found_has_words_for_each_figure():
    assert set(RECONCILED) == {"ran_at", *Summary._fields}


def test_the_page_of_the_scheduler_shows_who_sends_and_who_is_dead(console):
    now = timezone.now()
    for kind, age in ((SenderKind.STANDBY, 2), (SenderKind.CELERY, 40)):
        seen_at = now - timedelta(seconds=age)
        Sender.objects.create(
            token=uuid4(), host=f"host-{age}", kind=kind, started_at=now, seen_at=seen_at, in_flight=age, limit=500
        )
    rows = [row[:4] for row in console.get(SCHEDULER).context["senders"]["rows"]]
    assert [(kind, sender.split()[0], busy, "dead" in seen) for kind, sender, busy, seen in rows] == [
        ("Celery worker", "host-40", "40 of 500", True),
        ("Standby", "host-2", "2 of 500", False),
    ]


def test_only_admins_see_the_page_of_the_scheduler(client, alice, charlie):
    for user in (alice, charlie):
        client.force_login(user)
        assert client.get(SCHEDULER).status_code == 403
        assert client.post(reverse("admin:jobs_schedulerlease_resync")).status_code == 403
        assert SCHEDULER not in client.get(NOW).content.decode()


def test_a_resync_without_a_leader_is_told(console):
    page = console.post(reverse("admin:jobs_schedulerlease_resync"), follow=True)
    assert "Scheduler is not running" in page.content.decode()
