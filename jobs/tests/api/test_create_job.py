"""POST /jobs."""

import json

import pytest

from accounts.tests.factories import api_client
from jobs.models import Job
from jobs.tests.factories import job_body, make_job
from notifications.models import Notification
from taxonomy.tests.factories import make_category, make_team

JOBS = "/api/v2/jobs"
JOB_KEYS = {
    "id",
    "name",
    "cron_expression",
    "target_url",
    "github_owner",
    "github_repo",
    "github_workflow_name",
    "metadata",
    "category",
    "pic_team",
    "end_date",
    "enable_email_notifications",
    "notification_emails",
    "notify_on_success",
    "created_by",
    "is_active",
    "created_at",
    "updated_at",
    "last_execution_at",
    "next_execution_at",
}
OPTION_DEFAULTS = {
    "timezone": None,
    "misfire_grace_seconds": 3600,
    "catch_up": "latest",
    "overlap": "allow",
    "timeout_seconds": 10,
    "max_attempts": 1,
    "backoff_seconds": 30,
    "spread_seconds": 0,
    "pause_after_failures": None,
    "track_run": None,
    "notify_after_failures": None,
    "remind_every_hours": None,
    "notify_on_recovery": None,
    "webhook_method": None,
    "webhook_headers": {},
    "webhook_body": None,
    "success_statuses": None,
    "success_contains": None,
    "retry_on": "temporary",
    "retry_max_age_seconds": 86400,
    "secret_headers": {},
    "signing_secrets": 0,
    "consecutive_failures": 0,
    "target_check": None,
    "paused": None,
    "revision": 1,
}
NEEDS_SCHEME = (
    "target_url must include scheme (http:// or https://). For GitHub dispatch, use "
    "github_owner/github_repo/github_workflow_name or provide owner/repo/workflow."
)
NO_TARGET = (
    'Please provide either "target_url" or GitHub Actions configuration '
    "(github_owner, github_repo, github_workflow_name)"
)
UNKNOWN_CATEGORY = "Unknown category. Create it in Settings → Categories first, or choose General."
BAD_LIST = "notification_emails must be a list"
BAD_ADDRESS = "notification_emails must contain valid email addresses."

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


@pytest.fixture
def client(alice):
    return api_client(alice)


def create(client, **fields):
    return client.post(JOBS, job_body(**fields))


def created(client, **fields):
    response = create(client, **fields)
    assert response.status_code == 201, response.content
    return response.json()["job"]


def refused(client, **fields):
    response = create(client, **fields)
    assert response.status_code == 400, response.content
    assert not Job.objects.exists()
    return response.json()


def test_a_new_job_is_answered_with_every_key(client, alice):
    response = client.post(JOBS, job_body(name=" Daily backup ", metadata={"env": "production"}))
    job = response.json()["job"]
    assert response.status_code == 201
    assert response.json()["message"] == "Job created successfully"
    assert set(job) == JOB_KEYS | set(OPTION_DEFAULTS)
    assert job["name"] == "Daily backup"
    assert job["metadata"] == {"env": "production"}
    assert job["created_by"] == str(alice.pk)
    assert (job["category"], job["pic_team"], job["is_active"]) == ("general", "ops", True)
    assert job["next_execution_at"].endswith("T02:00:00+09:00")
    assert job["last_execution_at"] is None
    assert {name: job[name] for name in OPTION_DEFAULTS} == OPTION_DEFAULTS


def test_a_new_job_is_scheduled(client):
    job = Job.objects.get(pk=created(client)["id"])
    assert job.next_fire_at is not None
    assert (job.next_fire_at.hour, job.next_fire_at.minute) == (17, 0)


def test_everybody_is_told_of_a_new_job(client):
    job = created(client, name="Daily backup")
    notice = Notification.objects.get()
    assert notice.title == "New Job Created"
    assert notice.message == 'Job "Daily backup" was created by alice@example.com.'
    assert str(notice.related_job_id) == job["id"]
    assert notice.user_id is None


@pytest.mark.parametrize(
    "absent, missing",
    [
        (["name"], ["name"]),
        (["end_date", "name"], ["name", "end_date"]),
        (["cron_expression", "end_date", "name"], ["name", "cron_expression", "end_date"]),
    ],
)
def test_absent_required_keys_are_named_in_the_contracts_order(client, absent, missing):
    body = {key: value for key, value in job_body(cron_expression="nonsense").items() if key not in absent}
    response = client.post(JOBS, body)
    assert response.status_code == 400
    assert response.json() == {"error": "Missing required fields", "missing_fields": missing}


