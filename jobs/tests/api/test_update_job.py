"""PUT /jobs/{id}."""

from datetime import date, timedelta

import pytest
from django.utils import timezone

from accounts.tests.factories import api_client
from jobs import services
from jobs.models import Job, JobExecution, Status
from jobs.tests.factories import job_body, make_job
from notifications.models import Notification
from taxonomy.tests.factories import make_category, make_team

JOBS = "/api/v2/jobs"
NO_TARGET = "Job must have either target_url or complete GitHub Actions configuration"
WORKFLOW = {"github_owner": "acme", "github_repo": "tool", "github_workflow_name": "deploy.yml"}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


@pytest.fixture
def job(alice, ops):
    return services.create_job(
        job_body(
            name="Daily backup",
            metadata={"env": "production"},
            enable_email_notifications=True,
            notification_emails=["ops@example.com"],
            notify_on_success=True,
            category="regression",
        ),
        by=alice,
        now=timezone.now(),
    )


@pytest.fixture
def workflow_job(alice, ops):
    return make_job(created_by=alice, target_url=None, **WORKFLOW)


@pytest.fixture
def client(alice):
    return api_client(alice)


def put(client, job, **fields):
    return client.put(f"{JOBS}/{job.pk}", fields)


def updated(client, job, **fields):
    response = put(client, job, **fields)
    assert response.status_code == 200, response.content
    return response.json()["job"]


def as_stored(job):
    return Job.objects.filter(pk=job.pk).values().get()


def test_the_answer_is_the_whole_job_as_every_answer_shows_it(client, job):
    response = put(client, job, name=" Nightly backup ")
    assert response.json()["message"] == "Job updated successfully"
    assert response.json()["job"] == client.get(f"{JOBS}/{job.pk}").json()["job"]
    assert response.json()["job"]["name"] == "Nightly backup"


def test_only_keys_that_are_sent_count(client, job):
    before = client.get(f"{JOBS}/{job.pk}").json()["job"]
    after = updated(client, job, metadata={"a": 1})
    changed = {key for key in after if before[key] != after[key]}
    assert changed == {"metadata", "revision", "updated_at"}


def test_an_empty_object_changes_nothing_but_counts_as_an_update(client, job):
    before = as_stored(job)
    updated(client, job)
    assert {**as_stored(job), "updated_at": None} == {**before, "updated_at": None}
    assert Notification.objects.filter(title="Job Updated").count() == 1


@pytest.mark.parametrize(
    "fields, error, message",
    [
        ({"name": None}, "Job name cannot be empty", None),
        ({"name": "n" * 256}, "Invalid name", "Job name must be at most 255 characters."),
        ({"name": "Taken"}, "Duplicate job name", 'A job with the name "Taken" already exists.'),
        ({"cron_expression": None}, "Invalid cron expression", "Cron expression is required."),
        ({"target_url": "x"}, "Invalid target_url", "target_url must include scheme (http:// or https://)."),
        (
            {"target_url": "https://example.com/" + "p" * 500},
            "Invalid target_url",
            "target_url must be at most 500 characters.",
        ),
        ({"github_owner": "o" * 256}, "Invalid github_owner", "github_owner must be at most 255 characters."),
        (
            {"category": "nowhere"},
            "Invalid category",
            "Unknown category. Create it in Settings → Categories first, or choose General.",
        ),
        ({"metadata": [1]}, "Invalid metadata", "metadata must be a JSON object"),
        ({"notification_emails": "x"}, "Invalid notification_emails", "notification_emails must be a list"),
        (
            {"notification_emails": ["x"]},
            "Invalid notification_emails",
            "notification_emails must contain valid email addresses.",
        ),
        ({"end_date": None}, "Invalid end_date", "end_date is required (YYYY-MM-DD)."),
        ({"end_date": ""}, "Invalid end_date", "end_date is required (YYYY-MM-DD)."),
        ({"end_date": "soon"}, "Invalid end_date", "Invalid end_date. Use YYYY-MM-DD."),
        ({"end_date": "2020-01-01"}, "Invalid end_date", "end_date must be today or in the future (JST)."),
        ({"pic_team": None}, "Invalid PIC team", "PIC team is required. Create one in Settings → PIC Teams."),
        ({"pic_team_slug": "x"}, "Invalid PIC team", "Unknown PIC team. Create it in Settings → PIC Teams first."),
        ({"target_url": None}, "Missing target configuration", NO_TARGET),
        ({"target_url": "", "github_repo": "r"}, "Missing target configuration", NO_TARGET),
        ({"overlap": "x"}, "Invalid overlap", "overlap must be one of: allow, skip, queue."),
        ({"name": []}, "Invalid payload", '"name" must be a string.'),
    ],
)
def test_a_refused_update_changes_nothing_at_all(client, job, fields, error, message):
    make_job(name="Taken")
    before, notices = as_stored(job), Notification.objects.count()
    response = put(client, job, **{"is_active": False, "metadata": {}, **fields})
    assert response.status_code == 400
    assert (response.json()["error"], response.json().get("message")) == (error, message)
    assert as_stored(job) == before
    assert Notification.objects.count() == notices


