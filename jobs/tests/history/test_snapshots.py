"""What was sent is kept with each run, and what is long in it once for all runs that sent the same."""

from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.tests.factories import api_client, make_user
from jobs.chores.prune_history import prune_history
from jobs.dispatch import Prepared, queue_run
from jobs.dispatch.executors import Unsendable
from jobs.dispatch.start import start
from jobs.executors.webhook import WebhookRequest
from jobs.history import snapshots
from jobs.models import Job, JobExecution, SharedRequest, Status
from jobs.schedule.scheduled_job import Overrides
from jobs.scheduler.claim import claim_due
from jobs.services import delete_job
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.scheduler.helpers import SENDER

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LONG = {"text": "x" * 20_000, "number": 1}
DAY = timedelta(days=1)


def claimed(job, now) -> Prepared:
    """Have `job` run at noon of the day of `now`."""
    Job.objects.filter(pk=job.pk).update(next_fire_at=now, cron_expression="0 12 * * *", timezone="UTC")
    (prepared,) = claim_due(now=now, limit=10, admit=lambda *_: True, sender=SENDER, among=[job.pk]).prepared
    return prepared


def row(prepared) -> JobExecution:
    return JobExecution.objects.get(pk=prepared.execution_id)


def test_runs_that_send_the_same_share_what_is_long():
    job = make_job(metadata=LONG)
    rows = [row(claimed(job, NOON + number * DAY)) for number in range(3)]
    part = SharedRequest.objects.get()
    assert (part.job_id, part.last_used_on) == (job.pk, (NOON + 2 * DAY).date())
    for execution in rows:
        assert execution.shared_request_id == part.pk
        assert len(str(execution.request_snapshot)) < snapshots.SHORT_LENGTH
        assert snapshots.whole(execution)["body"] == LONG
        assert snapshots.whole(execution).keys() == execution.request_snapshot.keys()


def test_another_definition_and_another_job_share_nothing():
    job, other = make_job(metadata=LONG), make_job(metadata=LONG)
    first = row(claimed(job, NOON))
    Job.objects.filter(pk=job.pk).update(metadata={"text": "y" * 20_000})
    second, third = row(claimed(job, NOON + DAY)), row(claimed(other, NOON + DAY * 2))
    assert len({execution.shared_request_id for execution in (first, second, third)}) == 3
    assert snapshots.whole(first)["body"] == snapshots.whole(third)["body"] == LONG
    assert snapshots.whole(second)["body"] == {"text": "y" * 20_000}


def test_what_is_short_stands_in_the_row():
    execution = row(claimed(make_job(metadata={"number": 1}), NOON))
    assert execution.request_snapshot["body"] == {"number": 1}
    assert execution.shared_request_id is None
    assert not SharedRequest.objects.exists()


def test_a_row_that_holds_all_of_it_is_shown_as_before():
    sent = {"url": "https://example.com/", "body": LONG}
    assert snapshots.whole(make_execution(request_snapshot=sent)) == sent


def test_a_queued_run_shares_too_and_both_doors_show_all_of_it(client):
    job = make_job(target_url="https://example.com/hook")
    queued = queue_run(job, overrides=Overrides(metadata=LONG), now=NOON)
    (prepared,) = start([queued.pk], sender=queued.pk, now=NOON)
    execution = row(prepared)
    assert execution.request_snapshot["body"] is None
    user = make_user(role="admin")
    answer = api_client(user).get(f"/api/v2/executions/{execution.pk}").json()
    assert answer["execution"]["request"]["body"] == LONG
    client.force_login(user)
    page = client.get(reverse("admin:jobs_jobexecution_change", args=[execution.pk]))
    assert LONG["text"] in page.content.decode()


def test_parts_go_with_the_last_runs_that_used_them(settings):
    settings.EXECUTION_RETENTION_DAYS = 30
    job = make_job(metadata=LONG)
    old, new = row(claimed(job, NOON)), row(claimed(job, NOON + 20 * DAY))
    JobExecution.objects.update(status=Status.SUCCESS)
    prune_history(now=NOON + 40 * DAY, may_act=lambda: True)
    assert list(JobExecution.objects.all()) == [new]
    new.refresh_from_db()
    assert snapshots.whole(new)["body"] == LONG
    prune_history(now=NOON + 60 * DAY, may_act=lambda: True)
    assert not JobExecution.objects.exists()
    assert not SharedRequest.objects.exists()
    assert row(claimed(job, NOON + 61 * DAY)).shared_request_id == old.shared_request_id


def test_parts_go_with_their_job():
    job = make_job(metadata=LONG)
    claimed(job, NOON)
    delete_job(job.pk, by=make_user(role="admin"), now=NOON)
    assert not SharedRequest.objects.exists()


# --- Overrides -------------------------------------------------------------------------------------------------------


def test_the_password_of_an_override_does_not_stand_in_the_row():
    url = "https://usr:PASS-word@example.com/hook"
    queued = queue_run(make_job(), overrides=Overrides(target_url=url), now=NOON)
    assert "PASS-word" not in str(JobExecution.objects.values().get(pk=queued.pk))
    (prepared,) = start([queued.pk], sender=queued.pk, now=NOON)
    assert isinstance(prepared.request, WebhookRequest)
    assert prepared.request.url == url
    assert "PASS-word" not in str(JobExecution.objects.values().get(pk=queued.pk))


def test_a_run_whose_password_cannot_be_decrypted_is_not_sent(settings):
    url = "https://usr:PASS-word@example.com/hook"
    queued = queue_run(make_job(), overrides=Overrides(target_url=url), now=NOON)
    settings.SECRET_KEY = "another key of more than thirty-two characters"
    (prepared,) = start([queued.pk], sender=queued.pk, now=NOON)
    assert isinstance(prepared.request, Unsendable)
    assert "run the job again with its URL" in prepared.request.reason
