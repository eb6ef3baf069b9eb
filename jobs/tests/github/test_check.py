"""A target check finds before the night what would fail in it, and starts nothing."""

import base64
import json
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronsched.lib.http import Response
from jobs.dispatch import executors
from jobs.github import GitHub, GitHubCheck, GitHubRequest, StaticToken, Transport
from jobs.github.check import MAX_BYTES, _Loader, _workflow_file, trigger_findings

WITH_INPUTS = """
on:
  push:
  workflow_dispatch:
    inputs:
      env: {type: choice, options: [staging, production], required: true}
      region: {required: true, default: tokyo}
      note: {}
"""


@pytest.fixture
def shop(fake):
    return fake.add_repository("acme", "shop")


@pytest.fixture
def codes(github):
    def codes(workflow: str = "deploy.yml", **fields: Any) -> list[str]:
        return [finding.code for finding in check(github, workflow, **fields)]

    return codes


def check(github: GitHub, workflow: str = "deploy.yml", **fields: Any):
    request = GitHubRequest("acme", "shop", workflow, "Deploy", **{"ref": "master", **fields})
    return GitHubCheck(github).run(request, now=datetime.now(UTC), timeout=timedelta(seconds=10))


def test_a_workflow_that_can_be_started_has_no_findings_and_is_not_started(fake, shop, codes):
    shop.add_workflow("deploy.yml", WITH_INPUTS)
    assert codes(inputs={"env": "staging"}) == []
    assert shop.runs == []
    assert not any(call.startswith("POST") for call in fake.calls)


@pytest.mark.parametrize(
    "content", ["on: workflow_dispatch", "on: [push, workflow_dispatch]", "'on': {workflow_dispatch: }"]
)
def test_every_way_to_write_the_trigger_is_understood(shop, codes, content):
    shop.add_workflow("deploy.yml", content)
    assert codes() == []


def test_a_name_without_extension_and_a_number_are_understood(shop, codes):
    workflow = shop.add_workflow("deploy.yaml")
    assert codes("deploy") == codes(str(workflow.id)) == []


@pytest.mark.parametrize(
    "inputs, found",
    [
        ({}, ["input_missing"]),
        ({"env": ""}, ["input_missing"]),
        ({"env": "moon"}, ["input_not_allowed"]),
        ({"env": "staging", "foo": 1}, ["unexpected_inputs"]),
        ({"foo": 1}, ["unexpected_inputs", "input_missing"]),
        ({"env": "production", "region": "osaka", "note": "x"}, []),
    ],
)
def test_inputs_are_held_against_the_workflows_own(shop, codes, inputs, found):
    shop.add_workflow("deploy.yml", WITH_INPUTS)
    assert codes(inputs=inputs) == found


def test_everything_that_is_wrong_is_said_at_once(shop, codes):
    shop.archived = True
    shop.add_workflow("deploy.yml", WITH_INPUTS, state="disabled_inactivity")
    too_many = {f"i{number}": 1 for number in range(26)}
    assert codes(inputs=too_many) == [
        "inputs",
        "repository_archived",
        "workflow_disabled",
        "unexpected_inputs",
        "input_missing",
    ]


def test_a_workflow_that_sleeps_says_why(shop, github):
    shop.add_workflow("deploy.yml", state="disabled_inactivity")
    assert "60 days" in check(github)[0].message


def test_a_workflow_that_does_not_exist_ends_the_check(shop, codes):
    assert codes() == ["workflow_not_found"]
    assert codes("deploy") == ["workflow_not_found"]


def test_a_ref_that_does_not_exist_is_named(shop, codes):
    shop.add_workflow("deploy.yml")
    assert codes(ref="nowhere") == ["ref_not_found"]


def test_a_workflow_that_is_not_on_the_ref_is_named(shop, codes):
    shop.refs.add("dev")
    workflow = shop.add_workflow("deploy.yml")
    workflow.branches.remove("dev")
    assert codes(ref="dev") == ["workflow_not_on_ref"]


def test_a_workflow_without_the_trigger_is_named(shop, codes):
    shop.add_workflow("deploy.yml", "on: [push]")
    assert codes() == ["no_dispatch_trigger"]


def test_a_repository_that_does_not_exist_moved_or_is_closed_to_us(fake, shop, codes, http_client):
    assert codes(token="wrong") == ["bad_credentials"]
    shop.moved = True
    assert codes() == ["repository_moved"]
    fake.repositories.clear()
    assert codes() == ["repository_not_found"]
    nobody = GitHub(Transport(http_client, fake.url), StaticToken(""))
    assert [finding.code for finding in check(nobody)] == ["no_credentials"]