@pytest.mark.parametrize(
    "fields, error, message",
    [
        ({"name": ""}, "Job name cannot be empty", None),
        ({"name": None}, "Job name cannot be empty", None),
        ({"name": "  "}, "Job name cannot be empty", None),
        ({"name": "n" * 256}, "Invalid name", "Job name must be at most 255 characters."),
        ({"name": 5}, "Invalid payload", '"name" must be a string.'),
        ({"name": "a\x00b"}, "Invalid payload", "Text must not contain NUL or incomplete characters."),
        ({"cron_expression": ""}, "Invalid cron expression", "Cron expression is required."),
        ({"cron_expression": None}, "Invalid cron expression", "Cron expression is required."),
        (
            {"cron_expression": "* * *"},
            "Invalid cron expression",
            "Cron expression must have exactly 5 fields (minute hour day month day-of-week).",
        ),
        (
            {"cron_expression": "0," * 60 + "0 * * * *"},
            "Invalid cron expression",
            "Cron expression must be at most 100 characters.",
        ),
        ({"cron_expression": ["0 2 * * *"]}, "Invalid payload", '"cron_expression" must be a string.'),
        ({"target_url": "example.com/hook"}, "Invalid target_url", NEEDS_SCHEME),
        ({"target_url": "ftp://example.com"}, "Invalid target_url", NEEDS_SCHEME),
        ({"target_url": "http://"}, "Invalid target_url", NEEDS_SCHEME),
        ({"target_url": "https:///path"}, "Invalid target_url", NEEDS_SCHEME),
        ({"target_url": "http://[::1"}, "Invalid target_url", NEEDS_SCHEME),
        ({"target_url": "github.com/acme/tool"}, "Invalid target_url", NEEDS_SCHEME),
        ({"target_url": "acme//deploy.yml"}, "Invalid target_url", NEEDS_SCHEME),
        (
            {"target_url": "https://example.com/" + "p" * 500},
            "Invalid target_url",
            "target_url must be at most 500 characters.",
        ),
        (
            {"target_url": "https://exa mple.com/"},
            "Invalid target_url",
            "target_url cannot be requested: invalid URL: the host or port is not valid.",
        ),
        ({"target_url": 7}, "Invalid payload", '"target_url" must be a string.'),
        ({"github_owner": "o" * 256}, "Invalid github_owner", "github_owner must be at most 255 characters."),
        ({"github_repo": "r" * 256}, "Invalid github_repo", "github_repo must be at most 255 characters."),
        (
            {"github_workflow_name": "w" * 256},
            "Invalid github_workflow_name",
            "github_workflow_name must be at most 255 characters.",
        ),
        ({"github_repo": {}}, "Invalid payload", '"github_repo" must be a string.'),
        (
            {"github_owner": "o" * 40},
            "Invalid github_owner",
            "github_owner must be at most 39 characters, as at GitHub.",
        ),
        (
            {"github_repo": "r" * 101},
            "Invalid github_repo",
            "github_repo must be at most 100 characters, as at GitHub.",
        ),
        (
            {"github_repo": "acme/tool"},
            "Invalid github_repo",
            "github_repo must not contain blanks or any of / \\ ? # %.",
        ),
        (
            {"target_url": "acme/tool/a b.yml"},
            "Invalid github_workflow_name",
            "github_workflow_name must not contain blanks or any of / \\ ? # %.",
        ),
        (
            {"target_url": "http://localhost:0/"},
            "Invalid target_url",
            "target_url cannot be requested: invalid URL: the port is not valid.",
        ),
        (
            {"target_url": "https://example.com/\u200bhook"},
            "Invalid target_url",
            "target_url cannot be requested: invalid URL: it contains an invisible character, U+200B.",
        ),
        (
            {"metadata": {"a": "x" * 65_530}},
            "Invalid metadata",
            "metadata must be at most 65536 bytes as JSON (64 KB); it has 65538.",
        ),
        (
            {"timezone": "europe/berlin"},
            "Invalid timezone",
            "Unknown time zone 'europe/berlin'. Did you mean Europe/Berlin?",
        ),
        (
            {"timezone": "America/Los Angeles"},
            "Invalid timezone",
            "Unknown time zone 'America/Los Angeles'. Did you mean America/Los_Angeles?",
        ),
        ({"category": "nowhere"}, "Invalid category", UNKNOWN_CATEGORY),
        ({"category": 3}, "Invalid payload", '"category" must be a string.'),
        ({"metadata": []}, "Invalid metadata", "metadata must be a JSON object"),
        ({"metadata": "{}"}, "Invalid metadata", "metadata must be a JSON object"),
        ({"metadata": False}, "Invalid metadata", "metadata must be a JSON object"),
        ({"notification_emails": None}, "Invalid notification_emails", BAD_LIST),
        ({"notification_emails": "a@example.com"}, "Invalid notification_emails", BAD_LIST),
        (
            {"enable_email_notifications": True, "notification_emails": ["a@example.com", "b@"]},
            "Invalid notification_emails",
            BAD_ADDRESS,
        ),
        ({"enable_email_notifications": True, "notification_emails": [1]}, "Invalid notification_emails", BAD_ADDRESS),
        ({"end_date": None}, "Missing required fields", '"end_date" is required (YYYY-MM-DD).'),
        ({"end_date": " "}, "Missing required fields", '"end_date" is required (YYYY-MM-DD).'),
        ({"end_date": "31.12.2099"}, "Invalid end_date", "Invalid end_date. Use YYYY-MM-DD."),
        ({"end_date": "2099-02-30"}, "Invalid end_date", "Invalid end_date. Use YYYY-MM-DD."),
        ({"end_date": "20991231"}, "Invalid end_date", "Invalid end_date. Use YYYY-MM-DD."),
        ({"end_date": "２０９９-01-01"}, "Invalid end_date", "Invalid end_date. Use YYYY-MM-DD."),
        ({"end_date": "2020-01-01"}, "Invalid end_date", "end_date must be today or in the future (JST)."),
        ({"end_date": 20991231}, "Invalid payload", '"end_date" must be a string.'),
        ({"pic_team": None}, "Invalid PIC team", "PIC team is required. Create one in Settings → PIC Teams."),
        ({"pic_team": "x"}, "Invalid PIC team", "Unknown PIC team. Create it in Settings → PIC Teams first."),
        ({"target_url": ""}, "Missing target configuration", NO_TARGET),
        ({"target_url": None, "github_repo": "tool"}, "Missing target configuration", NO_TARGET),
        (
            {"timezone": "Mars/Base"},
            "Invalid timezone",
            "Unknown time zone 'Mars/Base'. Use an IANA name such as Asia/Tokyo.",
        ),
        ({"timezone": 9}, "Invalid timezone", "Unknown time zone 9. Use an IANA name such as Asia/Tokyo."),
        (
            {"timezone": "../../etc/passwd"},
            "Invalid timezone",
            "Unknown time zone '../../etc/passwd'. Use an IANA name such as Asia/Tokyo.",
        ),
        ({"catch_up": "some"}, "Invalid catch_up", "catch_up must be one of: latest, all, none."),
        ({"overlap": 1}, "Invalid overlap", "overlap must be one of: allow, skip, queue."),
        (
            {"misfire_grace_seconds": -1},
            "Invalid misfire_grace_seconds",
            "misfire_grace_seconds must be a whole number from 0 to 604800.",
        ),
        ({"timeout_seconds": 0}, "Invalid timeout_seconds", "timeout_seconds must be a whole number from 1 to 3600."),
        (
            {"timeout_seconds": "10"},
            "Invalid timeout_seconds",
            "timeout_seconds must be a whole number from 1 to 3600.",
        ),
        ({"max_attempts": 2.5}, "Invalid max_attempts", "max_attempts must be a whole number from 1 to 20."),
        ({"max_attempts": True}, "Invalid max_attempts", "max_attempts must be a whole number from 1 to 20."),
        ({"max_attempts": 10**30}, "Invalid max_attempts", "max_attempts must be a whole number from 1 to 20."),
        (
            {"backoff_seconds": 86401},
            "Invalid backoff_seconds",
            "backoff_seconds must be a whole number from 1 to 86400.",
        ),
        ({"spread_seconds": 3601}, "Invalid spread_seconds", "spread_seconds must be a whole number from 0 to 3600."),
    ],
)
def test_a_wrong_field_is_refused_in_the_contracts_words(client, fields, error, message):
    body = refused(client, **fields)
    assert (body["error"], body.get("message")) == (error, message)


