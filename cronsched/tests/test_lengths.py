"""One character too many, through every door that takes text: a refusal that names the field, and nothing written."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import PASSWORD, api_client, make_user
from cronsched.lib.db import limits
from jobs.models import Job
from jobs.tests.factories import job_body, make_job
from taxonomy.models import JobCategory, PicTeam
from taxonomy.tests.factories import make_category, make_team

pytestmark = [pytest.mark.database, pytest.mark.django_db]

API = "/api/v2"
SURROGATE = "\\ud83d"
OWN = ("accounts", "audit", "taxonomy", "jobs", "notifications")

# Path, method and a body that is accepted; `{…}` are ids of what `world` makes.
DOORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create job": ("post", "/jobs", {**job_body(), "timezone": "UTC"}),
    "update job": ("put", "/jobs/{job}", {"name": "x", "cron_expression": "* * * * *", "timezone": "UTC"}),
    "create job at GitHub": (
        "post",
        "/jobs",
        {**job_body(target_url=None), "github_owner": "a", "github_repo": "b", "github_workflow_name": "c.yml"},
    ),
    "renew job": ("post", "/jobs/{job}/renew", {"days": 30, "reason": "x"}),
    "pause job": ("post", "/jobs/{job}/pause", {"reason": "x"}),
    "create category": ("post", "/job-categories", {"name": "x", "slug": "x"}),
    "update category": ("put", "/job-categories/{category}", {"name": "x"}),
    "create team": ("post", "/pic-teams", {"name": "x", "slug": "x", "slack_handle": "@x"}),
    "update team": ("put", "/pic-teams/{team}", {"name": "x", "slack_handle": "@x"}),
    "Slack": ("put", "/settings/slack", {"channel": "#x", "webhook_url": "https://hooks.slack.com/x"}),
    "register": ("post", "/auth/register", {"username": "xxx", "email": "x@example.com", "password": PASSWORD}),
    "update user": ("put", "/auth/users/{user}", {"email": "x@example.com"}),
}
# How long each may be; what is not here is no column of its own.
LONGEST = {
    "name": 255,
    "cron_expression": 100,
    "target_url": 500,
    "timezone": 64,
    "pic_team": 100,
    "github_owner": 39,
    "github_repo": 100,
    "github_workflow_name": 255,
    "reason": 500,
    "slug": 100,
    "slack_handle": 255,
    "channel": 255,
    "webhook_url": 2048,
    "username": 80,
    "email": 120,
}


@pytest.fixture
def world(db: None) -> dict[str, Any]:
    make_team(name="Ops")
    return {
        "job": make_job().pk,
        "category": make_category(name="Reports").pk,
        "team": make_team(name="Night").pk,
        "user": make_user("somebody").pk,
    }


def cases() -> Iterator[tuple[str, str]]:
    for door, (_, _, body) in DOORS.items():
        for field, value in body.items():
            if field in LONGEST and isinstance(value, str):
                yield door, field


def too_long(field: str, length: int) -> str:
    match field:
        case "email":
            return "x" * (length - len("@example.com")) + "@example.com"
        case "target_url" | "webhook_url":
            start = "https://hooks.slack.com/"
            return start + "x" * (length - len(start))
    return "x" * length


def everything() -> list[Any]:
    models = (Job, JobCategory, PicTeam, apps.get_model("notifications", "SlackSettings"))
    return [sorted(map(str, model._default_manager.values_list())) for model in models]


def call(world: dict[str, Any], door: str, **changed: Any) -> Any:
    method, path, body = DOORS[door]
    client = api_client(make_user(role="admin"))
    return getattr(client, method)(API + path.format(**world), {**body, **changed})


@pytest.mark.parametrize("door", DOORS)
def test_the_doors_are_open_to_what_fits(world, door):
    assert call(world, door).status_code in {200, 201}


@pytest.mark.parametrize(("door", "field"), list(cases()))
def test_one_character_too_many_is_refused_and_the_field_is_named(world, door, field):
    before = everything()
    answer = call(world, door, **{field: too_long(field, LONGEST[field] + 1)})
    assert answer.status_code in ({422} if door == "register" else {400}), answer.content
    text = answer.content.decode().lower()
    assert any(word in text for word in (field, field.replace("_", " "), "cron expression", "job name"))
    assert everything() == before


@pytest.mark.parametrize("bad", ["\x00", SURROGATE], ids=["NUL", "surrogate"])
@pytest.mark.parametrize(("door", "field"), list(cases()))
def test_what_is_no_text_to_a_database_is_refused(world, door, field, bad):
    method, path, body = DOORS[door]
    client = api_client(make_user(role="admin"))
    sent = {**body, field: f"x{bad}x" if field != "email" else f"x{bad}x@example.com"}
    raw = json.dumps(sent).replace("\\\\ud83d", "\\ud83d")
    answer = client.generic(method.upper(), API + path.format(**world), raw, content_type="application/json")
    assert answer.status_code in {400, 422}, answer.content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (name, value)
        for name in ("misfire_grace_seconds", "timeout_seconds", "max_attempts", "backoff_seconds", "spread_seconds")
        for value in (-1, 2**31, 2**63, 10**30, 1.5, "1e5", float("1e300"))
    ]
    + [
        (name, value)
        for name in ("pause_after_failures", "notify_after_failures", "remind_every_hours", "retry_max_age_seconds")
        for value in (-1, 2**31, 10**30, 1.5)
    ],
)
def test_a_number_out_of_range_is_refused(world, field, value):
    answer = call(world, "create job", **{field: value})
    assert (answer.status_code, field in answer.content.decode()) == (400, True), answer.content


def test_an_address_of_262_characters_is_refused(world):
    mails = {"enable_email_notifications": True, "notification_emails": ["a" * 250 + "@example.com"]}
    answer = call(world, "create job", **mails)
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "notification_emails must contain valid email addresses.",
    )
    mails["notification_emails"] = [f"p{number}@example.com" for number in range(21)]
    answer = call(world, "update job", **mails)
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid notification_emails")
    assert "at most 20 addresses" in answer.json()["message"]


COLUMNS = ("name", "cron_expression", "target_url", "timezone", "pic_team", "category")
ROW = {
    "name": "From a file",
    "cron_expression": "0 2 * * *",
    "target_url": "https://hooks.example.com/",
    "timezone": "UTC",
    "pic_team": "ops",
    "category": "general",
    "end_date": "2099-12-31",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_row_of_a_file_is_refused_alone(world, column):
    longest = {**LONGEST, "category": 100}[column]
    rows = [{**ROW, column: too_long(column, longest + 1)}, {**ROW, "name": "Good"}]
    text = "\n".join([",".join(ROW), *(",".join(row.values()) for row in rows)])
    file = SimpleUploadedFile("jobs.csv", text.encode())
    answer = api_client(make_user(role="admin")).post(f"{API}/jobs/bulk-upload", {"file": file}, format="multipart")
    assert answer.status_code == 200, answer.content
    assert (answer.json()["created_count"], answer.json()["error_count"]) == (1, 1)


@pytest.mark.parametrize(
    ("page", "body", "field"),
    [
        ("taxonomy_picteam_add", {"name": "x" * 256, "slack_handle": "@x", "is_active": "on"}, "name"),
        ("taxonomy_picteam_add", {"name": "x", "slack_handle": "x" * 256, "is_active": "on"}, "slack_handle"),
        ("taxonomy_picteam_add", {"name": "x", "slack_handle": "@x", "emails": "a" * 250 + "@example.com"}, "emails"),
        ("taxonomy_jobcategory_add", {"name": "x" * 256, "is_active": "on"}, "name"),
        ("jobs_job_add", {"name": "x" * 256, "cron_expression": "* * * * *"}, "name"),
        ("jobs_job_add", {"name": "x", "cron_expression": "x" * 101}, "cron_expression"),
        ("jobs_job_add", {"name": "x", "target_url": "https://example.com/" + "x" * 481}, "target_url"),
        ("jobs_job_add", {"name": "x", "timezone": "x" * 65}, "timezone"),
        ("accounts_user_add", {"username": "x" * 81, "email": "x@example.com"}, "username"),
        ("accounts_user_add", {"username": "xxx", "email": "x" * 109 + "@example.com"}, "email"),
    ],
)
def test_a_form_of_the_console_says_it_at_the_field(world, client, page, body, field):
    client.force_login(make_user(role="admin"))
    answer = client.post(reverse(f"admin:{page}"), body)
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DEFAULT_ADMIN_USERNAME", "x" * 81), ("DEFAULT_ADMIN_EMAIL", "x" * 109 + "@example.com")],
)
def test_the_command_that_makes_the_first_account_makes_none(settings, variable, value):
    settings.ALLOW_DEFAULT_ADMIN = True
    setattr(settings, variable, value)
    with pytest.raises(CommandError, match=variable):
        call_command("create_first_admin")
    assert not User.objects.exists()


def test_every_text_of_a_model_is_judged_by_the_writing_layer():
    """What no door checks, and no door shows yet, is refused before a database sees it."""
    for app in OWN:
        for model in apps.get_app_config(app).get_models():
            known = limits.of_table(model._meta.db_table)
            for field in model._meta.concrete_fields:
                if field.get_internal_type() in {"CharField", "EmailField", "SlugField", "URLField"}:
                    assert known[str(field.column)].longest == field.max_length, field
