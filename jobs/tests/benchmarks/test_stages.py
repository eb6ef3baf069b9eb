"""What a webhook costs at each stage, in processor time of the thread that does it: where to look for the next saving.

The smallest of many rounds counts, so that a busy machine disturbs it less than it disturbs a herd. What threads cost
by handing over to each other is not in it.

BENCH_STAGE_ROUNDS  how many rounds, default 40
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from cronsched.http_client import http_client
from cronsched.lib.http import OutgoingRequest, RequestError, Response
from jobs.dispatch import Prepared, Result, record_each
from jobs.dispatch.executors import webhook_sender
from jobs.dispatch.journal import Journal
from jobs.executors.base import Outcome
from jobs.executors.webhook import WebhookRequest
from jobs.models import Job, JobExecution
from jobs.scheduler.backends.local import Admission
from jobs.scheduler.claim import claim_due
from jobs.targets.limits import limiter
from jobs.tests.benchmarks.contenders import empty_tables, insert_jobs
from jobs.tests.benchmarks.report import Figures, size
from jobs.tests.benchmarks.target import Target

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

NUMBER = 250
ROUNDS = size("BENCH_STAGE_ROUNDS", "40")[0]
AT_ONCE = 32
GROUP = 8


class Stages:
    """The least that each stage took, in seconds of processor for all of a batch."""

    def __init__(self) -> None:
        self.least: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        began = time.thread_time()
        yield
        used = time.thread_time() - began
        self.least[name] = min(self.least.get(name, used), used)


def test_what_a_webhook_costs_at_each_stage(target: Target, settings) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = True
    title = f"{NUMBER} webhooks at once, microseconds of processor for each: the least of {ROUNDS} rounds"
    figures = Figures("stages", title, ("stage", "us"))
    empty_tables()
    due = datetime.now(UTC).replace(second=0, microsecond=0)
    insert_jobs([target.url("now", number) for number in range(NUMBER)], due_at=due)
    stages = Stages()
    for _ in range(ROUNDS):
        one_round(due, target, stages)
    for name, seconds in stages.least.items():
        figures.add(name, f"{seconds / NUMBER * 1e6:.0f}")
    figures.add("all of them", f"{sum(stages.least.values()) / NUMBER * 1e6:.0f}")
    figures.publish()


def one_round(due: datetime, target: Target, stages: Stages) -> None:
    Job.objects.update(next_fire_at=due)
    token, places = uuid4(), Admission(limiter())
    journal, now = Journal(token), datetime.now(UTC)
    with stages.measure("claim"):
        claimed = claim_due(now=now, limit=NUMBER, admit=places.admit_job, sender=token, taking=journal.taken)
    places.give_back()
    prepared = claimed.prepared
    assert len(prepared) == NUMBER
    requests = [item.request for item in prepared if isinstance(item.request, WebhookRequest)]
    with stages.measure("put together"):
        for request in requests:
            webhook_sender(request)
    send_all(target, stages)
    results = [Result(item, answered(item), datetime.now(UTC)) for item in prepared]
    with stages.measure("journal"):
        note_all(journal, results)
    journal.close()
    with stages.measure("record"):
        assert record_each(results, sender=token, now=now) == NUMBER
    # The same fire times are to be free again.
    JobExecution.objects.all().delete()


def answered(item: Prepared) -> Outcome:
    return Outcome("success", "webhook", item.job.target, response_status=200, output="OK", request_sent=True)


def note_all(journal: Journal, results: Sequence[Result]) -> None:
    for start in range(0, len(results), GROUP):
        group = results[start : start + GROUP]
        journal.sent([result.prepared.execution_id for result in group])
        for result in group:
            journal.answered(result)
    journal.flush()
    journal.settled([result.prepared.execution_id for result in results])


def send_all(target: Target, stages: Stages) -> None:
    """Send as many requests as there are jobs, in the client's own thread, so that its time is all that counts."""
    client, numbers, done = http_client(), iter(range(NUMBER)), threading.Event()
    headers = {"Content-Type": "application/json", **{f"X-Header-{number}": "x" * 36 for number in range(9)}}
    open_requests = 0
    measured = stages.measure("client")

    def send_next(answer: Response | RequestError | None = None) -> None:
        nonlocal open_requests
        assert not isinstance(answer, RequestError), answer
        if answer is not None:
            open_requests -= 1
        if (number := next(numbers, None)) is not None:
            open_requests += 1
            client.submit(OutgoingRequest("POST", target.url("now", number), headers, b'{"number": 1}'), send_next)
        elif not open_requests:
            measured.__exit__(None, None, None)
            done.set()

    def begin(answer: Response | RequestError) -> None:
        measured.__enter__()
        for _ in range(AT_ONCE):
            send_next()

    client.submit(OutgoingRequest("GET", target.url("now", 0)), begin)
    assert done.wait(60)
