"""`runscheduler --once`: one pass, for operators with a clock of their own."""

from typing import Any

import pytest
from django.db import OperationalError

from cronsched.lib.tests.servers import OK, answering, target
from jobs.scheduler.claim import claim_due
from jobs.scheduler.runner import Runner
from jobs.tests.scheduler.helpers import SENDER, only_row
from jobs.tests.scheduler.processes import make_job_due_now, scheduler

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_what_a_pass_has_sent_is_recorded_although_the_database_goes_in_between(monkeypatch):
    claims: list[Any] = []

    def claim_once(**keywords: Any) -> Any:
        claims.append(keywords)
        if len(claims) > 1:
            raise OperationalError("the database is away")
        # More is waiting, it says.
        return claim_due(**keywords)._replace(queued=[SENDER])

    monkeypatch.setattr("jobs.scheduler.producer.claim_due", claim_once)
    with target(answering(OK)) as sink:
        make_job_due_now(sink.url("/due"))
        with pytest.raises(OperationalError):
            Runner(instance="once").once()
    assert only_row().status == "success"


def test_a_pass_waits_for_what_it_has_sent_as_long_as_that_takes(sink, behaviour):
    behaviour.hold.set()
    make_job_due_now(sink.url("/slow"))
    with scheduler("--once", DRAIN_TIMEOUT_SECONDS="0") as process:
        process.wait_for("drains")
        behaviour.answer.set()
        assert process.wait() == 0
    assert only_row().status == "success"
