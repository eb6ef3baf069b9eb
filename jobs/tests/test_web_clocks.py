"""A web host whose clock is not the database's: schedules go by the database's clock."""

from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import api_client
from cronsched.lib.clock import database_now
from jobs.admin.jobs.bulk import ALL_BATCHES
from jobs.end_dates import renewal
from jobs.models import Job, JobExecution
from jobs.tests.factories import job_body, make_job
from notifications.tests.factories import tell
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.database, pytest.mark.django_db]

WRONG_BY = timedelta(minutes=20)


def edit(admin, job, tmp_path):
    return api_client(admin).put(f"/api/v2/jobs/{job.pk}", {"metadata": {"a": 1}})


def renew(admin, job, tmp_path):
    return api_client(admin).post(f"/api/v2/jobs/{job.pk}/renew", {"days": 30, "reason": "Still needed."})


def renew_by_link(admin, job, tmp_path):
    path = renewal.link(job, "ops@example.com").removeprefix("http://localhost")
    return Client().post(f"/links/renew/{path.rpartition('/')[2]}", {"days": "30", "reason": "Still needed."})


def rows_of(job: Job) -> bytes:
    lines = (
        "name,url,end date,pic team,timezone,cron",
        f"{job.name},{job.target_url},2099-12-30,ops,UTC,{job.cron_expression}",
    )
    return "\n".join(lines).encode()


def upload(admin, job, tmp_path):
    fields = {"file": BytesIO(rows_of(job)), "update_existing": "1"}
    return api_client(admin).post("/api/v2/jobs/bulk-upload", fields, format="multipart")


def upload_by_command(admin, job, tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_bytes(rows_of(job))
    call_command("bulk_upload", str(path), update_existing=True)


def resume_in_console(admin, job, tmp_path):
    Job.objects.filter(pk=job.pk).update(is_active=False, next_fire_at=None)
    client = Client()
    client.force_login(admin)
    sent = {"action": "resume_selected", "_selected_action": [job.pk], "confirmed": "1", "batch": ALL_BATCHES}
    return client.post(reverse("admin:jobs_job_changelist"), sent)


@pytest.fixture(params=[WRONG_BY, -WRONG_BY], ids=["ahead", "behind"])
def wrong_by(request, monkeypatch):
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + request.param)
    return request.param


def make_job_between(wrong_by: timedelta, **fields: Any) -> tuple[Job, datetime]:
    """Make a daily job whose fire time lies between the two clocks; return also when it is due next."""
    now = database_now().replace(second=0, microsecond=0)
    moment = now + wrong_by / 2
    due_at = moment if moment > now else moment + timedelta(days=1)
    expression = f"{moment.minute} {moment.hour} * * *"
    return make_job(cron_expression=expression, timezone="UTC", next_fire_at=due_at, **fields), due_at


@pytest.mark.parametrize("act", [edit, renew, renew_by_link, upload, upload_by_command, resume_in_console])
def test_a_change_lets_no_run_leave_early_and_none_for_the_past(admin, wrong_by, act, tmp_path):
    job, due_at = make_job_between(wrong_by, pic_team=make_team(name="Ops"))
    answer = act(admin, job, tmp_path)
    assert answer is None or answer.status_code in {200, 201, 302}
    changed = Job.objects.get(pk=job.pk)
    assert changed.updated_at > job.updated_at
    assert changed.next_fire_at == due_at
    assert not JobExecution.objects.exists()


def test_a_new_job_is_due_at_its_first_fire_time(admin, wrong_by):
    make_team(name="Ops")
    like, due_at = make_job_between(wrong_by)
    body = job_body(cron_expression=like.cron_expression, timezone="UTC")
    assert api_client(admin).post("/api/v2/jobs", body).status_code == 201
    assert Job.objects.get(name=body["name"]).next_fire_at == due_at


def test_a_manual_run_says_when_it_was_sent(admin, wrong_by, httpserver):
    httpserver.expect_request("/hook").respond_with_data("done")
    job = make_job(target_url=httpserver.url_for("/hook"))
    before = database_now()
    assert api_client(admin).post(f"/api/v2/jobs/{job.pk}/execute", {}).status_code == 200
    execution = JobExecution.objects.get()
    assert before <= execution.started_at <= execution.completed_at <= database_now()


def test_a_check_of_a_target_is_told_by_the_database_s_clock(admin, wrong_by):
    job = make_job()
    before = database_now()
    assert api_client(admin).post(f"/api/v2/jobs/{job.pk}/check-target", {}).status_code == 200
    job.refresh_from_db()
    assert before <= job.target_checked_at <= database_now()


def test_what_was_read_stays_read_by_the_database_s_clock(admin, wrong_by):
    tell(admin, now=database_now())
    client = api_client(admin)
    assert client.put("/api/v2/notifications/read-all").status_code == 200
    assert client.get("/api/v2/notifications/unread-count").json()["unread_count"] == 0
    tell(admin, now=database_now())
    assert client.get("/api/v2/notifications/unread-count").json()["unread_count"] == 1
