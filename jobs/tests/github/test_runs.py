"""Following a run to its end, by asking and by being told."""

import hashlib
import hmac
import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from cronsched.lib.http import RequestError, Response
from jobs.github import GitHubExecutor, GitHubRequest, Repository, RunOutcome, Runs, is_signed, next_poll, run_event
from jobs.github.api import json_of
from jobs.github.runs import MAX_BYTES, FailedStep, RunState
from jobs.tests.github.fake import examples

SHOP = Repository("acme", "shop")
SECOND = timedelta(seconds=1)
SOON = timedelta(seconds=10)


@pytest.fixture
def shop(fake):
    repository = fake.add_repository("acme", "shop")
    repository.add_workflow("deploy.yml")
    return repository


@pytest.fixture
def started(shop, github):
    GitHubExecutor(github).run(GitHubRequest("acme", "shop", "deploy.yml", "Deploy", "master"))
    return shop.runs[0]


@pytest.fixture
def poll(github):
    def poll(run_id: int, etag: str | None = None):
        return Runs(github).poll(SHOP, run_id, etag=etag, now=datetime.now(UTC), timeout=SOON)

    return poll


def test_a_run_is_followed_from_dispatch_to_failure_and_its_cause(started, poll, github):
    assert poll(started.id).state.outcome is RunOutcome.PENDING
    started.start()
    assert poll(started.id).state.outcome is RunOutcome.PENDING
    started.finish("failure", job="build", step="Run tests")
    state = poll(started.id).state
    assert (state.outcome, state.is_completed, state.conclusion) == (RunOutcome.FAILED, True, "failure")
    assert state.url == f"https://github.com/acme/shop/actions/runs/{started.id}"
    cause = Runs(github).failed_step(SHOP, started.id, timeout=SOON)
    assert cause == FailedStep(
        "build", "Run tests", f"https://github.com/octo-org/octo-repo/actions/runs/{started.id}/job/build"
    )


def test_an_unchanged_run_costs_no_quota(fake, started, poll):
    fake.remaining = 10
    first = poll(started.id)
    for _ in range(3):
        unchanged = poll(started.id, first.etag)
        assert (unchanged.state, unchanged.etag) == (None, first.etag)
    assert fake.remaining == 9
    started.start()
    assert poll(started.id, first.etag).state.status == "in_progress"


def test_a_rerun_is_another_attempt_of_the_same_run(started, poll):
    started.finish("failure")
    assert poll(started.id).state.attempt == 1
    started.rerun()
    state = poll(started.id).state
    assert (state.attempt, state.outcome) == (2, RunOutcome.PENDING)


@pytest.mark.parametrize(
    "status, conclusion, outcome",
    [
        ("queued", None, RunOutcome.PENDING),
        ("requested", None, RunOutcome.PENDING),
        ("pending", None, RunOutcome.PENDING),
        ("in_progress", None, RunOutcome.PENDING),
        ("waiting", None, RunOutcome.NEEDS_APPROVAL),
        ("completed", "action_required", RunOutcome.NEEDS_APPROVAL),
        ("completed", "success", RunOutcome.SUCCEEDED),
        ("completed", "neutral", RunOutcome.SUCCEEDED),
        ("completed", "skipped", RunOutcome.SKIPPED),
        ("completed", "cancelled", RunOutcome.CANCELLED),
        ("completed", "failure", RunOutcome.FAILED),
        ("completed", "timed_out", RunOutcome.FAILED),
        ("completed", "stale", RunOutcome.FAILED),
        ("completed", "startup_failure", RunOutcome.FAILED),
        # Whatever GitHub may add is no success.
        ("completed", "brand_new", RunOutcome.FAILED),
        ("completed", None, RunOutcome.FAILED),
    ],
)
def test_status_and_conclusion_come_to_an_outcome(status, conclusion, outcome):
    assert RunState(1, status, conclusion, 1, "", "", None).outcome is outcome


def test_a_run_without_a_failed_job_names_no_step(started, github):
    started.finish("success")
    assert Runs(github).failed_step(SHOP, started.id, timeout=SOON) is None