def test_a_token_that_may_only_read_is_named(fake, shop, codes):
    shop.add_workflow("deploy.yml")
    assert codes(token=fake.reading_token) == ["no_write_access"]


@pytest.mark.parametrize(
    "status, message, code, conclusive",
    [
        (403, "Resource not accessible by integration", "forbidden", True),
        (403, "API rate limit exceeded", "rate_limited", False),
        (502, "Bad gateway", "unexpected", False),
    ],
)
def test_what_could_not_be_asked_is_no_verdict(fake, shop, github, status, message, code, conclusive):
    fake.refuse_next(status, message)
    assert [(finding.code, finding.conclusive) for finding in check(github)] == [(code, conclusive)]


def test_the_settings_github_is_asked(fake, shop, settings):
    settings.GITHUB_API_URL, settings.GITHUB_TOKEN = fake.url, fake.token
    request = GitHubRequest("acme", "shop", "deploy.yml", "Deploy", "master")
    findings = executors.check(request, now=datetime.now(UTC), timeout=timedelta(seconds=10))
    assert [finding.code for finding in findings] == ["workflow_not_found"]


def test_a_github_that_hangs_up_is_no_verdict(fake, shop, github):
    fake.drop_next()
    assert [(finding.code, finding.conclusive) for finding in check(github)] == [("unreachable", False)]


MERGED = "a: &a {k: v}\non:\n  <<: *a"
CODE = "on: !!python/object/apply:os.system [true]"


@pytest.mark.parametrize("content", ["- a", "a: [", "\tt: 1", "on: *nowhere", "a" * 1000, "", CODE, MERGED, "[" * 50])
def test_a_file_that_cannot_be_read_is_said(shop, codes, content):
    shop.add_workflow("deploy.yml", content)
    # The fake reads a file only when it is dispatched.
    assert codes() == ["workflow_unreadable"]


def test_a_small_file_that_unfolds_without_end_is_read_at_once():
    lines = ["a0: &a0 {x0: 1, y0: 1}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    text = "\n".join([*lines, "on: {workflow_dispatch: {inputs: *a29}}"])
    parsed = _Loader(text.encode()).get_single_data()
    assert list(trigger_findings(parsed, {}, ref="main")) == []


LARGE = {
    "scalars": "a: [" + "a," * 250_000 + "]",
    "mappings": "a: [" + "{}," * 170_000 + "]",
    "lines": "".join(f"k{number}: 1\n" for number in range(40_000)),
    "depth": "a: " + "[" * 250_000,
    "trigger": "on: [" + "a," * 250_000 + "]",
    "options": "s: &s " + "x" * 100_000 + "\non: {workflow_dispatch: {inputs: {env: {type: choice, options: ["
    "" + "*s," * 5000 + "]}}}}",
}


@pytest.mark.parametrize("kind", LARGE)
def test_no_workflow_file_makes_the_process_grow_by_twenty_megabytes(kind):
    content = f"{'' if 'on:' in LARGE[kind] else WITH_INPUTS}{LARGE[kind]}".encode()
    body = json.dumps({"content": base64.b64encode(content).decode()}).encode()
    assert len(body) <= MAX_BYTES
    began = time.process_time()
    tracemalloc.start()
    try:
        parsed = _workflow_file(Response(200, body=body))
        list(trigger_findings(parsed, {"env": "x"}, ref="main"))
        grown = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert grown + len(body) < 20 * 1024 * 1024
    # Nothing else of the process runs meanwhile; counting the memory takes most of it.
    assert time.process_time() - began < 20


def test_a_large_workflow_is_judged_by_its_triggers(shop, codes):
    steps = "".join(f"      - name: Step {number}\n        run: echo {number}\n" for number in range(8000))
    shop.add_workflow("deploy.yml", f"jobs:\n  build:\n    steps:\n{steps}{WITH_INPUTS}")
    assert codes(inputs={"env": "nowhere"}) == ["input_not_allowed"]


def test_a_number_too_long_to_be_written_out_is_no_error(shop, codes):
    options = f"{{type: choice, options: [0x{'f' * 5000}]}}"
    shop.add_workflow("deploy.yml", f"on: {{workflow_dispatch: {{inputs: {{a: {options}}}}}}}")
    assert codes(inputs={"a": "1"}) == ["input_not_allowed"]


@pytest.mark.parametrize(
    "workflow", [None, [], "x", 5, {}, {"on": None}, {"on": 5}, {"on": [1, {}]}, {True: {"push": 1}}]
)
def test_odd_structures_are_findings_not_errors(workflow):
    assert list(trigger_findings(workflow, {"a": 1}, ref="main"))
