"""What is decided about rows that cannot come in as they are: each is listed under its sentence, with its detail."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import User
from cronsched.lib.input import addresses
from jobs.models import Job, JobExecution
from jobs.tests.importing.legacy import older
from jobs.tests.importing.legacy.conftest import run
from jobs.tests.importing.legacy.older import JOINED, LATER, OlderDatabase, aware, execution_row
from notifications.models import Notification, SlackSettings
from taxonomy.models import JobCategory

pytestmark = pytest.mark.django_db

NAME = "The name is blank, too long, or holds blanks around it: changed."
NOT_GITHUB = "github_owner is not as GitHub has it."
Make = Callable[[OlderDatabase], Any]


@pytest.fixture
def file(tmp_path):
    """SQLite, which keeps whatever was written, of any length."""
    with older.in_file(tmp_path) as database:
        database.label("pic_teams", "ops")
        yield database


def prefer(there: OlderDatabase) -> None:
    there.insert("user_notification_preferences", [{"id": "1", "user_id": str(uuid4()), "daily_digest": True}])


def run_of(**fields: Any) -> Make:
    return lambda there: there.execution(there.job(name="Daily"), **fields)


def slack(**fields: Any) -> Make:
    row = {"id": "1", "is_enabled": True, "webhook_url": "https://hooks.example.com/", "channel": None}
    return lambda there: there.insert("slack_settings", [row | fields])


# Table, sentence -> what makes it, a model, and what it holds afterwards.
DECIDED: dict[tuple[str, str], tuple[Make, Any, dict[str, Any]]] = {
    ("users", "No readable date of creation: 1970 is used."): (
        lambda there: there.user("ann", created_at="once", updated_at=None),
        User,
        {"username": "ann", "created_at__year": 1970},
    ),
    ("users", NAME): (lambda there: there.user("a" * 100, email="a@example.com"), User, {"username": "a" * 80}),
    ("users", "The name is used twice: a number was added."): (
        lambda there: [there.user("ann"), there.user("ann", email="other@example.com")],
        User,
        {"username": "ann-2"},
    ),
    ("users", "No usable e-mail address: a placeholder is used."): (
        lambda there: there.user("ann", email=" "),
        User,
        {"email__endswith": "@imported.invalid"},
    ),
    ("job_categories", "The slug is blank, too long or not in form: changed."): (
        lambda there: there.label("job_categories", "Night Jobs!", name="Nights"),
        JobCategory,
        {"slug": "night-jobs", "name": "Nights"},
    ),
    ("slack_settings", "The address is not https: nothing will be posted."): (
        slack(webhook_url="http://hooks.example.com/"),
        SlackSettings,
        {"is_enabled": True},
    ),
    ("jobs", "The name is blank or too long: changed."): (
        lambda there: there.job(name="n" * 300),
        Job,
        {"name": "n" * 255},
    ),
    ("jobs", "The expression is too long: cut."): (
        lambda there: there.job(cron_expression="0,1 " * 60 + "* * * *"),
        Job,
        {"is_active": False},
    ),
    ("jobs", "Mails are off: its addresses are not kept."): (
        lambda there: there.job(notification_emails="ops@example.com"),
        Job,
        {"notification_emails": []},
    ),
    ("jobs", "More e-mail addresses than a job may have: the first ones are kept."): (
        lambda there: there.job(
            enable_email_notifications=True,
            notification_emails=",".join(f"p{n}@example.com" for n in range(addresses.MAX_ADDRESSES + 1)),
        ),
        Job,
        {"notification_emails": [f"p{n}@example.com" for n in range(addresses.MAX_ADDRESSES)]},
    ),
    ("jobs", "No GitHub owner: the one of DEFAULT_GITHUB_OWNER."): (
        lambda there: there.job(target_url=None, github_repo="shop", github_workflow_name="deploy.yml"),
        Job,
        {"github_owner": "acme", "github_repo": "shop"},
    ),
    ("jobs", NOT_GITHUB): (
        lambda there: there.job(github_owner="a/b", github_repo="shop", github_workflow_name="x.yml"),
        Job,
        {"target_url": "https://hooks.example.com/", "is_active": True},
    ),
    ("jobs", "The metadata is kept, but has to become shorter at its next change."): (
        lambda there: there.job(metadata=json.dumps({"text": "x" * 70_000})),
        Job,
        {"metadata": {"text": "x" * 70_000}},
    ),
    ("job_executions", "Its status is not one of the older service's: unknown."): (
        run_of(status="paused"),
        JobExecution,
        {"status": "unknown", "reason__contains": "'paused'"},
    ),
    ("job_executions", "It is not on record what started it: manual."): (
        run_of(trigger_type=None, target="https://hooks.example.com/" + "x" * 600),
        JobExecution,
        {"trigger_type": "manual", "target": ("https://hooks.example.com/" + "x" * 600)[:500]},
    ),
    ("job_executions", "Its kind is neither webhook nor GitHub Actions: blank."): (
        run_of(execution_type="mail", duration_seconds=None),
        JobExecution,
        {"execution_type": None, "duration_seconds": 10.0},
    ),
}
LEFT_OUT: dict[tuple[str, str], Make] = {
    ("users", "The row has no id."): lambda there: there.user("ann", id=None),
    ("user_notification_preferences", "The row belongs to no account."): prefer,
    ("pic_teams", "It has neither a usable slug nor a usable name."): (
        lambda there: there.label("pic_teams", "!", name="?")
    ),
    ("slack_settings", "There is no usable address of a webhook."): slack(webhook_url=None),
    ("jobs", "The row has no id."): lambda there: there.job(id=None),
    ("job_executions", "The row has no id."): run_of(id=None),
    ("job_executions", "Its start time cannot be read."): run_of(started_at="?", completed_at=None),
    ("notifications", "Its creation time cannot be read."): (
        lambda there: there.insert(
            "notifications", [older.notification_row(uuid4(), there.user("ann")) | {"created_at": "?"}]
        )
    ),
}


@pytest.mark.parametrize("key", DECIDED, ids=" ".join)
def test_a_row_that_is_changed_is_listed(file, settings, key):
    settings.DEFAULT_GITHUB_OWNER = "acme"
    make, model, held = DECIDED[key]
    make(file)
    ran = run("import_legacy", file.url, "--activate", "--json")
    table, decision = key
    assert (ran.code, ran.decisions(table)[decision]) == (0, 1)
    assert model.objects.filter(**held).count() == 1, list(model.objects.values())


@pytest.mark.parametrize("key", LEFT_OUT, ids=" ".join)
def test_a_row_that_is_left_out_is_listed(file, key):
    LEFT_OUT[key](file)
    ran = run("import_legacy", file.url, "--json")
    table, decision = key
    assert (ran.code, ran.decisions(table)) == (1, {decision: 1})
    assert ran.table(table)[3] == 1


def test_an_account_that_was_deleted_here_does_not_come_back(file, admin):
    from accounts.tests.factories import api_client

    ann = file.user("ann")
    assert run("import_legacy", file.url).code == 0
    assert api_client(admin).delete(f"/api/v2/auth/users/{ann}").status_code == 200
    ran = run("import_legacy", file.url, "--json")
    assert ran.decisions("users") == {"The account has been deleted here since it was imported.": 1}
    assert not User.objects.filter(pk=ann).exists()


def test_notices_lose_what_they_refer_to_where_that_is_not_here(file):
    ann = file.user("ann")
    file.notice([ann], related_job_id=str(uuid4()), related_execution_id=str(UUID(int=5)))
    assert run("import_legacy", file.url).code == 0
    notice = Notification.objects.get()
    assert (notice.related_job_id, notice.related_execution_id) == (None, None)


def test_what_belongs_to_a_row_that_is_left_out_does_not_stop_the_rest(file):
    """Foreign keys to nobody, in each table that has one."""
    ann, job = file.user("ann"), file.job(created_by=str(uuid4()))
    file.insert("job_executions", [execution_row(uuid4(), job), execution_row(uuid4(), uuid4(), LATER)])
    file.notice([ann, uuid4()])
    prefer(file)
    ran = run("import_legacy", file.url, "--json")
    left_out = {name: count["left_out"] for name, count in ran.report["tables"].items() if count["left_out"]}
    assert left_out == {"user_notification_preferences": 1, "job_executions": 1, "notifications": 1}
    assert Job.objects.get().created_by is None
    assert JobExecution.objects.get().started_at == aware(LATER)
    assert (User.objects.get().created_at, Notification.objects.get().created_at) == (aware(JOINED), aware(LATER))
