"""The page of a stored job: what its tabs hold, and what can be done from it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs import services
from jobs.models import Job, Status
from jobs.schedule.pauses import Terms
from jobs.tests.admin.test_jobs import console, page_of
from jobs.tests.factories import make_execution, make_job

pytestmark = pytest.mark.django_db

__all__ = ["console"]

ACTS = ["Run now", "Test", "Pause", "Renew", "Clone", "Hand over", "Check target", "Why"]


@pytest.mark.parametrize(
    ("role", "is_active", "offered"),
    [
        ("alice", True, ACTS),
        ("alice", False, [*ACTS[:2], "Resume", *ACTS[3:]]),
        ("bob", True, ["Clone", "Why"]),
        ("charlie", True, ["Why"]),
    ],
)
def test_all_that_may_be_done_is_offered_side_by_side(console, request, alice, role, is_active, offered):
    job = make_job(created_by=alice, is_active=is_active)
    page = console(request.getfixturevalue(role)).get(page_of(job))
    assert [act["title"] for act in page.context["acts"] if "items" not in act] == offered
    content = page.content.decode()
    assert all(f"</span>{title}</a>" in content for title in offered)


def test_a_stored_job_has_tabs_and_a_new_one_none(console, alice):
    client = console(alice)
    stored = client.get(page_of(make_job(created_by=alice))).content.decode()
    new = client.get(reverse("admin:jobs_job_add")).content.decode()
    for title in ("general", "executions", "definition", "changes"):
        assert f'href="#{title}"' in stored
        assert f'href="#{title}"' not in new


def test_the_page_shows_how_the_latest_executions_went(console, charlie):
    job, now = make_job(), timezone.now()
    for number in range(3):
        make_execution(
            job,
            status=Status.FAILED if number else Status.SUCCESS,
            started_at=now - timedelta(minutes=number),
            scheduled_for=now - timedelta(minutes=number, seconds=2),
            duration_seconds=1.5,
            error_message="Webhook returned status 503" if number else None,
        )
    make_execution(job, status=Status.MISSED, started_at=now - timedelta(hours=1), duration_seconds=None)
    shown = console(charlie).get(page_of(job)).context["job_page"]
    assert [chart["title"] for chart in shown["charts"]] == ["Durations", "Lateness of scheduled runs"]
    assert (
        shown["charts"][0]["summary"]
        == "Half of the latest 3 within 1.50\N{NO-BREAK SPACE}s, all within 1.50\N{NO-BREAK SPACE}s."
    )
    assert [row[-1].count("503") > 0 for row in shown["executions"]["rows"]] == [False, True, True, False]
    assert ("Lately", "2 failed, 1 success, 1 missed") in shown["facts"]


def test_a_job_that_never_ran_says_so(console, charlie):
    page = console(charlie).get(page_of(make_job()))
    assert page.content.decode().count("It has never run.") == 2
    assert page.context["job_page"]["charts"] == []


def test_a_paused_job_is_said_to_be_paused_where_its_next_runs_are(console, charlie):
    shown = console(charlie).get(page_of(make_job(is_active=False))).context["job_page"]
    assert "Paused: would fire" in shown["upcoming"]


@pytest.mark.parametrize(
    ("on_resume", "hours", "told"),
    [
        ("skip", 3, "until somebody resumes it because: Release. 3 runs skipped so far."),
        ("last", 3, "3 runs kept back so far; the latest is run once it resumes."),
        ("all", 1, "1 run kept back so far; each is run once it resumes."),
        ("skip", 0, "No run was due since."),
    ],
)
def test_the_sentence_of_a_paused_job_counts_the_runs_kept_back(console, alice, time_machine, on_resume, hours, told):
    began = datetime(2026, 1, 15, 12, 30, tzinfo=UTC)
    time_machine.move_to(began, tick=False)
    job = make_job(created_by=alice, cron_expression="0 * * * *")
    services.pause_job(job.pk, terms=Terms("Release.", None, on_resume), by=alice, now=began)
    time_machine.move_to(began + timedelta(hours=hours), tick=False)
    assert told in console(alice).get(page_of(job)).context["job_page"]["state"]


def test_a_paused_job_whose_schedule_cannot_be_read_still_has_its_sentence(console, alice):
    job = make_job(created_by=alice)
    services.pause_job(job.pk, terms=Terms("Release", None, "skip"), by=alice, now=timezone.now())
    Job.objects.filter(pk=job.pk).update(timezone="Mars/Olympus")
    assert "because: Release." in console(alice).get(page_of(job)).context["job_page"]["state"]


def test_who_only_reads_is_told_in_words_and_not_by_pictures(console, charlie):
    job = make_job(notification_emails=["a@example.com", "b@example.com"], notify_on_success=True)
    page = console(charlie).get(page_of(job)).content.decode()
    told = page.partition('id="definition-group"')[2]
    for text in ("As the server is set up", "As the category says", "a@example.com, b@example.com", "Yes", "No"):
        assert re.search(rf">\s*{re.escape(text)}\s*<", told), text