def test_a_help_for_the_expression_comes_beside_the_reason(client):
    assert refused(client, cron_expression="@daily")["hint"]


def test_a_disabled_team_is_refused(client):
    make_team(name="Gone", is_active=False)
    message = "PIC team is disabled. Enable it in Settings → PIC Teams or choose another."
    assert refused(client, pic_team="gone")["message"] == message


@pytest.mark.parametrize(
    "first, later",
    [
        ({"name": ""}, {"cron_expression": "x"}),
        ({"cron_expression": "x"}, {"target_url": "x"}),
        ({"target_url": "x"}, {"github_owner": "o" * 256}),
        ({"github_owner": "o" * 256}, {"category": "x"}),
        ({"category": "x"}, {"metadata": 1}),
        ({"metadata": 1}, {"notification_emails": 1}),
        ({"notification_emails": 1}, {"end_date": "x"}),
        ({"end_date": "x"}, {"pic_team": "x"}),
        ({"pic_team": "x"}, {"target_url": None}),
        ({"target_url": None}, {"overlap": "x"}),
    ],
)
def test_the_first_broken_field_of_the_contracts_order_is_the_answer(client, first, later):
    assert refused(client, **first, **later) == refused(client, **first)


def test_a_taken_name_is_refused(client):
    make_job(name="Daily backup")
    response = create(client, name="Daily backup")
    assert response.status_code == 400
    assert response.json() == {
        "error": "Duplicate job name",
        "message": 'A job with the name "Daily backup" already exists. Please use a unique name.',
    }


