"""Two people at once, on two connections with real commits."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from werkzeug import Response as SinkResponse

from accounts.models import User
from cronsched.lib.errors import DomainError, NotFound
from jobs import services
from jobs.history import retention
from jobs.importing.csv_file import read_table
from jobs.importing.file_options import FileOptions
from jobs.importing.report import Report
from jobs.importing.writer import import_jobs
from jobs.models import Job, JobExecution
from jobs.tests.factories import job_body, make_execution, make_job
from notifications.models import Notification
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

WAIT_SECONDS = 30
# What the first statement that can meet a lock begins with, on each database.
MEETS_LOCKS = ("BEGIN", "INSERT", "UPDATE", "DELETE", "SAVEPOINT")


@pytest.fixture
def ops(transactional_db):
    return make_team(name="Ops")


@pytest.fixture
def owner(transactional_db):
    return User.objects.create_user("owner", "owner@example.com", role="user")


class Rival:
    """Another person, with a connection of their own. `has_looked` is set when they are about to meet a lock."""

    def __init__(self) -> None:
        self.has_looked = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def starts(self, act: Callable[[], Any]) -> "Future[Any]":
        return self._pool.submit(self._run, act)

    def _run(self, act: Callable[[], Any]) -> Any:
        try:
            with connection.execute_wrapper(self._watch):
                return act()
        finally:
            connection.close()

    def _watch(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.upper().startswith(MEETS_LOCKS) or re.search("FOR (NO KEY )?UPDATE", sql):
            self.has_looked.set()
        return execute(sql, params, many, context)

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def rival():
    rival = Rival()
    yield rival
    rival.close()


def test_of_two_who_take_a_name_at_once_one_is_told_that_it_is_taken(ops, owner, rival):
    body = job_body(name="Nightly")
    with transaction.atomic():
        make_job(name="Nightly")
        attempt = rival.starts(lambda: services.create_job(body, by=owner, now=timezone.now()))
        assert rival.has_looked.wait(WAIT_SECONDS)
    with pytest.raises(DomainError, match='A job with the name "Nightly" already exists'):
        attempt.result(WAIT_SECONDS)
    assert Job.objects.count() == 1
    assert not Notification.objects.exists()


def test_of_two_who_rename_to_one_name_one_is_told_that_it_is_taken(ops, owner, rival):
    first, second = make_job(created_by=owner), make_job(created_by=owner)
    with transaction.atomic():
        services.update_job(first.pk, {"name": "Nightly"}, by=owner, now=timezone.now())
        attempt = rival.starts(
            lambda: services.update_job(second.pk, {"name": "Nightly"}, by=owner, now=timezone.now())
        )
        assert rival.has_looked.wait(WAIT_SECONDS)
    with pytest.raises(DomainError, match="already exists"):
        attempt.result(WAIT_SECONDS)


def test_two_edits_of_different_fields_both_hold(ops, owner, rival):
    job = make_job(name="Nightly", created_by=owner)
    with transaction.atomic():
        services.update_job(job.pk, {"name": "Daily"}, by=owner, now=timezone.now())
        edit = rival.starts(lambda: services.update_job(job.pk, {"metadata": {"a": 1}}, by=owner, now=timezone.now()))
        assert rival.has_looked.wait(WAIT_SECONDS)
    edit.result(WAIT_SECONDS)
    job.refresh_from_db()
    assert (job.name, job.metadata) == ("Daily", {"a": 1})


@pytest.mark.parametrize("act", ["update_job", "delete_job"])
def test_whoever_comes_after_a_deletion_finds_nothing(ops, owner, rival, act):
    job = make_job(created_by=owner)
    sent = ({"name": "Other"},) if act == "update_job" else ()
    with transaction.atomic():
        services.delete_job(job.pk, by=owner, now=timezone.now())
        attempt = rival.starts(lambda: getattr(services, act)(job.pk, *sent, by=owner, now=timezone.now()))
        assert rival.has_looked.wait(WAIT_SECONDS)
    with pytest.raises(NotFound, match=f"No job found with ID: {job.pk}"):
        attempt.result(WAIT_SECONDS)


def test_nobody_can_refer_to_a_job_that_is_being_deleted(ops, owner, rival, monkeypatch):
    job = make_job(created_by=owner)
    delete, references = retention.delete, []

    def delete_while_somebody_refers_to_it(ids):
        references.append(rival.starts(lambda: make_execution(job)))
        # It must wait for the end of the deletion, which could not remove the job beside it.
        with pytest.raises(TimeoutError):
            references[0].result(0.5)
        return delete(ids)

    monkeypatch.setattr(retention, "delete", delete_while_somebody_refers_to_it)
    services.delete_job(job.pk, by=owner, now=timezone.now())
    with pytest.raises(IntegrityError):
        references[0].result(WAIT_SECONDS)
    assert not Job.objects.exists()


def test_a_manual_run_is_sent_by_an_edit_that_was_answered_before_it_left(ops, owner, rival, httpserver):
    for path in ("/old", "/new"):
        httpserver.expect_request(path).respond_with_data("done")
    job = make_job(created_by=owner, target_url=httpserver.url_for("/old"))
    with transaction.atomic():
        services.update_job(job.pk, {"target_url": httpserver.url_for("/new")}, by=owner, now=timezone.now())
        run = rival.starts(lambda: services.run_now(job, {}, by=owner, now=timezone.now()))
        assert rival.has_looked.wait(WAIT_SECONDS)
    assert run.result(WAIT_SECONDS).target == httpserver.url_for("/new")
    assert [request.path for request, _ in httpserver.log] == ["/new"]


@pytest.mark.parametrize(
    "manual_run",
    [
        lambda job, by: services.run_now(job, {}, by=by, now=timezone.now()),
        lambda job, by: services.queue_run(job.pk, by=by, now=timezone.now()),
    ],
    ids=["here", "by the leader"],
)
def test_a_job_deleted_before_its_run_could_leave_is_not_found(ops, owner, rival, httpserver, manual_run):
    job = make_job(created_by=owner, target_url=httpserver.url_for("/hook"))
    with transaction.atomic():
        services.delete_job(job.pk, by=owner, now=timezone.now())
        run = rival.starts(lambda: manual_run(job, owner))
        assert rival.has_looked.wait(WAIT_SECONDS)
    with pytest.raises(NotFound):
        run.result(WAIT_SECONDS)
    assert not httpserver.log


def test_a_job_deleted_during_its_run_is_not_found(ops, owner, rival, httpserver):
    called, deleted = threading.Event(), threading.Event()

    def answer_after_the_deletion(request):
        called.set()
        deleted.wait(WAIT_SECONDS)
        return SinkResponse("late")

    httpserver.expect_request("/hook").respond_with_handler(answer_after_the_deletion)
    job = make_job(created_by=owner, target_url=httpserver.url_for("/hook"))
    run = rival.starts(lambda: services.run_now(job, {}, by=owner, now=timezone.now()))
    assert called.wait(WAIT_SECONDS)
    services.delete_job(job.pk, by=owner, now=timezone.now())
    deleted.set()
    with pytest.raises(NotFound):
        run.result(WAIT_SECONDS)
    assert not JobExecution.objects.exists()


ROWS = "name,cron,url,end date,pic team\n" + "".join(
    f"{name},0 3 * * *,https://hooks.example.com/,2099-12-31,ops\n" for name in ("A", "B", "C")
)


def upload(owner: User, **options: Any) -> Report:
    return import_jobs(read_table(ROWS.encode()), by=owner, now=timezone.now(), **options)


def test_a_name_taken_while_an_upload_is_judged_costs_only_its_row(ops, owner, rival):
    with transaction.atomic():
        make_job(name="B")
        report = rival.starts(lambda: upload(owner))
        assert rival.has_looked.wait(WAIT_SECONDS)
    result = report.result(WAIT_SECONDS)
    assert [error["error"] for error in result.errors] == ["Duplicate job name"]
    assert [job["name"] for job in result.jobs] == ["A", "C"]
    assert Job.objects.count() == 3


def test_an_edit_while_an_upload_is_judged_is_not_undone(ops, owner, rival):
    job = make_job(name="B", created_by=owner)
    with transaction.atomic():
        services.update_job(job.pk, {"metadata": {"kept": True}}, by=owner, now=timezone.now())
        report = rival.starts(lambda: upload(owner, options=FileOptions(update_existing=True)))
        assert rival.has_looked.wait(WAIT_SECONDS)
    assert report.result(WAIT_SECONDS).updated == 1
    job.refresh_from_db()
    assert (job.metadata, job.cron_expression) == ({"kept": True}, "0 3 * * *")


def test_a_job_that_vanishes_while_an_upload_is_judged_is_created_anew(ops, owner, rival):
    job = make_job(name="B", created_by=owner)
    with transaction.atomic():
        services.delete_job(job.pk, by=owner, now=timezone.now())
        report = rival.starts(lambda: upload(owner, options=FileOptions(update_existing=True)))
        assert rival.has_looked.wait(WAIT_SECONDS)
    result = report.result(WAIT_SECONDS)
    assert (result.created, result.updated, result.errors) == (3, 0, [])
    assert not Job.objects.filter(pk=job.pk).exists()
