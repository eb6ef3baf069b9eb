"""An account that is deleted while one of its requests is being answered."""

from io import BytesIO
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Role, User
from accounts.tests.factories import JSONClient, api_client, make_user
from jobs.models import Job
from jobs.tests.factories import job_body
from jobs.tests.test_services_races import WAIT_SECONDS, Rival
from notifications.models import Notification
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

GONE = {"error": "Unauthorized", "message": "User not found", "detail": "User not found"}


@pytest.fixture
def rival():
    rival = Rival()
    yield rival
    rival.close()


def create_a_job(client: JSONClient) -> Any:
    return client.post("/api/v2/jobs", job_body())


def upload_jobs(client: JSONClient) -> Any:
    file = BytesIO(b"name,cron,url,end date,pic team\nA,0 3 * * *,https://hooks.example.com/,2099-12-31,ops\n")
    return client.post("/api/v2/jobs/bulk-upload", {"file": file}, format="multipart")


def read_all_notices(client: JSONClient) -> Any:
    return client.put("/api/v2/notifications/read-all")


@pytest.mark.parametrize("act", [create_a_job, upload_jobs, read_all_notices])
def test_whoever_is_deleted_meanwhile_is_told_so(act, rival):
    make_team(name="Ops")
    leaver = make_user("leaver", role=Role.USER)
    client = api_client(leaver)
    with transaction.atomic():
        User.objects.filter(pk=leaver.pk).delete()
        attempt = rival.starts(lambda: act(client))
        assert rival.has_looked.wait(WAIT_SECONDS)
    answer = attempt.result(WAIT_SECONDS)
    assert (answer.status_code, answer.json()) == (401, GONE)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert not Job.objects.exists()
    assert not Notification.objects.exists()
