"""DELETE /jobs/{id}."""

import pytest
from django.utils import timezone

from accounts.tests.factories import api_client
from jobs import services
from jobs.models import Job, JobExecution
from jobs.tests.factories import make_execution, make_job
from notifications.models import Level, Notification

JOBS = "/api/v2/jobs"

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(alice):
    return make_job(name="Daily backup", created_by=alice)


def delete(user, job):
    return api_client(user).delete(f"{JOBS}/{job.pk}")


def test_the_answer_names_the_deleted_job(alice, job):
    response = delete(alice, job)
    assert response.status_code == 200
    assert response.json() == {
        "message": "Job deleted successfully",
        "deleted_job": {"id": str(job.pk), "name": "Daily backup"},
    }
    assert not Job.objects.exists()


def test_its_executions_go_and_notices_about_it_stay(alice, job):
    execution = make_execution(job)
    notice = Notification.objects.create(
        event="run_failed", title="Job Failed", message="…", related_job=job, related_execution=execution
    )
    delete(alice, job)
    assert not JobExecution.objects.exists()
    notice.refresh_from_db()
    assert (notice.related_job_id, notice.related_execution_id) == (None, None)


def test_everybody_is_told_without_a_reference_to_the_job(alice, job):
    delete(alice, job)
    notice = Notification.objects.get()
    assert (notice.title, notice.type, notice.related_job_id) == ("Job Deleted", Level.WARNING, None)
    assert notice.message == 'Job "Daily backup" was deleted by alice@example.com.'


def test_a_second_deletion_finds_nothing(alice, job):
    delete(alice, job)
    assert delete(alice, job).status_code == 404


def test_others_may_not_delete_it(bob, job):
    response = delete(bob, job)
    assert response.status_code == 403
    assert response.json() == {"error": "Insufficient permissions", "message": "You can only delete your own jobs"}
    assert Job.objects.exists()


def test_admins_may_delete_every_job(admin, job):
    assert delete(admin, job).status_code == 200


def test_viewers_are_refused(charlie, job):
    assert delete(charlie, job).status_code == 403


def test_a_long_history_goes_in_portions(alice, job, monkeypatch):
    monkeypatch.setattr(services, "DELETE_PORTION", 3)
    for _ in range(10):
        make_execution(job)
    kept = make_execution()
    services.delete_job(job.pk, by=alice, now=timezone.now())
    assert list(JobExecution.objects.all()) == [kept]
    assert not Job.objects.filter(pk=job.pk).exists()


def test_of_a_long_history_nobody_else_may_delete_a_portion(bob, job, monkeypatch):
    monkeypatch.setattr(services, "DELETE_PORTION", 1)
    make_execution(job)
    make_execution(job)
    assert delete(bob, job).status_code == 403
    assert JobExecution.objects.count() == 2
    assert Job.objects.get().is_active