def test_names_that_differ_in_case_are_two_names(client):
    make_job(name="Daily backup")
    assert created(client, name="daily backup")["name"] == "daily backup"


@pytest.mark.parametrize("written", ["prod-canary", "Prod/Canary", "PROD canary", " prod-CANARY "])
def test_a_category_is_found_by_slug_or_name(client, written):
    assert created(client, category=written)["category"] == "prod-canary"


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_without_a_category_a_job_is_general(client, blank):
    assert created(client, category=blank)["category"] == "general"


def test_a_name_outside_ascii_is_found_ignoring_case(client):
    make_team(name="Übung", slug="drill")
    assert created(client, pic_team="übung")["pic_team"] == "drill"


def test_a_disabled_category_is_accepted(client):
    make_category(name="Old", is_active=False)
    assert created(client, category="old")["category"] == "old"


@pytest.mark.parametrize("fields", [{"pic_team_slug": "ops"}, {"pic_team": "", "pic_team_slug": "OPS"}])
def test_the_team_has_a_second_name(client, fields):
    body = {**job_body(), "pic_team": None, **fields}
    assert client.post(JOBS, body).json()["job"]["pic_team"] == "ops"


def test_owner_repo_workflow_in_place_of_the_url_becomes_the_workflow(client):
    job = created(client, target_url="acme/tool/deploy.yml", github_owner="other")
    assert job["target_url"] is None
    assert [job["github_owner"], job["github_repo"], job["github_workflow_name"]] == ["acme", "tool", "deploy.yml"]


def test_both_kinds_of_target_are_stored_together(client):
    job = created(client, github_owner="acme", github_repo="tool", github_workflow_name="7")
    assert job["target_url"] == "https://hooks.example.com/"
    assert job["github_workflow_name"] == "7"


def test_the_default_owner_completes_a_workflow(client, settings):
    settings.DEFAULT_GITHUB_OWNER = "acme"
    workflow = {"github_repo": "tool", "github_workflow_name": "deploy"}
    assert created(client, target_url=None, **workflow)["github_owner"] == "acme"


def test_the_default_owner_is_not_given_to_a_webhook(client, settings):
    settings.DEFAULT_GITHUB_OWNER = "acme"
    assert created(client, github_repo="stray", github_workflow_name="stray")["github_owner"] is None


def test_while_mails_are_off_no_addresses_are_kept(client):
    job = created(client, notification_emails=["a@example.com"], notify_on_success=True)
    assert (job["enable_email_notifications"], job["notification_emails"], job["notify_on_success"]) == (
        False,
        [],
        False,
    )


def test_addresses_are_trimmed(client):
    job = created(client, enable_email_notifications=True, notification_emails=[" a@example.com "], notify_on_success=1)
    assert (job["notification_emails"], job["notify_on_success"]) == (["a@example.com"], True)


@pytest.mark.parametrize(
    "sent, stored",
    [
        (True, True),
        (False, False),
        (None, True),
        ("false", False),
        ("OFF", False),
        (" no ", False),
        ("0", False),
        ("", False),
        ("yes", True),
        (0, False),
        (2, True),
        ([], False),
        ({"a": 1}, True),
    ],
)
def test_whether_it_is_active_follows_truthiness(client, sent, stored):
    job = created(client, is_active=sent)
    assert job["is_active"] is stored
    assert (job["next_execution_at"] is not None) is stored


def test_what_the_server_decides_is_ignored_in_the_body(client, alice, bob):
    job = created(client, id="x", created_by=str(bob.pk), created_at="2000-01-01", updated_at=5, unknown={"a": 1})
    assert job["created_by"] == str(alice.pk)
    assert job["created_at"] > "2026"


