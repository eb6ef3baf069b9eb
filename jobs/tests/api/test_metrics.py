"""What monitors read, and who may."""

from datetime import date, timedelta
from uuid import uuid4

import pytest
import requests
from django.db import DatabaseError
from django.test import Client, override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from cronsched.lib.probe import Probe
from cronsched.tests.processes import web_process
from jobs.api import metrics
from jobs.models import RateLimitBucket, SchedulerLease, Sender, Status
from jobs.tests.factories import make_execution, make_job
from notifications.models import Channel, Delivery, DeliveryStatus

TOKEN = "a-token-for-monitors-only"
pytestmark = pytest.mark.django_db(transaction=True)


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples by name and labels. Raises ValueError where the text is not Prometheus's format."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample stands there twice"
    return found


def scrape(**headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = Client().get("/metrics", headers=headers)
    assert response.status_code == 200, response.content
    return read(response.content.decode())


SCHEDULED = (("trigger", "scheduled"), ("type", ""))

NAMES = """
cronsched_execution_lateness_seconds_bucket cronsched_execution_lateness_seconds_sum
cronsched_execution_duration_seconds_bucket cronsched_execution_duration_seconds_count
cronsched_due_oldest_age_seconds cronsched_queued cronsched_running cronsched_jobs cronsched_leader
cronsched_lease_age_seconds cronsched_last_pass_age_seconds cronsched_senders cronsched_sender_in_flight
cronsched_deliveries cronsched_github_budget_remaining cronsched_executions_total cronsched_http_requests_total
cronsched_database_up cronsched_sender_loop_delay_seconds
"""


def test_all_that_is_promised_is_there():
    now = timezone.now()
    SchedulerLease.objects.create(pk=1, holder="host:1", renewed_at=now, last_pass_at=now - timedelta(seconds=2))
    job = make_job(next_fire_at=now - timedelta(seconds=90))
    make_job(is_active=False)
    make_job(end_date=date(2020, 1, 1))
    make_job(schedule_error="never")
    make_execution(job, duration_seconds=0.3)
    make_execution(job, status=Status.QUEUED)
    make_execution(job, status=Status.RUNNING, sender="01234567-89ab-4def-8123-456789abcdef")
    RateLimitBucket.objects.create(name="token:abc", sent=[now.timestamp() - 5, now.timestamp() - 4000])
    Delivery.objects.create(channel=Channel.EMAIL, kind="x", summary="x", not_before=now, give_up_at=now)
    Client().get("/livez")

    for sender, age in (("local", 1), ("standby", 1), ("standby", 2), ("celery", 16)):
        seen = now - timedelta(seconds=age)
        facts = {"started_at": seen, "seen_at": seen, "limit": 9, "loop_delay_seconds": age / 100}
        Sender.objects.create(token=uuid4(), host="h", kind=sender, **facts)

    found = scrape()
    assert set(NAMES.split()) - {name for name, _ in found} == set()
    one = {name: value for (name, labels), value in found.items() if not labels}
    assert 90 <= one["cronsched_due_oldest_age_seconds"] < 150
    assert 2 <= one["cronsched_last_pass_age_seconds"] < 60
    assert (one["cronsched_queued"], one["cronsched_running"], one["cronsched_leader"]) == (1, 1, 1)
    kind = (("status", "success"), ("trigger", "manual"), ("type", "webhook"))
    assert found["cronsched_executions_total", kind] == 1
    assert found["cronsched_execution_duration_seconds_bucket", (("le", "0.5"),)] == 1
    assert {labels[0][1]: value for (name, labels), value in found.items() if name == "cronsched_jobs"} == {
        "active": 1,
        "paused": 1,
        "ended": 1,
        "unschedulable": 1,
    }
    senders = {labels[0][1]: value for (name, labels), value in found.items() if name == "cronsched_senders"}
    assert senders == {"local": 1, "standby": 2, "celery": 0}
    assert found["cronsched_sender_in_flight", (("sender", "01234567"),)] == 1
    delays = [value for (name, _), value in found.items() if name == "cronsched_sender_loop_delay_seconds"]
    assert sorted(delays) == [0.01, 0.01, 0.02]
    assert found["cronsched_deliveries", (("channel", "email"), ("state", DeliveryStatus.WAITING))] == 1
    assert found["cronsched_github_budget_remaining", (("credential", "token:abc"),)] == 499
    assert found["cronsched_http_requests_total", (("method", "GET"), ("route", "/livez"), ("status", "200"))] >= 1


def test_nothing_that_clients_or_people_make_up_is_a_label():
    make_execution(make_job(name="Nightly backup"), status=Status.RUNNING)
    Client().get("/api/v2/jobs/made-up-path")
    Client().get("/nowhere/made-up-path")
    Client().generic("MADEUP", "/livez")
    response = Client().get("/metrics")
    text = response.content.decode()
    assert "Nightly" not in text
    assert "made-up-path" not in text
    assert "MADEUP" not in text
    routes = {dict(labels)["route"] for name, labels in read(text) if name == "cronsched_http_requests_total"}
    assert {"/api/v2/jobs/<str:job_id>", "unmatched"} <= routes


def test_what_never_occurred_is_told_as_none_so_that_the_first_is_seen_to_rise():
    found = scrape()
    for status in ("success", "failed", "missed", "skipped", "unknown"):
        assert found["cronsched_executions_total", (("status", status), *SCHEDULED)] == 0
    make_execution(status=Status.MISSED, trigger_type="scheduled", execution_type=None)
    assert scrape()["cronsched_executions_total", (("status", "missed"), *SCHEDULED)] == 1


def test_an_age_that_is_not_known_is_left_away():
    found = scrape()
    assert found["cronsched_leader", ()] == 0
    assert ("cronsched_lease_age_seconds", ()) not in found


def test_the_words_stay_few_however_long_the_history(django_assert_max_num_queries):
    for status in (Status.SUCCESS, Status.FAILED):
        make_execution(status=status, duration_seconds=1)
    with django_assert_max_num_queries(15):
        metrics.collect()


def test_each_job_is_counted_in_one_state():
    yesterday = date(2020, 1, 1)
    for fields in ({}, {"is_active": False}, {"end_date": yesterday}, {"schedule_error": "never"}):
        make_job(**fields)
    # Ended, whatever else it is.
    make_job(is_active=False, end_date=yesterday)
    make_job(schedule_error="never", end_date=yesterday)
    found = {labels[0][1]: value for (name, labels), value in scrape().items() if name == "cronsched_jobs"}
    assert found == {"active": 1, "paused": 1, "ended": 3, "unschedulable": 1}


# --- Who may read them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_this_machine_may(address):
    assert Client(REMOTE_ADDR=address).get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.7", {}),
        ("192.0.2.7", {"X-Forwarded-For": "127.0.0.1"}),
        ("192.0.2.7", {"Forwarded": "for=127.0.0.1"}),
        ("", {}),
        # A proxy on this machine that the settings know nothing of.
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}),
    ],
)
def test_without_a_token_others_may_not_whatever_they_claim(address, headers, caplog):
    response = Client(REMOTE_ADDR=address).get("/metrics", headers=headers)
    assert response.status_code == 403
    assert response.json() == {"error": "Forbidden", "message": "Forbidden"}
    assert "cronsched.security" in {record.name for record in caplog.records}


