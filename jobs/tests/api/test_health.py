"""What monitors and load balancers are told, also while the database is away."""

from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from accounts.tests.factories import api_client
from cronsched.tests.processes import free_port, web_process
from jobs.models import SchedulerLease

KEYS = {
    "status",
    "service",
    "version",
    "timestamp",
    "api",
    "scheduler_running",
    "scheduled_jobs_count",
    "docs_url",
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/api/v2/health", "/api/health"])
def test_health_needs_no_token_and_ignores_a_bad_one(path):
    client = api_client()
    client.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    response = client.get(path)
    body = response.json()
    assert (response.status_code, set(body), body["status"]) == (200, KEYS, "healthy")
    assert (body["version"], body["api"], body["docs_url"]) == ("2.0.0", "v2", "/docs")
    assert (body["scheduler_running"], body["scheduled_jobs_count"]) == (False, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("age, running", [(timedelta(seconds=1), True), (timedelta(minutes=1), False)])
def test_health_knows_the_scheduler_by_its_lease(age, running):
    lease = {"holder": "host:1", "renewed_at": timezone.now() - age, "scheduled_jobs": 12}
    SchedulerLease.objects.update_or_create(id=1, defaults=lease)
    body = api_client().get("/api/v2/health").json()
    assert (body["scheduler_running"], body["scheduled_jobs_count"]) == (running, 12)


@pytest.mark.django_db(transaction=True)
def test_a_web_process_with_its_database_is_ready():
    assert api_client().get("/readyz").json() == {"status": "ready"}
    assert api_client().get("/healthz").json() == {"status": "alive"}


@pytest.mark.django_db(transaction=True)
def test_a_leader_without_its_workers_is_degraded_and_the_service_ready():
    lease = {"holder": "host:1", "renewed_at": timezone.now(), "sends_alone": True}
    SchedulerLease.objects.update_or_create(id=1, defaults=lease)
    assert api_client().get("/api/v2/health").json()["status"] == "degraded"
    ready = api_client().get("/readyz")
    assert (ready.status_code, set(ready.json())) == (200, {"status", "warning"})


def test_without_its_database_a_web_process_says_so_in_time(tmp_path):
    nobody = f"postgresql://postgres@127.0.0.1:{free_port()}/nothing"
    with web_process(tmp_path / "web.log", DATABASE_URL=nobody, EXPOSE_ERROR_DETAILS="false") as address:
        # Load balancers give up after five seconds.
        health = requests.get(f"{address}/api/v2/health", timeout=5)
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["scheduler_running"] is False
        ready = requests.get(f"{address}/readyz", timeout=5)
        assert (ready.status_code, ready.json()["error"]) == (503, "Not ready")
        assert requests.get(f"{address}/healthz", timeout=5).status_code == 200
