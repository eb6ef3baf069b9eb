"""What becomes of each table of the older service, and of what is odd in it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import NotificationPreferences, UiPreferences, User
from accounts.tests.factories import api_client, make_user
from audit.models import AuditEntry
from jobs.definitions.request_options import Secrets
from jobs.history import daily_counts
from jobs.importing.legacy.definitions import BATCH_ID, UNTIL_RESUMED, WAS_DISABLED
from jobs.importing.legacy.history import WAS_RUNNING
from jobs.models import Job, JobExecution, JobPause
from jobs.tests.importing.legacy.conftest import run
from jobs.tests.importing.legacy.older import JOINED, LATER, PASSWORD, aware, passlib_hash
from notifications.models import SlackSettings
from taxonomy.models import JobCategory, PicTeam

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LOGIN = "/api/v2/auth/login"


def imported(there, *args):
    """Import everything and return what was reported."""
    ran = run("import_legacy", there.url, "--json", *args)
    assert ran.code == 0, ran.complaint or ran.out
    return ran


def pause_of(job):
    return JobPause.objects.get(job=job, ended_at=None)


# --- Accounts --------------------------------------------------------------------------------------------------------


def test_accounts_keep_their_ids_names_roles_and_times(there):
    ann = there.user("ann", email="Ann@Example.com", role="admin")
    bob = there.user("bob", is_active=False, role="viewer")
    assert imported(there).table("users") == (2, 2, 0, 0)
    one, two = User.objects.get(pk=ann), User.objects.get(pk=bob)
    assert (one.username, one.email, one.role, one.is_active) == ("ann", "ann@example.com", "admin", True)
    assert (two.role, two.is_active) == ("viewer", False)
    assert (one.created_at, one.updated_at) == (aware(JOINED), aware(JOINED))
    assert AuditEntry.objects.get(action="user.created", object_id=str(ann)).actor_name == "import_legacy"


def test_an_old_password_signs_in_and_is_hashed_anew(there, settings):
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "accounts.passlib_hashes.PasslibPBKDF2PasswordHasher"]
    ann = there.user("ann")
    imported(there)
    assert User.objects.get(pk=ann).password.startswith("passlib_pbkdf2_sha256$")
    assert api_client().post(LOGIN, {"username": "ann", "password": "another one"}).status_code == 401
    answer = api_client().post(LOGIN, {"username": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, str(ann))
    assert User.objects.get(pk=ann).password.startswith("md5$")
    assert api_client().post(LOGIN, {"email": "ann@example.com", "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize(
    "written",
    ["pbkdf2:sha256:260000$salt$00ff", "scrypt:32768:8:1$x$y", "$2b$12$abc", "", passlib_hash("x", salt=b"s" * 99)],
)
def test_a_hash_of_another_kind_is_unusable_and_listed(there, written):
    ann = there.user("ann", password_hash=written)
    ran = imported(there)
    assert not User.objects.get(pk=ann).has_usable_password()
    assert [kind for kind in ran.decisions("users") if "hash" in kind]


def test_names_that_differ_by_case_both_sign_in(there, settings):
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "accounts.passlib_hashes.PasslibPBKDF2PasswordHasher"]
    keys = {name: there.user(name, email=f"{name}-{n}@example.com") for n, name in enumerate(("Bob", "bob"))}
    ran = imported(there)
    assert ran.decisions("users") == {"Names differ only by case: each signs in with its own spelling.": 1}
    for name, key in keys.items():
        answer = api_client().post(LOGIN, {"username": name, "password": PASSWORD})
        assert answer.json()["user"]["id"] == str(key)


def test_an_address_used_twice_gets_a_number(there):
    there.user("ann", email="team@example.com")
    there.user("bob", email="TEAM@example.com")
    ran = imported(there)
    assert sorted(User.objects.values_list("email", flat=True)) == ["team+2@example.com", "team@example.com"]
    assert ran.decisions("users") == {"The e-mail address is used twice: a number was added.": 1}


def test_odd_names_addresses_and_roles_are_decided_and_listed(there):
    dotted = there.user("john.doe", email="no address", role="superuser")
    imported_once = imported(there)
    assert set(User.objects.values_list("username", "email", "role")) == {("john.doe", "no address", "viewer")}
    assert set(imported_once.decisions("users")) == {
        "The name is kept, but none like it could be chosen here.",
        "The e-mail address is kept, but no mail will reach it.",
        "The role is unknown: the account becomes a viewer.",
    }
    assert User.objects.get().pk == dotted


def test_an_account_that_was_here_first_stands_for_its_namesake(there):
    admin = make_user("admin", role="admin", email="root@example.com")
    older_admin = there.user("admin", role="viewer")
    mail = there.user("boss", email="root@example.com")
    job = there.job(created_by=str(older_admin))
    there.job(created_by=str(mail))
    ran = imported(there)
    assert list(User.objects.values_list("pk", "role", "email")) == [(admin.pk, "admin", "root@example.com")]
    assert set(Job.objects.values_list("created_by", flat=True)) == {admin.pk}
    assert ran.table("users") == (2, 0, 2, 0)
    assert Job.objects.get(pk=job).created_by == admin


def test_preferences_come_in_and_missing_ones_are_defaults(there):
    ann, bob = there.user("ann"), there.user("bob")
    flags = dict.fromkeys(("email_on_job_success", "daily_digest"), True) | {"email_on_job_failure": False}
    there.insert("user_notification_preferences", [{"id": str(uuid4()), "user_id": str(ann), **flags}])
    there.insert(
        "user_ui_preferences",
        [
            {"id": str(uuid4()), "user_id": str(bob), "jobs_table_columns": '{"end_date": false, "gone": true}'},
            {"id": str(uuid4()), "user_id": str(ann), "jobs_table_columns": "{broken"},
        ],
    )
    ran = imported(there)
    mine = NotificationPreferences.objects.get()
    assert (mine.user_id, mine.daily_digest, mine.email_on_job_failure, mine.weekly_report) == (ann, True, False, False)
    columns = dict(UiPreferences.objects.values_list("user_id", "jobs_table_columns"))
    assert columns[bob] == {**columns[ann], "end_date": False}
    assert ran.decisions("user_ui_preferences") == {"The columns are no JSON object: the defaults are used.": 1}


# --- Categories, teams, Slack ----------------------------------------------------------------------------------------


def test_labels_keep_their_slugs_and_a_team_without_a_handle_gets_one(there):
    there.label("job_categories", "general", name="Everything")
    there.label("job_categories", "Night Jobs", name="Night", is_active=False)
    there.label("pic_teams", "db", name="Databases", slack_handle=None)
    ran = imported(there)
    assert JobCategory.objects.get(slug="general").name == "General"
    assert (JobCategory.objects.get(slug="night-jobs").name, JobCategory.objects.get(slug="night-jobs").is_active) == (
        "Night",
        False,
    )
    assert (PicTeam.objects.get(slug="db").slack_handle, PicTeam.objects.get(slug="ops").slack_handle) == (
        "@db",
        "@ops-people",
    )
    assert ran.table("job_categories") == (2, 1, 1, 0)
    assert "It has no Slack handle: one is made of its slug." in ran.decisions("pic_teams")


def test_slack_settings_are_encrypted_and_never_replaced(there):
    hook = "https://hooks.slack.example.com/services/T/B/secret"
    there.insert("slack_settings", [{"id": "1", "is_enabled": True, "webhook_url": hook, "channel": "#ops"}])
    imported(there)
    stored = SlackSettings.objects.get()
    assert (stored.webhook_url, stored.is_enabled, stored.channel) == (hook, True, "#ops")
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_url FROM slack_settings")
        assert "secret" not in cursor.fetchone()[0]
    SlackSettings.objects.update(is_enabled=False)
    assert imported(there).table("slack_settings") == (1, 0, 1, 0)
    assert SlackSettings.objects.get().is_enabled is False


# --- Jobs ------------------------------------------------------------------------------------------------------------


def test_a_job_comes_in_whole_and_paused(there):
    ann = there.user("ann")
    key = there.job(
        name="Daily",
        created_by=str(ann),
        enable_email_notifications=True,
        notification_emails="ops@example.com, dev@example.com",
        notify_on_success=True,
    )
    ran = imported(there)
    job = Job.objects.get(pk=key)
    assert (job.name, job.cron_expression, job.metadata, job.end_date) == (
        "Daily",
        "0 2 * * *",
        {"env": "production"},
        date(2099, 12, 31),
    )
    assert (job.created_by_id, job.pic_team.slug, job.category.slug) == (ann, "ops", "general")
    assert (job.notification_emails, job.notify_on_success) == (["ops@example.com", "dev@example.com"], True)
    assert (job.created_at, job.updated_at, job.revision) == (aware(JOINED), aware(LATER), 1)
    assert (job.is_active, job.next_fire_at) == (False, None)
    assert (pause_of(job).reason, pause_of(job).batch_id) == (UNTIL_RESUMED, BATCH_ID)
    assert ran.report["batch_id"] == str(BATCH_ID)
    entry = AuditEntry.objects.get(object_id=str(key))
    assert (entry.action, entry.actor_name, entry.revision) == ("job.created", "import_legacy", 1)
    whole = AuditEntry.objects.get(action="import.completed")
    assert whole.changes == {"users": [None, 1], "pic_teams": [None, 1], "jobs": [None, 1]}


def test_activated_jobs_fire_next_in_the_future_only(there):
    active, disabled = there.job(), there.job(is_active=False)
    before = datetime.now(UTC)
    imported(there, "--activate")
    assert Job.objects.get(pk=active).next_fire_at > before
    assert (Job.objects.get(pk=disabled).is_active, pause_of(disabled).reason) == (False, WAS_DISABLED)
    assert not JobExecution.objects.exists()


def test_what_was_paused_by_the_import_is_resumed_by_its_batch(there):
    keys = [there.job(), there.job()]
    disabled = there.job(is_active=False)
    imported(there)
    client = api_client(make_user(role="admin"))
    ids = [str(key) for key in (*keys, disabled)]
    body = {"action": "resume", "ids": ids, "batch_id": str(BATCH_ID)}
    answer = client.post("/api/v2/jobs/bulk", body)
    assert answer.status_code == 200, answer.content
    assert set(Job.objects.active().values_list("pk", flat=True)) == set(keys)


def test_blank_teams_and_end_dates_are_asked_for(there):
    there.job(pic_team=None, end_date=None)
    there.job(pic_team="")
    ran = run("import_legacy", there.url, "--json")
    assert ran.code == 2
    assert ran.report["questions"] == [
        "2 jobs have no team: name one with --default-team SLUG.",
        "1 jobs have no end date: give one with --default-end-date YYYY-MM-DD.",
    ]
    assert not Job.objects.exists()
    assert not PicTeam.objects.exists()
    ran = imported(there, "--default-team", "ops", "--default-end-date", "2098-01-01")
    assert {job.pic_team.slug for job in Job.objects.all()} == {"ops"}
    assert sorted(Job.objects.values_list("end_date", flat=True)) == [date(2098, 1, 1), date(2099, 12, 31)]
    assert ran.decisions("jobs")["It has no team: the one of --default-team."] == 2
    # Answered once for all.
    assert imported(there).table("jobs") == (2, 0, 2, 0)


def test_a_default_team_that_is_nowhere_is_refused(there):
    there.job(pic_team=None)
    ran = run("import_legacy", there.url, "--default-team", "nobody")
    assert (ran.code, "--default-team nobody: there is no such team" in ran.out) == (2, True)


ODD_JOBS: dict[str, dict[str, Any]] = {
    "The metadata is no JSON object: blank here.": {"metadata": "{'env': 1}"},
    "The metadata seems to hold a secret: move it to secret_headers.": {"metadata": '{"api_key": "x"}'},
    "Some of its e-mail addresses are none: left out.": {
        "enable_email_notifications": True,
        "notification_emails": "ops@example.com; nobody",
    },
    "The GitHub fields are incomplete: it stays a webhook.": {"github_repo": "shop"},
    "The URL's password is stored with the secrets and shown as ***.": {
        "target_url": "https://u:pw@hooks.example.com/"
    },
    "Its owner is no account: it comes in without an owner.": {"created_by": "nobody at all"},
}
PAUSED: dict[str, dict[str, Any]] = {
    "Comes in paused: It has neither a URL nor a complete GitHub workflow.": {
        "target_url": None,
        "github_owner": "acme",
        "github_repo": "shop",
    },
    "Comes in paused: Its URL cannot be requested.": {"target_url": "hooks.example.com/x"},
    "Comes in paused: Its end date has passed.": {"end_date": "2025-03-01"},
    "Comes in paused: Its expression cannot be read: Minute must be between 0 and 59.": {
        "cron_expression": "61 * * * *"
    },
}


@pytest.mark.parametrize("decision", ODD_JOBS)
def test_an_odd_job_comes_in_active_and_is_listed(there, decision):
    key = there.job(**ODD_JOBS[decision])
    ran = imported(there, "--activate")
    assert ran.decisions("jobs") == {decision: 1}
    assert Job.objects.get(pk=key).is_active is True


@pytest.mark.parametrize("decision", PAUSED)
def test_a_job_that_cannot_run_comes_in_paused_with_the_reason(there, decision):
    key = there.job(**PAUSED[decision])
    ran = imported(there, "--activate")
    assert Job.objects.get(pk=key).is_active is False
    kinds = [kind for kind in ran.decisions("jobs") if kind.startswith("Comes in paused")]
    assert [kind[:40] for kind in kinds] == [decision[:40]]
    assert pause_of(key).reason == kinds[0].removeprefix("Comes in paused: ")
    assert pause_of(key).batch_id is None


def test_values_of_odd_jobs(there):
    there.job(name="mail", **ODD_JOBS["Some of its e-mail addresses are none: left out."])
    there.job(name="password", **ODD_JOBS["The URL's password is stored with the secrets and shown as ***."])
    there.job(name="webhook", github_repo="shop", github_owner="acme")
    ran = imported(there, "--activate")
    assert Job.objects.get(name="mail").notification_emails == ["ops@example.com"]
    password = Job.objects.get(name="password")
    assert password.target_url == "https://u:***@hooks.example.com/"
    assert Secrets.decrypted(password.encrypted_secrets).url.user_info == "u:pw"
    assert Job.objects.get(name="webhook").is_github is False
    assert "pw" not in str([entry.changes for entry in AuditEntry.objects.all()])
    assert "nobody" in ran.details("Some of its e-mail addresses are none: left out.")


def test_names_that_are_used_here_or_there_get_a_number(there):
    there.job(name="Daily")
    there.job(name="daily")
    there.job(name="Daily ")
    ran = imported(there)
    assert sorted(Job.objects.values_list("name", flat=True)) == ["Daily", "Daily (2)", "daily"]
    assert ran.decisions("jobs")["Another job has this name: a number was added."] == 1


def test_teams_and_categories_that_only_jobs_name_are_made(there):
    key = there.job(category="Night Jobs", pic_team="Platform")
    ran = imported(there)
    job = Job.objects.get(pk=key)
    assert (job.category.slug, job.category.name) == ("night-jobs", "Night Jobs")
    assert (job.pic_team.slug, job.pic_team.slack_handle) == ("platform", "@platform")
    assert ran.decisions("pic_teams") == {"A job names it, but there was no such row there: made.": 1}


# --- Executions ------------------------------------------------------------------------------------------------------


def test_executions_come_in_with_their_counts(there):
    job = there.job()
    ok = there.execution(job)
    bad = there.execution(job, status="failed", trigger_type="manual", response_status=500, error_message="no")
    run_for_ever = there.execution(job, status="running", completed_at=None, duration_seconds=None)
    ran = imported(there)
    rows = JobExecution.objects.in_bulk([ok, bad, run_for_ever])
    assert (rows[ok].started_at, rows[ok].duration_seconds, rows[ok].scheduled_for) == (aware(LATER), 10.0, None)
    assert (rows[bad].status, rows[bad].response_status, rows[bad].error_message) == ("failed", 500, "no")
    assert (rows[run_for_ever].status, rows[run_for_ever].reason) == ("unknown", WAS_RUNNING)
    counted = {(total.status, total.trigger_type): total.number for total in daily_counts.totals(job)}
    assert counted == {("success", "scheduled"): 1, ("failed", "manual"): 1, ("unknown", "scheduled"): 1}
    assert daily_counts.recount(LATER.date()) == 0
    assert ran.table("job_executions") == (3, 3, 0, 0)
    assert ran.decisions("job_executions") == {"It was never recorded how it ended: unknown.": 1}


def test_only_the_history_since_a_day_comes_in(there):
    job, ann = there.job(), there.user("ann")
    there.execution(job, started_at=LATER - timedelta(days=2))
    young = there.execution(job)
    there.notice([ann], created_at=LATER - timedelta(days=2))
    imported(there, "--since", LATER.date())
    assert list(JobExecution.objects.values_list("pk", flat=True)) == [young]


def test_executions_of_no_job_are_left_out_and_end_with_1(there):
    there.execution(there.job())
    there.execution(uuid4())
    ran = run("import_legacy", there.url, "--json")
    assert (ran.code, ran.complaint) == (1, "Rows left out: 1.")
    assert ran.table("job_executions") == (2, 1, 0, 1)
    assert ran.decisions("job_executions") == {"It belongs to no job.": 1}


# --- Again -----------------------------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing_that_was_edited_or_deleted_here(there):
    ann = there.user("ann")
    edited, deleted = there.job(created_by=str(ann)), there.job()
    there.execution(edited)
    there.execution(deleted)
    there.notice([ann])
    imported(there)
    client = api_client(make_user(role="admin"))
    body = {"name": "Edited here", "metadata": {}}
    assert client.put(f"/api/v2/jobs/{edited}", body).status_code == 200
    assert client.delete(f"/api/v2/jobs/{deleted}").status_code == 200
    assert client.put(f"/api/v2/auth/users/{ann}", {"role": "admin"}).status_code == 200
    added = there.job()
    ran = run("import_legacy", there.url, "--json")
    assert ran.code == 1
    assert ran.table("jobs") == (3, 1, 1, 1)
    assert ran.decisions("jobs") == {"The job has been deleted here since it was imported.": 1}
    assert (Job.objects.get(pk=edited).name, User.objects.get(pk=ann).role) == ("Edited here", "admin")
    assert set(Job.objects.values_list("pk", flat=True)) == {edited, added}
    assert JobExecution.objects.count() == 1