def test_options_of_the_schedule_are_stored(client):
    options = {
        "timezone": "Europe/Berlin",
        "misfire_grace_seconds": 60,
        "catch_up": "ALL",
        "overlap": "skip",
        "timeout_seconds": 30,
        "max_attempts": 3,
        "backoff_seconds": 5,
        "spread_seconds": 600,
    }
    job = created(client, **options)
    assert {name: job[name] for name in options} == {**options, "catch_up": "all"}


def test_the_next_execution_of_a_job_with_a_zone_is_shown_in_the_schedulers(client):
    # 03:00 in Honolulu, which has no summer time, is 22:00 in Tokyo.
    job = created(client, cron_expression="0 3 * * *", timezone="Pacific/Honolulu")
    assert job["next_execution_at"].endswith("T22:00:00+09:00")


def test_null_and_blank_options_mean_the_defaults(client):
    job = created(client, **{**dict.fromkeys(OPTION_DEFAULTS), "timezone": " ", "overlap": ""})
    assert {name: job[name] for name in OPTION_DEFAULTS} == OPTION_DEFAULTS


def test_metadata_survives_as_it_came(client):
    metadata = {
        "": None,
        "huge": 10**40,
        "negative": -(2**70),
        "small": 1e-300,
        "text": "Grüße 🎉 \" ' \\ </script>",
        "nested": {"a": [1, [2, {"b": []}]]},
    }
    job = created(client, metadata=metadata)
    assert job["metadata"] == metadata
    assert Job.objects.get(pk=job["id"]).metadata == metadata


def test_metadata_may_be_as_deep_as_bodies_may_be(client):
    deep: dict[str, object] = {}
    for _ in range(21):
        deep = {"a": deep}
    assert created(client, metadata=deep)["metadata"] == deep


@pytest.mark.parametrize(
    "raw, content_type, error",
    [
        (b"{}", "text/plain", "Content-Type must be application/json"),
        (b"{", "application/json", "Invalid JSON"),
        (b"\xff", "application/json", "Invalid JSON"),
        (b'{"name":NaN}', "application/json", "Invalid JSON"),
        (b'{"name":1,"name":2}', "application/json", "Invalid JSON"),
        (b"[]", "application/json; charset=utf-8", "Invalid payload"),
        (b"null", "application/json", "Invalid payload"),
        (b'{"metadata":' + b'{"a":' * 100 + b"1" + b"}" * 101, "application/json", "Invalid payload"),
        (b'{"metadata":' + b"[" * 500, "application/json", "Invalid JSON"),
    ],
)
def test_a_body_that_is_no_usable_object_is_refused(client, raw, content_type, error):
    response = client.post(JOBS, raw, content_type=content_type)
    assert response.status_code == 400
    assert response.json()["error"] == error


def test_a_body_that_is_too_large_is_refused(client):
    response = create(client, metadata={"a": "x" * 1024 * 1024})
    assert response.status_code == 413
    assert response.json()["error"] == "Payload too large"


def test_the_role_is_asked_before_the_body(charlie):
    response = api_client(charlie).post(JOBS, b"{", content_type="text/plain")
    assert response.status_code == 403
    assert response.json()["message"] == "User or admin access required"


def test_without_a_token_nobody_creates(db):
    assert api_client().post(JOBS, job_body()).status_code == 401


def test_a_refused_job_tells_nobody(client):
    refused(client, end_date="2020-01-01")
    assert not Notification.objects.exists()


def test_every_answer_is_plain_json(client):
    response = create(client)
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.content)["job"]["end_date"] == "2099-12-31"


def test_a_doubtful_expression_is_created_with_its_doubt(client):
    body = create(client, cron_expression="0 10,12 3-20 * 1-5").json()
    (doubt,) = body["warnings"]
    assert doubt.startswith("Runs on day-of-month 3-20 and also on every day-of-week 1-5")
    assert create(client, name="Other", cron_expression="0 2 * * *").json()["warnings"] == []


def test_the_longest_names_of_github_are_accepted(client):
    job = created(client, target_url=None, github_owner="o" * 39, github_repo="r" * 100, github_workflow_name="w" * 255)
    assert [len(job[name]) for name in ("github_owner", "github_repo", "github_workflow_name")] == [39, 100, 255]


def test_metadata_of_64_kilobytes_is_accepted(client):
    job = created(client, metadata={"a": "x" * 65_527})
    assert len(json.dumps(job["metadata"], separators=(",", ":"))) == 65_535
