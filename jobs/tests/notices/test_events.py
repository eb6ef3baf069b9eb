"""The words of every event: texts, level, references, audience (contract, section 12) and Slack (section 15)."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from accounts.tests.factories import make_user
from jobs.models import Status
from jobs.notices import events
from jobs.tests.factories import make_execution, make_job
from notifications.message import EVERYONE
from taxonomy.models import PicTeam
from taxonomy.tests.factories import make_team

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MIDNIGHT_IN_TOKYO = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


@pytest.fixture
def owner(db):
    return make_user("owner", email="owner@example.com")


@pytest.fixture
def job(owner):
    team = make_team(name="SRE", slack_handle="@sre")
    return make_job(name="Daily backup", created_by=owner, pic_team=team, end_date=date(2026, 3, 9))


def words(message):
    return message.title, message.text, message.level


def references(message):
    return message.job_id, message.execution_id


@pytest.mark.parametrize(
    ("word", "title", "done", "level"),
    [
        (events.job_created, "New Job Created", "created", "info"),
        (events.job_updated, "Job Updated", "updated", "info"),
        (events.job_enabled, "Job Enabled", "enabled", "info"),
        (events.job_disabled, "Job Disabled", "disabled", "warning"),
    ],
)
def test_what_people_do_is_told_to_everybody(job, owner, word, title, done, level):
    message = word(job, owner)
    assert words(message) == (title, f'Job "Daily backup" was {done} by owner@example.com.', level)
    assert (message.audience, references(message)) == (EVERYONE, (job.pk, None))
    assert message.slack is None


def test_a_deletion_has_no_reference(owner):
    message = events.job_deleted("Daily backup", owner)
    assert words(message) == ("Job Deleted", 'Job "Daily backup" was deleted by owner@example.com.', "warning")
    assert (message.audience, references(message)) == (EVERYONE, (None, None))


@pytest.mark.parametrize(
    ("fields", "name"), [({"email": ""}, "somebody"), ({"email": "", "username": ""}, "Unknown"), (None, "Unknown")]
)
def test_an_actor_is_named_by_mail_else_by_name(job, fields, name):
    actor = None
    if fields is not None:
        actor = make_user("somebody")
        for field, value in fields.items():
            setattr(actor, field, value)
    assert events.job_updated(job, actor).text.endswith(f"was updated by {name}.")


def test_a_success(job):
    run = make_execution(job)
    message = events.run_finished(job, run, now=NOON)
    assert words(message) == ("Job Completed", 'Job "Daily backup" completed successfully.', "success")
    assert (message.audience, references(message), message.slack) == (EVERYONE, (job.pk, run.pk), None)


def test_a_failure(job):
    run = make_execution(job, status=Status.FAILED, error_message="Webhook returned status 500")
    message = events.run_finished(job, run, now=NOON)
    text = 'Job "Daily backup" failed: Webhook returned status 500'
    assert words(message) == ("Job Failed", text, "error")
    assert (message.audience, references(message)) == (EVERYONE, (job.pk, run.pk))
    assert slack_text(message) == ":x: @sre Job failed: LINK: Webhook returned status 500"


def slack_text(message):
    link = f"<http://localhost:5001/admin/jobs/job/{message.job_id}/change/|Daily backup>"
    return message.slack.text.replace(link, "LINK")


def test_an_auto_pause_goes_to_owner_and_administrators(job, owner):
    message = events.auto_paused(job, now=NOON)
    text = 'Job "Daily backup" passed its end_date (2026-03-09 JST) and was auto-paused.'
    assert words(message) == ("Job auto-paused (end date passed)", text, "warning")
    assert (message.audience, message.and_admins) == ((owner.pk,), True)
    assert slack_text(message) == (":warning: @sre Job auto-paused (end date passed): LINK (end_date 2026-03-09 JST)")


def test_the_weekly_task_names_the_team_of_a_paused_job(job):
    assert events.auto_paused(job, now=NOON, with_team=True).text.endswith("auto-paused. PIC Team: sre")


def test_a_job_without_owner_still_reaches_the_administrators(job):
    job.created_by = None
    message = events.auto_paused(job, now=NOON)
    assert (message.audience, message.and_admins) == ((), True)


@pytest.mark.parametrize("days", [0, 1, 7])
def test_an_end_that_comes_near(job, owner, days):
    message = events.ending_soon(job, days, now=NOON)
    text = f'Job "Daily backup" ends on 2026-03-09 JST ({days} day(s) left). PIC Team: sre'
    assert words(message) == ("Job ending soon", text, "warning")
    assert (message.audience, message.and_admins) == ((owner.pk,), True)
    assert slack_text(message) == f":warning: @sre Job ending soon ({days}d): LINK (end_date 2026-03-09 JST)"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, 'Job "Daily backup" missed 1 run (2026-03-02 21:00 JST): no leader'),
        (
            12,
            'Job "Daily backup" missed 12 runs (2026-03-02 21:00 JST to 2026-03-02 23:00 JST): no leader',
        ),
    ],
)
def test_missed_runs_name_their_time_in_the_jobs_zone(job, count, text):
    last = NOON + timedelta(hours=2)
    message = events.missed(job, first=NOON, last=last, count=count, reason="no leader", execution_id=None, now=NOON)
    assert words(message) == ("Job Missed", text, "warning")


def test_a_run_on_github_that_failed_says_where(job):
    run = make_execution(job)
    message = events.run_concluded(
        job,
        run,
        conclusion="failure",
        url="https://github.com/o/r/actions/runs/1",
        failed_step="build / test",
        now=NOON,
    )
    assert words(message) == (
        "GitHub Run Concluded",
        'Job "Daily backup": the GitHub run ended with failure at build / test.',
        "error",
    )
    assert slack_text(message) == ":x: @sre GitHub run failed: LINK: failure at build / test"
    assert message.alarm.failing


def test_a_run_on_github_that_succeeded_ends_an_incident_and_is_not_posted(job):
    message = events.run_concluded(
        job, make_execution(job), conclusion="success", url="https://github.com/x", failed_step=None, now=NOON
    )
    assert (message.level, message.slack, message.alarm.failing) == ("success", None, False)


@pytest.mark.parametrize("broken", [{"cron_expression": "61 * * * *"}, {"timezone": "Mars/Olympus"}])
def test_a_job_broken_in_the_database_can_still_be_spoken_of(job, broken):
    job.enable_email_notifications, job.notification_emails = True, ["ops@example.com"]
    for field, value in broken.items():
        setattr(job, field, value)
    run = make_execution(job, status=Status.FAILED, scheduled_for=NOON, error_message="x")
    assert events.run_finished(job, run, now=NOON).mail is not None


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (0.04, "0.0s"),
        (1.4, "1.4s"),
        (59.94, "59.9s"),
        (59.96, "1m 0s"),
        (301.4, "5m 1s"),
        (3599.7, "1h 0m"),
        (93_784, "26h 3m"),
    ],
)
def test_a_long_lateness_is_told_as_people_say_it(job, late, words):
    job.enable_email_notifications, job.notification_emails = True, ["ops@example.com"]
    started_at = NOON + timedelta(seconds=late)
    run = make_execution(job, status=Status.FAILED, scheduled_for=NOON, started_at=started_at, error_message="x")
    assert events.run_finished(job, run, now=NOON).mail.context["execution"]["lateness"] == words


# --- Quiet hours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "zone", "until"),
    [
        # It is 00:00 on 3 March in Tokyo, 16:00 on 2 March in Berlin.
        (time(22), time(7), "", datetime(2026, 3, 2, 22, 0, tzinfo=UTC)),
        (time(23, 30), time(0, 30), "", datetime(2026, 3, 2, 15, 30, tzinfo=UTC)),
        (time(0), time(6), "", datetime(2026, 3, 2, 21, 0, tzinfo=UTC)),
        (time(22), time(0), "", None),
        (time(1), time(6), "", None),
        (time(12), time(18), "Europe/Berlin", datetime(2026, 3, 2, 17, 0, tzinfo=UTC)),
        (time(22), time(7), "Europe/Berlin", None),
        (time(8), time(8), "", None),
        (None, time(7), "", None),
        (time(22), None, "", None),
    ],
)
def test_quiet_hours_end_at_the_teams_own_time(start, end, zone, until):
    team = PicTeam(quiet_from=start, quiet_until=end, quiet_timezone=zone)
    assert events.quiet_until(team, MIDNIGHT_IN_TOKYO) == until


def test_quiet_hours_keep_their_wall_clock_across_a_clock_change():
    team = PicTeam(quiet_from=time(22), quiet_until=time(7), quiet_timezone="Europe/Berlin")
    saturday_evening = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
    assert events.quiet_until(team, saturday_evening) == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)


def test_alerts_of_a_sleeping_team_wait_and_notices_do_not(job):
    job.pic_team.quiet_from, job.pic_team.quiet_until = time(22), time(7)
    run = make_execution(job, status=Status.FAILED, error_message="x")
    message = events.run_finished(job, run, now=MIDNIGHT_IN_TOKYO)
    assert message.hold_until == datetime(2026, 3, 2, 22, 0, tzinfo=UTC)


# --- The zone, and where links lead ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "label"),
    [
        ("Asia/Tokyo", date(2026, 3, 9), "JST"),
        ("Europe/Berlin", date(2026, 3, 9), "CET"),
        ("Europe/Berlin", date(2026, 7, 1), "CEST"),
        ("America/New_York", date(2026, 7, 1), "EDT"),
        ("UTC", date(2026, 7, 1), "UTC"),
        # Only a number for an abbreviation.
        ("America/Sao_Paulo", date(2026, 7, 1), "America/Sao_Paulo"),
        ("Asia/Dubai", date(9999, 12, 31), "Asia/Dubai"),
    ],
)
def test_end_dates_name_the_scheduler_s_zone_as_it_is_called_on_that_day(job, settings, zone, day, label):
    settings.SCHEDULER_TIMEZONE = zone
    job.end_date = day
    shown = f"{day} {label}"
    told = [
        events.auto_paused(job, now=NOON),
        events.ending_soon(job, 3, now=NOON),
        events.end_date_reminder(job, 3, due=7, to="a@example.com", renew_url="https://cron.example/", now=NOON),
        events.job_renewed(job, by="a@example.com", old_end_date=day, reason="needed"),
    ]
    for message in told:
        assert shown in message.text
        assert message.slack is None or shown in message.slack.text


def test_links_lead_to_the_frontend_where_there_is_one_and_to_the_console_otherwise(job, settings):
    settings.PUBLIC_BASE_URL = "https://cron.example.com"
    assert events.job_url(job) == f"https://cron.example.com/admin/jobs/job/{job.pk}/change/"
    settings.FRONTEND_BASE_URL = "https://app.example.com"
    assert events.job_url(job) == f"https://app.example.com/jobs/{job.pk}/edit"
