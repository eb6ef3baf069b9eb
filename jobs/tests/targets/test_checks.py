"""Checks of targets: asked for, and every night."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.tests.factories import api_client
from cronsched.lib.tests.servers import OK, answering, target
from jobs import services
from jobs.dispatch import executors
from jobs.github import GitHubRequest
from jobs.models import Job, RateLimitBucket
from jobs.targets import checks
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import make_job
from notifications.models import Notification

pytestmark = pytest.mark.django_db

# The night begins at 03:30 in Tokyo.
NIGHT = datetime(2026, 1, 16, 3, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
MINUTE = timedelta(minutes=1)
NEEDS_INPUT = """
on:
  workflow_dispatch:
    inputs:
      env: {required: true}
"""


@pytest.fixture
def hook():
    with target(answering(OK)) as server:
        yield server


def make_old_job(**fields) -> Job:
    return make_job(created_at=NIGHT - timedelta(days=30), **fields)


def check(client, job):
    response = client.post(f"/api/v2/jobs/{job.pk}/check-target")
    assert response.status_code == 200, response.content
    return response.json()["target_check"]


def codes(job: Job) -> list[str] | None:
    job.refresh_from_db()
    return None if job.target_findings is None else [finding["code"] for finding in job.target_findings]


def tonight(after: timedelta = MINUTE) -> int:
    return checks.check_due(now=NIGHT + after)


# --- Asked for -------------------------------------------------------------------------------------------------------


def test_a_check_answers_and_keeps_what_it_found(alice, shop):
    shop.add_workflow("needy.yml", NEEDS_INPUT)
    job = make_job(created_by=alice, **{**WORKFLOW, "github_workflow_name": "needy.yml"})
    client = api_client(alice)
    found = check(client, job)
    assert found["ok"] is False
    assert [finding["message"] for finding in found["findings"]] == ["The workflow requires the input env."]
    assert client.get(f"/api/v2/jobs/{job.pk}").json()["job"]["target_check"] == found
    assert shop.runs == []


def test_a_target_with_nothing_wrong_is_ok(alice, shop, hook):
    client = api_client(alice)
    for job in (make_job(created_by=alice, **WORKFLOW), make_job(created_by=alice, target_url=hook.url("/hook"))):
        found = check(client, job)
        assert (found["ok"], found["findings"]) == (True, [])
    # A webhook is connected to and not called.
    assert hook.requests == []


def test_a_host_that_is_down_just_now_is_shown_and_not_told(alice):
    with target(answering(OK)) as gone:
        job = make_job(created_by=alice, target_url=gone.url())
    found = check(api_client(alice), job)
    assert (found["ok"], [finding["conclusive"] for finding in found["findings"]]) == (True, [False])
    assert not Notification.objects.exists()


def test_a_private_address_is_found_before_it_is_refused_at_night(alice, settings):
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = False
    job = make_job(created_by=alice, target_url="http://127.0.0.1:9/")
    assert check(api_client(alice), job)["ok"] is False


def test_a_finding_is_told_to_the_owner_when_it_is_new(alice, bob, shop):
    job = make_job(name="Deploy", created_by=alice, **WORKFLOW, metadata={"branchDetails": "gone"})
    client = api_client(alice)
    check(client, job)
    check(client, job)
    notice = Notification.objects.get()
    assert (notice.user, notice.title) == (alice, "Job Target Problem")
    assert notice.message.startswith('Job "Deploy": ')
    shop.workflows[0].state = "disabled_manually"
    check(client, job)
    assert Notification.objects.count() == 2


def test_a_changed_target_has_not_been_checked(alice, shop):
    job = make_job(created_by=alice, **WORKFLOW, metadata={"branchDetails": "gone"})
    check(api_client(alice), job)
    services.update_job(job.pk, {"name": "Renamed"}, by=alice, now=NIGHT)
    assert codes(job) is not None
    services.update_job(job.pk, {"metadata": {}}, by=alice, now=NIGHT)
    assert codes(job) is None


def test_a_check_that_is_overtaken_by_an_edit_is_not_kept(alice, hook):
    job = make_job(created_by=alice, target_url=hook.url())
    (task,) = checks._tasks(Job.objects.all())
    services.update_job(job.pk, {"target_url": "https://other.example.com/"}, by=alice, now=NIGHT)
    checks._keep(task, [], NIGHT)
    assert codes(job) is None


def test_while_github_wants_to_be_left_alone_nothing_is_asked(alice, shop, github_fake):
    bucket = executors.bucket(GitHubRequest("acme", "shop", "deploy.yml", "x", "master"))
    RateLimitBucket.objects.create(name=bucket, blocked_until=datetime(2099, 1, 1, tzinfo=ZoneInfo("UTC")))
    job = make_job(created_by=alice, **WORKFLOW)
    response = api_client(alice).post(f"/api/v2/jobs/{job.pk}/check-target")
    assert (response.status_code, int(response.headers["Retry-After"]) > 0) == (429, True)
    assert github_fake.calls == []


def test_a_check_too_many_is_refused_and_one_that_ends_makes_room(alice, hook, one_slot):
    job = make_job(created_by=alice, target_url=hook.url())
    with one_slot:
        response = api_client(alice).post(f"/api/v2/jobs/{job.pk}/check-target")
    assert (response.status_code, response.headers["Retry-After"]) == (429, "10")
    assert codes(job) is None
    for _ in range(2):
        assert check(api_client(alice), job)["ok"]


# --- Every night -----------------------------------------------------------------------------------------------------


def test_each_active_job_is_checked_once_a_night(shop, hook):
    jobs = [make_old_job(target_url=hook.url(f"/{n}")) for n in range(3)] + [make_old_job(**WORKFLOW)]
    paused = make_old_job(is_active=False)
    assert [tonight(), tonight(2 * MINUTE)] == [4, 0]
    assert [codes(job) for job in jobs] == [[], [], [], []]
    assert codes(paused) is None
    assert tonight(timedelta(days=1)) == 4


def test_jobs_of_one_host_are_one_look(hook):
    for n in range(20):
        make_old_job(target_url=hook.url(f"/{n}"))
    assert tonight() == 20
    assert hook.connections == 1


def test_a_night_goes_on_in_portions_that_leave_github_room(shop, monkeypatch):
    for _ in range(5):
        make_old_job(**WORKFLOW)
    assert [tonight(n * MINUTE) for n in range(1, 5)] == [2, 2, 1, 0]


def test_a_job_made_since_the_night_began_waits_for_the_next(hook):
    make_job(target_url=hook.url(), created_at=NIGHT + MINUTE)
    assert tonight(2 * MINUTE) == 0


def test_a_blocked_lane_keeps_workflows_and_not_webhooks_waiting(shop, hook, github_fake):
    bucket = executors.bucket(GitHubRequest("acme", "shop", "deploy.yml", "x", "master"))
    RateLimitBucket.objects.create(name=bucket, blocked_until=NIGHT + timedelta(hours=1))
    make_old_job(**WORKFLOW)
    make_old_job(target_url=hook.url())
    assert [tonight(), tonight(timedelta(hours=2))] == [1, 1]


def test_checks_can_be_switched_off(hook, settings):
    settings.CHECK_TARGETS = False
    make_old_job(target_url=hook.url())
    assert tonight() == 0


def test_a_check_that_breaks_down_does_not_keep_the_others(hook, monkeypatch):
    real = executors.check
    broken, fine = make_old_job(target_url="https://broken.example.com/"), make_old_job(target_url=hook.url())

    def check_or_break(request, **options):
        if "broken" in request.url:
            raise RuntimeError("a bug of ours")
        return real(request, **options)

    monkeypatch.setattr(executors, "check", check_or_break)
    assert tonight() == 2
    assert (codes(broken), codes(fine)) == (["internal_error"], [])