def test_the_own_name_is_no_duplicate(client, job):
    assert updated(client, job, name="Daily backup")["name"] == "Daily backup"


def test_null_metadata_clears_it(client, job):
    assert updated(client, job, metadata=None)["metadata"] == {}


@pytest.mark.parametrize("blank", [None, "", " "])
def test_a_blank_category_is_general(client, job, blank):
    assert updated(client, job, category=blank)["category"] == "general"


def test_a_url_can_be_cleared_where_a_workflow_remains(client, job):
    updated(client, job, **WORKFLOW)
    assert updated(client, job, target_url=None)["target_url"] is None


def test_workflow_fields_can_be_cleared_where_a_url_remains(client, job):
    updated(client, job, **WORKFLOW)
    job_now = updated(client, job, github_owner="", github_repo=None)
    assert [job_now[name] for name in WORKFLOW] == [None, None, "deploy.yml"]


def test_owner_repo_workflow_replaces_the_url(client, job):
    job_now = updated(client, job, target_url="acme/tool/deploy.yml", github_owner="")
    assert job_now["target_url"] is None
    assert [job_now[name] for name in WORKFLOW] == list(WORKFLOW.values())


def test_an_owner_left_empty_is_filled_with_the_default(client, workflow_job, settings):
    settings.DEFAULT_GITHUB_OWNER = "house"
    assert updated(client, workflow_job, github_owner="")["github_owner"] == "house"


def test_without_a_default_an_empty_owner_leaves_no_target(client, workflow_job):
    assert put(client, workflow_job, github_owner="").json()["message"] == NO_TARGET


def test_switching_mails_off_forgets_addresses_and_wishes(client, job):
    job_now = updated(client, job, enable_email_notifications=False)
    assert (job_now["notification_emails"], job_now["notify_on_success"]) == ([], False)


def test_null_addresses_are_none(client, job):
    assert updated(client, job, notification_emails=None)["notification_emails"] == []


def test_addresses_are_not_kept_while_mails_are_off(client, job):
    updated(client, job, enable_email_notifications=False)
    assert updated(client, job, notification_emails=["a@example.com"])["notification_emails"] == []


def test_a_null_boolean_is_ignored(client, job):
    assert updated(client, job, is_active=None, enable_email_notifications=None)["enable_email_notifications"] is True


def test_a_job_of_a_team_disabled_meanwhile_stays_editable(client, job, ops):
    ops.is_active = False
    ops.save()
    assert updated(client, job, name="Other")["pic_team"] == "ops"
    assert put(client, job, pic_team="ops").json()["error"] == "Invalid PIC team"


def test_a_disabled_category_may_be_chosen(client, job):
    make_category(name="Old", is_active=False)
    assert updated(client, job, category="Old")["category"] == "old"


def test_an_expired_job_cannot_be_enabled(client, alice):
    job = make_job(created_by=alice, is_active=False, end_date=date(2020, 1, 1))
    response = put(client, job, is_active=True)
    assert response.status_code == 400
    assert response.json() == {
        "error": "Job expired",
        "message": "Job cannot be enabled after end_date has passed. Update end_date first.",
    }


def test_an_expired_job_can_be_enabled_with_a_new_end_date(client, alice):
    job = make_job(created_by=alice, is_active=False, end_date=date(2020, 1, 1))
    assert updated(client, job, is_active=True, end_date="2099-01-01")["next_execution_at"] is not None


def test_an_expired_job_that_stays_paused_can_be_edited(client, alice):
    job = make_job(created_by=alice, is_active=False, end_date=date(2020, 1, 1))
    assert updated(client, job, name="Archive")["name"] == "Archive"


@pytest.mark.parametrize(
    "was_active, fields, title",
    [
        (True, {}, "Job Updated"),
        (True, {"name": "Other"}, "Job Updated"),
        (True, {"is_active": True}, "Job Updated"),
        (True, {"is_active": False}, "Job Disabled"),
        (True, {"is_active": False, "name": "Other"}, "Job Disabled"),
        (False, {"is_active": False}, "Job Updated"),
        (False, {"is_active": True, "name": "Other"}, "Job Enabled"),
    ],
)
def test_one_notice_says_what_happened(client, alice, was_active, fields, title):
    job = make_job(created_by=alice, is_active=was_active)
    updated(client, job, **fields)
    assert [notice.title for notice in Notification.objects.all()] == [title]