@override_settings(PROXY_COUNT=1)
def test_a_trusted_proxy_does_not_make_a_stranger_this_machine(settings):
    from cronsched.lib.config import env

    settings.TRUSTED_PROXIES = env.PRIVATE
    assert Client().get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


@override_settings(METRICS_TOKEN=TOKEN)
@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN.upper()}", "Bearer ü"]
)
def test_with_a_token_it_is_asked_for_everywhere(sent):
    response = Client().get("/metrics", headers={"Authorization": sent} if sent else {})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


@override_settings(METRICS_TOKEN=TOKEN)
def test_who_knows_the_token_may_from_anywhere():
    client = Client(REMOTE_ADDR="192.0.2.7")
    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200
    assert TOKEN not in response.content.decode()
    assert client.post("/metrics").status_code == 405


def test_with_the_database_away_it_says_so(monkeypatch):
    def fails():
        raise DatabaseError("gone")

    monkeypatch.setattr(metrics, "_probe", Probe(fails))
    found = scrape()
    assert found["cronsched_database_up", ()] == 0
    assert "cronsched_queued" not in {name for name, _ in found}


# --- Several processes -----------------------------------------------------------------------------------------------


def test_the_requests_of_all_web_processes_are_added_up(tmp_path, migrated_file):
    path = tmp_path / "db.sqlite3"
    path.write_bytes(migrated_file.read_bytes())
    log = tmp_path / "log"
    with web_process(log, DATABASE_URL=f"sqlite:///{path}", WEB_WORKERS="3", TMPDIR=str(tmp_path)) as address:
        for _ in range(60):
            # A connection of its own each time, so that all processes get some.
            assert requests.get(f"{address}/livez", timeout=10).status_code == 200
        key = (("method", "GET"), ("route", "/livez"), ("status", "200"))
        counts = [
            read(requests.get(f"{address}/metrics", timeout=10).text)["cronsched_http_requests_total", key]
            for _ in range(6)
        ]
        assert counts == [60] * 6, log.read_text()
        assert list(tmp_path.glob("cronsched-counts-*"))
    assert not list(tmp_path.glob("cronsched-counts-*"))
