"""Dispatching workflows, against a GitHub that enforces its own rules."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronsched.lib.http import Response
from cronsched.lib.tests.servers import answering, target
from jobs.dispatch import executors
from jobs.executors.base import Failure, Outcome
from jobs.github import GitHub, GitHubExecutor, GitHubRequest, StaticToken, Transport, ref_of_run, ref_of_test_run
from jobs.github.api import rate_limit_wait
from jobs.github.inputs import input_problems

WITH_INPUTS = """
on:
  workflow_dispatch:
    inputs:
      env: {type: choice, options: [staging, production], required: true}
      branchDetails: {type: string}
"""


@pytest.fixture
def shop(fake):
    return fake.add_repository("acme", "shop")


@pytest.fixture
def run(github):
    return GitHubExecutor(github, lookup_waits=(0, 0.01)).run


def dispatch(workflow: str = "deploy.yml", **fields: Any) -> GitHubRequest:
    return GitHubRequest(
        **{"owner": "acme", "repo": "shop", "job_name": "Deploy", "ref": "master", **fields}, workflow=workflow
    )


# --- Accepted


def test_an_accepted_dispatch_names_the_run_it_started(fake, shop, run):
    shop.add_workflow("deploy.yml")
    outcome = run(dispatch())
    started = shop.runs[0]
    assert outcome == Outcome(
        status="success",
        execution_type="github_actions",
        target="acme/shop/deploy.yml",
        response_status=200,
        output="Workflow triggered successfully on branch master",
        request_sent=True,
        details={"run_id": started.id, "run_url": f"https://github.com/acme/shop/actions/runs/{started.id}"},
    )


def test_the_dispatch_is_sent_as_the_contract_has_it(http_client):
    with target(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
        github = GitHub(Transport(http_client, server.url("/api/v3/")), StaticToken("t0ken"))
        outcome = GitHubExecutor(github).run(dispatch("7", inputs={"a": 1}, repo="sh op"))
    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == "POST /api/v3/repos/acme/sh%20op/actions/workflows/7/dispatches HTTP/1.1"
    assert {
        "Authorization: Bearer t0ken",
        "Accept: application/vnd.github+json",
        "X-GitHub-Api-Version: 2022-11-28",
        "Content-Type: application/json",
    } <= set(lines)
    assert json.loads(body) == {"ref": "master", "inputs": {"a": 1}, "return_run_details": True}
    assert (outcome.status, outcome.response_status, outcome.details) == ("success", 204, {})


def test_empty_inputs_are_sent_by_a_run_and_left_out_by_a_test_run(fake, shop, run):
    shop.add_workflow("deploy.yml")
    run(dispatch())
    run(dispatch(omit_empty_inputs=True, want_run_details=False))
    assert [body for *_, body in fake.dispatches] == [
        {"ref": "master", "inputs": {}, "return_run_details": True},
        {"ref": "master"},
    ]


def test_inputs_reach_the_workflow(fake, shop, run):
    shop.add_workflow("deploy.yml", WITH_INPUTS)
    assert run(dispatch(inputs={"env": "staging", "branchDetails": "main"}, ref="main")).succeeded
    assert shop.runs[0].inputs == {"env": "staging", "branchDetails": "main"}


def test_an_override_token_is_used_instead_of_the_configured_one(fake, shop, http_client):
    shop.add_workflow("deploy.yml")
    github = GitHub(Transport(http_client, fake.url), StaticToken("wrong"))
    assert GitHubExecutor(github).run(dispatch(token=fake.token)).succeeded


def test_a_github_that_repeats_a_runs_own_token_does_not_give_it_away(http_client):
    token = "ghp_0nly/for+this=run"
    said = json.dumps({"message": "Bad credentials", "header": f"Bearer {token}"}).encode()
    with target(answering(b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n" % len(said) + said)) as server:
        github = GitHub(Transport(http_client, server.url("")), StaticToken(""))
        outcome = GitHubExecutor(github).run(dispatch(token=token))
    assert "Bad credentials" in outcome.output
    assert "0nly" not in str(outcome)


@pytest.mark.parametrize(
    "metadata, of_run, of_test_run",
    [
        ({}, "master", "main"),
        ({"branchDetails": "dev"}, "dev", "dev"),
        ({"branchDetails": "", "ref": "v1"}, "master", "v1"),
        ({"branchDetails": None, "ref": " ", "branch": "b"}, "master", "b"),
        ({"branchDetails": {"x": 1}, "branch": True}, "master", "main"),
        ({"branchDetails": 5}, "5", "5"),
    ],
)
def test_the_ref_comes_from_the_metadata(metadata, of_run, of_test_run):
    assert (ref_of_run(metadata), ref_of_test_run(metadata)) == (of_run, of_test_run)


# --- Names without extension


@pytest.mark.parametrize("file", ["deploy.yml", "deploy.yaml"])
def test_a_name_without_extension_is_tried_with_both(fake, shop, run, file):
    shop.add_workflow(file)
    outcome = run(dispatch("deploy"))
    assert (outcome.succeeded, outcome.target) == (True, f"acme/shop/{file}")
    assert [call.split("/")[-2] for call in fake.calls] == ["deploy", "deploy.yml", "deploy.yaml"][: len(fake.calls)]
    assert len(shop.runs) == 1


def test_the_first_answer_that_is_not_404_counts(shop, run):
    shop.add_workflow("deploy.yml", "on: push")
    shop.add_workflow("deploy.yaml")
    outcome = run(dispatch("deploy"))
    assert (outcome.response_status, outcome.target) == (422, "acme/shop/deploy.yml")


def test_a_name_nobody_knows_keeps_its_spelling(fake, shop, run):
    outcome = run(dispatch("deploy"))
    assert (outcome.response_status, outcome.target) == (404, "acme/shop/deploy")
    assert len(fake.calls) == 3


@pytest.mark.parametrize(
    "workflow, fields", [("deploy.txt", {}), ("12345", {}), ("deploy", {"guess_extension": False})]
)
def test_file_names_numbers_and_test_runs_are_tried_once(fake, shop, run, workflow, fields):
    assert run(dispatch(workflow, **fields)).response_status == 404
    assert len(fake.calls) == 1


def test_a_workflow_may_be_named_by_its_number(shop, run):
    workflow = shop.add_workflow("deploy.yml")
    assert run(dispatch(str(workflow.id))).target == f"acme/shop/{workflow.id}"
    assert len(shop.runs) == 1


# --- Refused


@pytest.mark.parametrize(
    "workflow, content, fields, status, text",
    [
        ("deploy.yml", "on: workflow_dispatch", {"ref": "nowhere"}, 422, "No ref found for: nowhere"),
        ("deploy.yml", "on: push", {}, 422, "Workflow does not have 'workflow_dispatch' trigger"),
        ("deploy.yml", WITH_INPUTS, {}, 422, "Required input 'env' not provided"),
        (
            "deploy.yml",
            WITH_INPUTS,
            {"inputs": {"env": "x"}},
            422,
            "Provided value 'x' for input 'env' not in the list",
        ),
        ("deploy.yml", "on: workflow_dispatch", {"inputs": {"foo": 1}}, 422, 'Unexpected inputs provided: [\\"foo\\"]'),
        ("other.yml", "on: workflow_dispatch", {}, 404, "Not Found"),
    ],
)
def test_a_refusal_is_final_and_shows_githubs_words(shop, run, workflow, content, fields, status, text):
    shop.add_workflow(workflow, content)
    outcome = run(dispatch(**fields))
    assert outcome.response_status == status
    assert outcome.error_message.startswith(
        f'GitHub Actions dispatch failed. Status: {status}, Response: {{"message": "'
    )
    assert text in outcome.error_message
    assert outcome.output == outcome.error_message.partition("Response: ")[2]
    assert (outcome.failure, outcome.retryable, outcome.request_sent) == (Failure.BAD_ANSWER, False, True)
    assert shop.runs == []


def test_the_answer_is_shown_up_to_a_thousand_characters(http_client):
    answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 3000\r\n\r\n\x00" + b"x" * 2999
    with target(answering(answer)) as server:
        github = GitHub(Transport(http_client, server.url("")), StaticToken("t"))
        outcome = GitHubExecutor(github).run(dispatch())
    assert outcome.error_message == "GitHub Actions dispatch failed. Status: 500, Response: " + "x" * 1000
    assert (outcome.output, outcome.retryable) == ("x" * 1000, True)


def test_a_renamed_repository_is_not_followed(fake, run):
    fake.add_repository("acme", "shop", moved=True)
    outcome = run(dispatch())
    assert outcome.response_status == 301
    assert outcome.error_message.endswith("(repository renamed or moved)")
    assert len(fake.calls) == 1


def test_without_a_token_nothing_is_sent(fake, shop, http_client):
    outcome = GitHubExecutor(GitHub(Transport(http_client, fake.url), StaticToken(""))).run(dispatch())
    assert outcome.error_message == "GitHub token not configured. Cannot trigger workflow for job 'Deploy'"
    assert (outcome.execution_type, outcome.target) == ("github_actions", "acme/shop/deploy.yml")
    assert (outcome.failure, outcome.request_sent, outcome.response_status) == (Failure.NO_CREDENTIALS, False, None)
    assert fake.calls == []


@pytest.mark.parametrize(
    "fields, status", [({"token": "wrong"}, 401), ({"token": "reading"}, 403), ({"owner": "nobody"}, 404)]
)
def test_missing_rights_are_final(fake, shop, run, fields, status):
    shop.add_workflow("deploy.yml")
    if fields.get("token") == "reading":
        fields = {"token": fake.reading_token}
    outcome = run(dispatch(**fields))
    assert (outcome.response_status, outcome.failure, outcome.retryable) == (status, Failure.BAD_ANSWER, False)


@pytest.mark.parametrize("fields", [{"owner": ".."}, {"repo": "."}, {"workflow": "..", "repo": "x"}, {"owner": ""}])
def test_a_name_cannot_climb_to_another_resource(fake, run, fields):
    outcome = run(dispatch(**fields))
    assert outcome.error_message == "Request failed: owner, repository or workflow is not a valid name"
    assert fake.calls == []


@pytest.mark.parametrize("workflow", ["../../../user.yml", "a/b.yml", "deploy.yml?x=1", "deploy.yml#x", "%2e%2e"])
def test_odd_names_stay_one_segment(http_client, workflow):
    with target(answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as server:
        GitHubExecutor(GitHub(Transport(http_client, server.url("")), StaticToken("t"))).run(dispatch(workflow))
    assert re.match(rb"POST /repos/acme/shop/actions/workflows/[^/?#]+/dispatches HTTP", server.requests[0])


# --- Older servers


def test_a_server_that_refuses_the_flag_is_asked_once_more_without_it(fake, shop, run):
    shop.add_workflow("deploy.yml")
    fake.enterprise = True
    outcome = run(dispatch())
    assert (outcome.succeeded, outcome.response_status, outcome.details) == (True, 204, {})
    assert len(fake.calls) == 2
    assert len(shop.runs) == 1


# --- Rate limits


@pytest.mark.parametrize(
    "message, headers, wait",
    [
        ("You have exceeded a secondary rate limit.", {"Retry-After": "30"}, timedelta(seconds=30)),
        ("You have exceeded a secondary rate limit.", {}, timedelta(seconds=60)),
        ("Slow down.", {"Retry-After": "5"}, timedelta(seconds=5)),
    ],
)
@pytest.mark.parametrize("status", [403, 429])
def test_a_rate_limit_may_be_retried_when_github_says_so(fake, shop, run, status, message, headers, wait):
    shop.add_workflow("deploy.yml")
    fake.refuse_next(status, message, headers)
    outcome = run(dispatch())
    assert (outcome.failure, outcome.retryable, outcome.retry_after) == (Failure.RATE_LIMITED, True, wait)


def test_the_primary_limit_waits_for_its_reset(fake, shop, run):
    shop.add_workflow("deploy.yml")
    fake.remaining = 0
    outcome = run(dispatch())
    assert outcome.failure is Failure.RATE_LIMITED
    assert timedelta(minutes=29) < outcome.retry_after <= timedelta(minutes=30)


def test_the_fake_keeps_the_secondary_limit(fake, shop, run):
    shop.add_workflow("deploy.yml")
    fake.per_minute = 2
    assert [run(dispatch()).response_status for _ in range(3)] == [200, 200, 403]


@pytest.mark.parametrize("reset", ["", "soon", "-1", "9" * 30, None])
def test_a_reset_that_makes_no_sense_is_a_minute_at_least_and_an_hour_at_most(reset):
    headers = [b"X-RateLimit-Remaining: 0"]
    if reset is not None:
        headers.append(b"X-RateLimit-Reset: " + reset.encode())
    answer = Response(403, headers, b"{}")
    wait = rate_limit_wait(answer, now=datetime(2026, 1, 15, 12, 0, tzinfo=UTC))
    assert wait is not None
    assert timedelta(0) <= wait <= timedelta(hours=1)


# --- No answer


def test_a_dispatch_that_was_taken_without_a_word_is_found_and_counts(fake, shop, run):
    shop.add_workflow("deploy.yml")
    fake.act_without_answer()
    outcome = run(dispatch())
    assert (outcome.status, outcome.response_status) == ("success", None)
    assert outcome.output == "Workflow triggered successfully on branch master"
    assert outcome.details["run_id"] == shop.runs[0].id
    assert len(shop.runs) == 1


def test_a_dispatch_that_was_lost_fails_and_may_be_retried(fake, shop, run):
    shop.add_workflow("deploy.yml")
    fake.drop_next()
    outcome = run(dispatch())
    assert outcome.error_message == "Request failed: the target closed the connection without an answer"
    assert (outcome.retryable, outcome.is_ambiguous) == (True, True)
    assert outcome.details == {"lookup": "no run found"}


def test_among_several_runs_none_is_claimed_and_nothing_is_sent_again(fake, shop, run):
    shop.add_workflow("deploy.yml")
    run(dispatch())
    fake.act_without_answer()
    outcome = run(dispatch())
    assert outcome.error_message.endswith("of 2 runs started then none can be identified as this one")
    assert (outcome.status, outcome.retryable) == ("failed", False)


def test_runs_of_other_executions_are_not_taken_for_ours(fake, shop, run):
    shop.add_workflow("deploy.yml")
    known = run(dispatch()).details["run_id"]
    fake.drop_next()
    assert run(dispatch(known_runs=frozenset({known}))).details == {"lookup": "no run found"}


def test_runs_on_other_refs_and_of_older_dispatches_are_not_ours(fake, shop, run):
    shop.add_workflow("deploy.yml")
    run(dispatch(ref="main"))
    run(dispatch())
    shop.runs[1].created_at -= timedelta(minutes=2)
    fake.drop_next()
    assert run(dispatch()).details == {"lookup": "no run found"}


def test_our_clock_may_be_wrong(fake, shop, github):
    shop.add_workflow("deploy.yml")
    ahead = GitHubExecutor(github, clock=lambda: datetime.now(UTC) + timedelta(minutes=40), lookup_waits=(0,))
    fake.act_without_answer()
    assert ahead.run(dispatch()).details["run_id"] == shop.runs[0].id


def test_a_lookup_that_fails_too_leaves_the_failure_as_it_was(fake, shop, run):
    shop.add_workflow("deploy.yml")
    fake.drop_next(times=2)
    outcome = run(dispatch())
    assert outcome.error_message == "Request failed: the target closed the connection without an answer"
    assert outcome.details == {"lookup": "unanswered"}


def test_a_github_that_never_answers_ends_at_the_timeout(http_client):
    with target(lambda visit: visit.stall()) as server:
        github = GitHub(Transport(http_client, server.url("")), StaticToken("t"))
        outcome = GitHubExecutor(github, lookup_waits=()).run(dispatch(timeout=timedelta(seconds=0.2)))
    assert str(outcome.error_message).startswith("Request failed: timed out after ")
    assert outcome.is_ambiguous


def test_a_refused_connection_is_not_looked_up(http_client):
    with target(answering(b"")) as server:
        url = server.url("")
    outcome = GitHubExecutor(GitHub(Transport(http_client, url), StaticToken("t")), lookup_waits=(30,)).run(dispatch())
    assert outcome.error_message == "Request failed: connection refused"
    assert (outcome.details, outcome.request_sent) == ({}, False)


# --- Limits of inputs


def test_inputs_beyond_githubs_limits_are_named():
    assert input_problems({f"i{number}": "x" for number in range(25)}) == []
    assert input_problems({f"i{number}": "x" for number in range(26)}) == [
        "GitHub takes at most 25 inputs; these are 26."
    ]
    # Characters count, not bytes: {"a":""} takes eight.
    assert input_problems({"a": "é" * (65_535 - 8)}) == []
    assert input_problems({"a": "é" * (65_535 - 7)}) == [
        "GitHub takes inputs of at most 65535 characters in all; these are 65536."
    ]


# --- The process's own


def test_the_settings_name_the_github(fake, shop, settings):
    settings.GITHUB_API_URL, settings.GITHUB_TOKEN = fake.url, fake.token
    shop.add_workflow("deploy.yml")
    # The base URL is the operator's: it may be inside although webhooks may not go there.
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = False
    assert executors.run(dispatch()).succeeded
    assert executors.github().bucket(dispatch().repository) != executors.github().bucket(dispatch(token="x").repository)
    assert fake.token not in executors.github().bucket(dispatch().repository)