def test_a_pause_unschedules_and_a_resume_schedules(client, job):
    assert updated(client, job, is_active=False)["next_execution_at"] is None
    assert as_stored(job)["next_fire_at"] is None
    assert updated(client, job, is_active="on")["next_execution_at"] is not None
    assert as_stored(job)["next_fire_at"] > timezone.now()


def test_a_new_expression_moves_the_schedule(client, job):
    updated(client, job, cron_expression="30 4 * * *")
    assert as_stored(job)["next_fire_at"].minute == 30


def test_an_edit_records_first_what_was_due(client, job):
    due = (timezone.now() - timedelta(minutes=1)).replace(second=0, microsecond=0)
    Job.objects.filter(pk=job.pk).update(next_fire_at=due, cron_expression=f"{due.minute} * * * *")
    updated(client, job, cron_expression="0 2 * * *")
    execution = JobExecution.objects.get()
    assert (execution.scheduled_for, execution.status) == (due, Status.QUEUED)


def test_others_may_not_update_it_whatever_they_send(bob, job):
    response = api_client(bob).put(f"{JOBS}/{job.pk}", b"{", content_type="text/plain")
    assert response.status_code == 403
    assert response.json() == {"error": "Insufficient permissions", "message": "You can only update your own jobs"}


def test_admins_may_update_every_job(admin, job):
    assert updated(api_client(admin), job, name="Other")["created_by"] == str(job.created_by_id)


def test_a_job_whose_owner_is_gone_belongs_to_the_admins(client, admin):
    job = make_job(created_by=None)
    assert put(client, job).status_code == 403
    assert put(api_client(admin), job).status_code == 200


@pytest.mark.parametrize("unknown", ["6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10", "nonsense", "%00", "1" * 300])
def test_an_unknown_job_is_not_found_whatever_is_sent(client, unknown):
    response = client.put(f"{JOBS}/{unknown}", b"{", content_type="text/plain")
    assert response.status_code == 404
    assert response.json()["error"] == "Job not found"
    assert response.json()["message"] == f"No job found with ID: {unknown}".replace("%00", "\x00")


def test_viewers_are_refused_before_the_job_is_looked_for(charlie):
    response = api_client(charlie).put(f"{JOBS}/nonsense", {})
    assert response.status_code == 403
    assert response.json()["message"] == "User or admin access required"


@pytest.mark.parametrize("method", ["post", "patch"])
def test_other_methods_do_not_exist(client, job, method):
    response = getattr(client, method)(f"{JOBS}/{job.pk}", {})
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) >= {"GET", "PUT", "DELETE"}


def test_a_put_takes_the_same_few_queries_however_many_jobs_there_are(client, job, django_assert_max_num_queries):
    with django_assert_max_num_queries(25):
        updated(client, job, name="Other")


def test_a_doubtful_expression_is_stored_with_its_doubt(client, job):
    (doubt,) = put(client, job, cron_expression="0 9 1-7 * 1").json()["warnings"]
    assert doubt.endswith("write: 0 9 * * 1#1")
    assert put(client, job, cron_expression="0 2 * * *").json()["warnings"] == []


# --- Notices ---------------------------------------------------------------------------------------------------------


def test_a_script_that_saves_again_and_again_makes_one_notice(alice):
    """1,895 calls in ten seconds made as many unread notices in every inbox."""
    client, job = api_client(alice), make_job(created_by=alice)
    for number in range(20):
        assert client.put(f"/api/v2/jobs/{job.pk}", {"metadata": {"n": number}}).status_code == 200
    assert Notification.objects.filter(event="job_updated").count() == 1


def test_what_another_says_in_between_and_other_jobs_have_notices_of_their_own(alice, admin):
    mine, other = (make_job(created_by=alice) for _ in range(2))
    calls = [
        (alice, mine, {"metadata": {"n": 1}}),
        (admin, mine, {"metadata": {"n": 2}}),
        (alice, mine, {"metadata": {}}),
    ]
    calls += [(alice, other, {"metadata": {"n": 3}}), (alice, mine, {"is_active": False})]
    calls += [(alice, mine, {"metadata": {"n": 4}})]
    for user, job, body in calls:
        assert api_client(user).put(f"/api/v2/jobs/{job.pk}", body).status_code == 200
    events = list(Notification.objects.order_by("created_at", "id").values_list("event", flat=True))
    assert events == 4 * ["job_updated"] + ["job_disabled", "job_updated"]


def test_half_a_minute_later_it_is_news_again(alice, time_machine):
    client, job = api_client(alice), make_job(created_by=alice)
    time_machine.move_to("2026-01-15T12:00:00Z", tick=False)
    client.put(f"/api/v2/jobs/{job.pk}", {"metadata": {"n": 1}})
    time_machine.move_to("2026-01-15T12:00:31Z", tick=False)
    client.put(f"/api/v2/jobs/{job.pk}", {"metadata": {"n": 2}})
    assert Notification.objects.filter(event="job_updated").count() == 2