def test_a_deleted_run_is_gone(shop, poll):
    assert poll(1).gone


@pytest.mark.parametrize("status, wait", [(500, None), (502, None), (401, None)])
def test_an_answer_that_says_nothing_changes_nothing(fake, started, poll, status, wait):
    fake.refuse_next(status, "Sorry")
    nothing = poll(started.id, "etag")
    assert (nothing.state, nothing.etag, nothing.gone, nothing.wait) == (None, "etag", False, wait)


def test_a_rate_limit_says_how_long_to_wait(fake, started, poll):
    fake.refuse_next(403, "secondary rate limit", {"Retry-After": "42"})
    assert poll(started.id).wait == 42 * SECOND


def test_a_github_that_hangs_up_is_an_error(fake, started, poll):
    fake.drop_next()
    with pytest.raises(RequestError):
        poll(started.id)


def test_polls_grow_apart_and_spread():
    waits = [next_poll(polls, key="run-1") / SECOND for polls in range(1, 20)]
    for wait, at_least in zip(waits, [5, 10, 20, 30, 60, 60, 60], strict=False):
        assert at_least <= wait <= at_least * 1.2
    assert next_poll(1, key="run-1") != next_poll(1, key="run-2")
    assert next_poll(3, key="run-1") == next_poll(3, key="run-1")


# --- Being told


SECRET = "a webhook secret"


def signature_of(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def payload(**run) -> bytes:
    body = {
        "action": "completed",
        "workflow_run": examples()["run"] | run,
        "repository": {"full_name": "acme/shop"},
    }
    return json.dumps(body).encode()


def test_a_signed_event_tells_how_a_run_ended():
    body = payload(id=7, status="completed", conclusion="failure", run_attempt=2)
    assert is_signed(body, signature_of(body), SECRET)
    event = run_event(body)
    assert event
    assert (event.action, event.repository) == ("completed", "acme/shop")
    assert (event.state.run_id, event.state.attempt, event.state.outcome) == (7, 2, RunOutcome.FAILED)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha1=abc",
        signature_of(payload(), "other"),
        signature_of(b"other body"),
        "sha256=é",
        "\ud800",
    ],
)
def test_what_is_not_signed_with_the_secret_is_not_believed(signature):
    assert not is_signed(payload(), signature, SECRET)


def test_without_a_secret_nothing_is_believed():
    body = payload()
    assert not is_signed(body, signature_of(body, ""), "")


ODD_RUN = b'{"workflow_run": {"id": "x", "status": 1}}'
ODD_EVENT = b'{"action": 1, "workflow_run": {"id": 1, "status": "queued"}, "repository": {"full_name": 2}}'


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"workflow_run": null}', ODD_RUN, ODD_EVENT, b"\xff", b"[" * 500]
)
def test_what_is_no_event_is_none(body):
    assert run_event(body) is None


# --- Answers that are too much ---------------------------------------------------------------------------------------


HOSTILE_JSON = {
    "lists": b'{"a": [' + b"[]," * 690_000 + b"[]]}",
    "objects": b'{"a": [' + b"{}," * 690_000 + b"{}]}",
    "strings": b'{"a": [' + b",".join(b'"%05x"' % number for number in range(250_000)) + b"]}",
    "names": b"{" + b",".join(b'"%05x":1' % number for number in range(200_000)) + b"}",
    "depth": b'{"a": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
    "wide characters": '{{"a": "{}😀"}}'.format("x" * 2_000_000).encode(),
}


@pytest.mark.parametrize("kind", HOSTILE_JSON)
def test_no_answer_of_github_makes_the_process_grow_by_twenty_megabytes(kind):
    body = HOSTILE_JSON[kind]
    assert len(body) <= MAX_BYTES
    tracemalloc.start()
    try:
        json_of(Response(200, body=body))
        grown = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert grown + len(body) < 20 * 1024 * 1024


def test_a_full_page_of_runs_is_read():
    page = {"total_count": 100, "workflow_runs": [examples()["run"]] * 100}
    body = json.dumps(page).encode()
    assert len(body) <= MAX_BYTES
    assert len(json_of(Response(200, body=body))["workflow_runs"]) == 100
