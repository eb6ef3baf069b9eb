"""Repeating a request is safe with a key, and overwriting what another has changed is refused with a tag."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import idempotency
from accounts.models import IdempotentAnswer
from accounts.tests.factories import api_client
from jobs.models import Job, JobExecution
from jobs.tests.factories import job_body, make_job
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.django_db, pytest.mark.database]

JOBS = "/api/v2/jobs"


@pytest.fixture
def body(db):
    return job_body(name="backup", pic_team=make_team().slug)


def post(account, path, sent, key="k-1"):
    return api_client(account).post(path, sent, headers={"Idempotency-Key": key})


def test_a_repeat_gets_the_first_answer_and_does_nothing(alice, body):
    first, again = post(alice, JOBS, body), post(alice, JOBS, body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Job.objects.count() == 1


def test_a_run_that_is_repeated_runs_once(alice):
    job = make_job(created_by=alice, target_url="http://127.0.0.1:9/")
    answers = [post(alice, f"{JOBS}/{job.pk}/execute", {}).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert JobExecution.objects.count() == 1


def test_a_bulk_act_that_is_repeated_acts_once(alice):
    job = make_job(created_by=alice, target_url="http://127.0.0.1:9/")
    sent = {"action": "run", "ids": [str(job.pk)]}
    assert post(alice, f"{JOBS}/bulk", sent).json() == post(alice, f"{JOBS}/bulk", sent).json()
    assert JobExecution.objects.count() == 1


def test_a_key_belongs_to_its_account_and_to_what_was_sent(alice, bob, body):
    assert post(alice, JOBS, body).status_code == 201
    reused = post(alice, JOBS, {**body, "name": "other"})
    assert (reused.status_code, reused.json()["error"]) == (422, "Idempotency key reused")
    assert post(bob, JOBS, {**body, "name": "other"}).status_code == 201


def test_a_refused_request_leaves_its_key_free(alice, body):
    assert post(alice, JOBS, {**body, "cron_expression": "x"}).status_code == 400
    assert post(alice, JOBS, body).status_code == 201


def test_while_the_first_is_still_at_it_a_repeat_is_told_so(alice, body):
    post(alice, JOBS, body)
    IdempotentAnswer.objects.update(status=None, body=None)
    answer = post(alice, JOBS, body)
    assert (answer.status_code, answer.json()["error"]) == (409, "Request in progress")


def test_an_answer_is_kept_for_a_day(alice, body):
    post(alice, JOBS, body)
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24))
    assert post(alice, JOBS, body).json()["error"] == "Duplicate job name"
    IdempotentAnswer.objects.all().delete()
    post(alice, JOBS, {**body, "name": "other"})
    assert idempotency.prune(timezone.now() + timedelta(hours=23)) == 0
    assert idempotency.prune(timezone.now() + timedelta(hours=25)) == 1


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_of_no_length_or_too_much_is_refused(alice, body, key):
    assert post(alice, JOBS, body, key).status_code == 400
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_requests_at_the_same_time_one_acts(alice):
    job = make_job(created_by=alice, target_url="http://127.0.0.1:9/")
    client, gate, seen = api_client(alice), threading.Barrier(4), []

    def run():
        gate.wait()
        seen.append(client.post(f"{JOBS}/{job.pk}/execute", {}, headers={"Idempotency-Key": "k"}).status_code)
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= {200, 409}
    assert 200 in seen
    assert JobExecution.objects.count() == 1


# --- Entity tags -----------------------------------------------------------------------------------------------------


def test_the_tag_of_a_job_changes_with_its_definition_only(alice, body):
    client = api_client(alice)
    made = client.post(JOBS, body)
    path = f"{JOBS}/{made.json()['job']['id']}"
    assert made.headers["ETag"] == client.get(path).headers["ETag"] == '"1"'
    assert client.put(path, {"metadata": {"a": 1}}).headers["ETag"] == '"2"'
    assert client.put(path, {"metadata": {"a": 1}}).headers["ETag"] == '"2"'


@pytest.mark.parametrize("tag", ['"1"', '"7"', 'W/"2"', "2", "nonsense", "", '"' * 9, '"99999999999999999999"'])
def test_an_edit_of_another_revision_is_refused_with_who_changed_it(alice, admin, body, tag):
    path = f"{JOBS}/{api_client(alice).post(JOBS, body).json()['job']['id']}"
    api_client(admin).put(path, {"cron_expression": "0 5 * * *"})
    answer = api_client(alice).put(path, {"name": "other"}, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["error"]) == (412, "Precondition failed")
    assert answer.json()["message"].startswith("admin changed the job at ")
    assert answer.json()["message"].endswith(": cron_expression.")
    assert Job.objects.get().name == "backup"


@pytest.mark.parametrize("tag", ['"1"', '"7", "1"', "*", None])
def test_an_edit_of_the_revision_that_was_seen_goes_through(alice, body, tag):
    path = f"{JOBS}/{api_client(alice).post(JOBS, body).json()['job']['id']}"
    headers = {} if tag is None else {"If-Match": tag}
    assert api_client(alice).put(path, {"name": "other"}, headers=headers).status_code == 200
