"""What becomes of a dead sender's runs, on a real database."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.dispatch import replay
from jobs.dispatch.attempt import Prepared, Result
from jobs.dispatch.journal import Journal
from jobs.dispatch.replay import MAYBE_OUT, OUT, replay_dead_senders
from jobs.history.daily_counts import recount
from jobs.models import GitHubRun, JobExecution, Status
from jobs.tests.conftest import WORKFLOW as WORKFLOW_FIELDS
from jobs.tests.factories import NOON
from jobs.tests.scheduler.helpers import SENDER, claim, failure, make_due_job, start, success
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]

WORKFLOW: dict[str, Any] = dict(WORKFLOW_FIELDS)
LATER = NOON + timedelta(seconds=10)


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.JOURNAL_DIR = str(tmp_path)
    return tmp_path


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(SENDER)
    yield journal
    journal.close()


def claimed(number: int = 1, **fields: Any) -> list[Prepared]:
    for _ in range(number):
        make_due_job(**fields)
    return list(claim().prepared)


def ids(prepared: list[Prepared]) -> list[Any]:
    return [item.execution_id for item in prepared]


def row(prepared: Prepared) -> Any:
    return JobExecution.objects.get(pk=prepared.execution_id)


def test_what_never_left_is_queued_again_and_sent_by_the_next(journal):
    (prepared,) = claimed()
    journal.taken(ids([prepared]))
    journal.close()
    assert replay_dead_senders(now=LATER) == 1
    found = row(prepared)
    assert (found.status, found.sender, found.deadline_at, found.attempt) == ("queued", None, None, 1)
    (again,) = start(found, now=LATER)
    assert again.request.run.execution_id == prepared.execution_id
    assert not Notification.objects.exists()


def test_an_answer_that_was_not_recorded_is_recorded(journal):
    good, bad = claimed(2)
    journal.taken(ids([good, bad]))
    journal.sent(ids([good, bad]))
    at = NOON + timedelta(seconds=2)
    journal.answered(Result(good, success(response_status=201, output="done"), at))
    journal.answered(Result(bad, failure(), at))
    journal.close()
    assert replay_dead_senders(now=LATER) == 2
    assert (row(good).status, row(good).response_status, row(good).output) == ("success", 201, "done")
    assert (row(good).completed_at, row(good).duration_seconds) == (at, 2.0)
    assert (row(bad).status, row(bad).response_status) == ("failed", 500)
    assert {notice.title for notice in Notification.objects.all()} == {"Job Completed", "Job Failed"}


def test_an_answer_that_asks_for_another_attempt_gets_it(journal):
    (prepared,) = claimed(max_attempts=3)
    journal.taken(ids([prepared]))
    journal.sent(ids([prepared]))
    journal.answered(Result(prepared, failure(retryable=True, request_sent=True), NOON + timedelta(seconds=1)))
    journal.close()
    replay_dead_senders(now=LATER)
    assert (row(prepared).status, row(prepared).attempt) == ("queued", 2)


def test_only_what_was_out_is_unknown_and_says_so(journal):
    (prepared,) = claimed()
    journal.taken(ids([prepared]))
    journal.sent(ids([prepared]))
    journal.close()
    assert replay_dead_senders(now=LATER) == 1
    assert (row(prepared).status, row(prepared).reason, row(prepared).completed_at) == ("unknown", OUT, LATER)
    assert Notification.objects.get().title == "Job Outcome Unknown"
    assert recount(NOON.date()) == 0, "it is counted"


def test_a_journal_with_a_gap_sends_nothing_again(journal, folder):
    taken, sent, answered = claimed(3)
    journal.taken(ids([taken, sent, answered]))
    journal.sent(ids([sent, answered]))
    journal.answered(Result(answered, success(), NOON))
    journal.close()
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes() + b"a line that was lost\n")
    assert replay_dead_senders(now=LATER) == 3
    assert [(row(item).status, row(item).reason) for item in (taken, sent, answered)] == [
        ("unknown", MAYBE_OUT),
        ("unknown", OUT),
        ("success", None),
    ]


def test_what_others_have_is_left_alone(journal):
    mine, theirs = claimed(2)
    journal.taken(ids([mine, theirs]))
    journal.sent(ids([mine]))
    journal.close()
    JobExecution.objects.filter(pk=mine.execution_id).update(status=Status.SUCCESS)
    JobExecution.objects.filter(pk=theirs.execution_id).update(sender=theirs.execution_id)
    assert replay_dead_senders(now=LATER) == 0
    assert (row(mine).status, row(theirs).status) == ("success", "running")


def test_what_was_not_noted_is_left_to_its_deadline(journal):
    known, unknown = claimed(2)
    journal.taken(ids([known]))
    journal.close()
    replay_dead_senders(now=LATER)
    assert (row(known).status, row(unknown).status) == ("queued", "running")


def test_what_was_called_unknown_before_the_journal_was_found_is_corrected(journal):
    unsent, answered = claimed(2)
    journal.taken(ids([unsent, answered]))
    journal.sent(ids([answered]))
    journal.answered(Result(answered, success(), NOON))
    journal.close()
    JobExecution.objects.update(status=Status.UNKNOWN, completed_at=LATER)
    assert replay_dead_senders(now=LATER) == 2
    assert row(answered).status == "success"
    assert (row(unsent).status, row(unsent).attempt) == ("failed", 1)
    assert "died before it was sent" in row(unsent).error_message


def test_a_run_with_a_token_of_its_own_cannot_be_sent_by_others(journal):
    (prepared,) = claimed()
    journal.taken(ids([prepared]), lone=True)
    journal.close()
    assert replay_dead_senders(now=LATER) == 1
    assert row(prepared).status == "failed"
    assert "no other process could send it" in row(prepared).error_message


def test_a_second_look_changes_nothing_and_the_file_goes_when_it_is_old(journal, folder):
    prepared = claimed(3)
    journal.taken(ids(prepared))
    journal.sent(ids(prepared[1:]))
    journal.answered(Result(prepared[2], success(), NOON))
    journal.close()
    assert [replay_dead_senders(now=LATER) for _ in range(2)] == [3, 0]
    (path,) = folder.iterdir()
    os.utime(path, (0, 0))
    assert replay_dead_senders(now=LATER) == 0
    assert list(folder.iterdir()) == []


def test_an_answer_that_nobody_can_read_keeps_no_other_back(journal, monkeypatch, caplog):
    bad, good = claimed(2)
    journal.taken(ids([bad, good]))
    journal.sent(ids([bad, good]))
    for prepared in (bad, good):
        journal.answered(Result(prepared, success(), NOON))
    journal.close()
    as_sent = replay._as_sent

    def refuse(columns, job):
        if columns[0] == bad.execution_id:
            raise ValueError("an unforeseen row")
        return as_sent(columns, job)

    monkeypatch.setattr(replay, "_as_sent", refuse)
    assert replay_dead_senders(now=LATER) == 1
    assert (row(bad).status, row(good).status) == ("running", "success")


def test_a_dispatch_is_followed_where_it_was_sent_to(journal, shop):
    (prepared,) = claimed(1, **WORKFLOW, track_run=True)
    journal.taken(ids([prepared]))
    journal.sent(ids([prepared]))
    told = success(execution_type="github_actions", target="acme/shop/deploy.yml", details={"run_id": 77})
    journal.answered(Result(prepared, told, NOON))
    journal.close()
    JobExecution.objects.get().job.__class__.objects.update(github_repo="another")
    replay_dead_senders(now=LATER)
    run = GitHubRun.objects.get()
    assert (run.repository, run.run_id) == ("acme/shop", 77)


def test_a_dispatch_that_was_out_is_looked_for_at_github(journal, shop):
    (prepared,) = claimed(1, **WORKFLOW)
    journal.taken(ids([prepared]))
    journal.sent(ids([prepared]))
    journal.close()
    replay_dead_senders(now=LATER)
    assert row(prepared).status == "unknown"
    assert GitHubRun.objects.get().tracking == "followed"
