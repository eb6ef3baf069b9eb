"""What a webhook's optional settings may hold is judged before it is stored."""

import base64

import pytest

from cronsched.lib.errors import DomainError
from jobs.executors import rules
from jobs.executors.signing import new_secret


def refusal(check, *arguments, **keywords) -> str:
    with pytest.raises(DomainError) as refused:
        check(*arguments, **keywords)
    assert refused.value.error.startswith("Invalid ")
    return refused.value.message or ""


@pytest.mark.parametrize("value, stored", [("post", "POST"), (" Get ", "GET"), ("", ""), ("HEAD", "HEAD")])
def test_methods_are_stored_in_upper_case(value, stored):
    assert rules.check_method(value) == stored


@pytest.mark.parametrize("value", ["CONNECT", "TRACE", "OPTIONS", "GET /x", "P\r\nOST", 5, None, ["GET"]])
def test_other_methods_are_refused(value):
    assert refusal(rules.check_method, value).startswith("webhook_method must be one of GET, POST")


def test_headers_are_stored_as_text():
    assert rules.check_headers({"X-Team": " a ", "Authorization": "Bearer é"}) == {
        "X-Team": "a",
        "Authorization": "Bearer é",
    }


FRAMING = ["Host", "content-length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade"]
OWN = ["webhook-id", "Webhook-Signature", "webhook-timestamp", "Idempotency-Key", "X-Cron-Job", "x-cron-anything"]


@pytest.mark.parametrize("name", [*FRAMING, *OWN, "Proxy-Authorization", "Accept-Encoding"])
def test_framing_signature_and_own_headers_cannot_be_set(name):
    assert refusal(rules.check_headers, {name: "x"}) == (
        f"webhook_headers must not set {name}: the service sets it itself."
    )


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        "X: y",
        {"X Y": "1"},
        {"": "1"},
        {"X:": "1"},
        {"X\r\n": "1"},
        {"Ü": "1"},
        {"X": 1},
        {"X": None},
        {"X": "a\r\nB: c"},
        {"X": "a\x00"},
        {"X": "日本"},
        {"X-A": "1", "x-a": "2"},
        {f"X-{number}": "1" for number in range(33)},
        {"X": "y" * 9000},
    ],
)
def test_headers_that_http_cannot_carry_are_refused(headers):
    assert refusal(rules.check_headers, headers).startswith("webhook_headers ")


def test_bodies_name_only_known_placeholders():
    body = '{"job": "{{ job_name }}", "at": "{{fire_time}}", "raw": {"nested": {}}}'
    assert rules.check_body(body, method="POST") == body
    assert "'secret'" in refusal(rules.check_body, "{{ secret }}")
    assert "'job.created_by'" in refusal(rules.check_body, "{{ job_id }} {{ job.created_by }}")


@pytest.mark.parametrize("value, method", [(5, "POST"), ("x" * 70_000, "POST"), ("x", "GET"), ("x", "HEAD")])
def test_other_bodies_are_refused(value, method):
    assert refusal(rules.check_body, value, method=method).startswith("webhook_body must ")


@pytest.mark.parametrize(
    "value, stored", [("", ""), ("200", "200"), (" 200 - 204 , 404 ", "200-204,404"), ("200-200", "200"), (",", "")]
)
def test_status_lists_are_stored_plainly(value, stored):
    assert rules.check_success_statuses(value) == stored
    assert rules.SuccessRule.of(stored).statuses


@pytest.mark.parametrize("value", ["2xx", "99", "600", "204-200", "200-", "200;404", 200, None, "٢٠٠"])
def test_other_status_lists_are_refused(value):
    assert refusal(rules.check_success_statuses, value).startswith("success_statuses must ")


@pytest.mark.parametrize("value", [None, 5, "x" * 501])
def test_other_substrings_are_refused(value):
    assert refusal(rules.check_success_substring, value)


def test_a_signing_secret_is_one_of_the_specification():
    secret = new_secret()
    assert rules.check_signing_secret(f" {secret} ") == secret
    assert rules.check_signing_secret("") == ""
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


TOO_SHORT, TOO_LONG = ("whsec_" + base64.b64encode(b"x" * length).decode() for length in (23, 65))


@pytest.mark.parametrize("value", ["secret", "whsec_", "whsec_!!!", TOO_SHORT, TOO_LONG, 5])
def test_other_signing_secrets_are_refused(value):
    assert refusal(rules.check_signing_secret, value)
