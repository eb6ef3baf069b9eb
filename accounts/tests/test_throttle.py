"""Too many failed sign-ins have to wait (contract, section 2: 429)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import RequestFactory

from accounts import throttle
from accounts.models import FailedSignIns, User
from accounts.services import check_credentials
from accounts.tests.factories import PASSWORD, api_client
from cronsched.lib.errors import TooManyRequests, Unauthorized

LOGIN = "/api/v2/auth/login"
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def small_limits(settings):
    settings.SIGN_IN_ATTEMPTS = 3
    settings.SIGN_IN_LOCKOUT_SECONDS = 300


def fail(identifier: str = "alice", *, times: int = 1, address: str = HOME, now: datetime = NOON) -> None:
    for _ in range(times):
        with pytest.raises(Unauthorized):
            check_credentials(identifier, "wrong password", address=address, now=now)


def enter(identifier: str = "alice", *, address: str = HOME, now: datetime = NOON) -> User:
    return check_credentials(identifier, PASSWORD, address=address, now=now)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_api_says_how_long_to_wait(alice):
    client = api_client()
    wrong = {"username": "alice", "password": "wrong password"}
    assert [client.post(LOGIN, wrong).status_code for _ in range(4)] == [401, 401, 401, 429]
    answer = client.post(LOGIN, {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 429
    assert 295 <= int(answer.headers["Retry-After"]) <= 300
    body = answer.json()
    assert body["error"] == "Too many requests"
    assert body["message"] == f"Too many failed sign-ins. Try again in {answer.headers['Retry-After']} seconds."
    form = client.generic(
        "POST", f"{LOGIN}/form", "username=alice&password=whatever", content_type="application/x-www-form-urlencoded"
    )
    assert form.status_code == 429


def test_pair_waits_for_the_whole_time_and_no_longer(alice):
    fail(times=3)
    with pytest.raises(TooManyRequests) as refusal:
        enter(now=after(299.5))
    assert refusal.value.retry_after == 1
    assert enter(now=after(300)) == alice


def test_waiting_is_not_prolonged_by_trying(alice):
    fail(times=3)
    for seconds in (100, 200, 299):
        with pytest.raises(TooManyRequests):
            enter(now=after(seconds))
    assert enter(now=after(300)) == alice


def test_correct_sign_in_starts_afresh(alice):
    fail(times=2)
    enter()
    assert not FailedSignIns.objects.exists()
    fail(times=3)
    with pytest.raises(TooManyRequests):
        enter()


def test_failures_are_forgotten_after_a_while(alice):
    fail(times=2)
    fail(times=2, now=after(300))
    assert FailedSignIns.objects.get().failures == 2
    assert enter(now=after(301)) == alice


def test_same_person_may_enter_from_elsewhere(alice):
    fail(times=3)
    assert enter(address=ELSEWHERE) == alice


def test_others_may_enter_from_the_same_address(alice, bob):
    fail(times=3)
    assert enter("bob") == bob


def test_case_of_the_identifier_gives_no_further_attempts(alice):
    for identifier in ("alice@example.com", "ALICE@example.com", "Alice@Example.Com"):
        fail(identifier)
    with pytest.raises(TooManyRequests):
        enter("aLICE@EXAMPLE.COM")


def test_unknown_accounts_are_counted_like_known_ones(db):
    fail("nobody", times=3)
    with pytest.raises(TooManyRequests):
        enter("nobody")


def test_inactive_account_with_the_right_password_is_no_failure(alice):
    User.objects.update(is_active=False)
    for _ in range(5):
        answer = api_client().post(LOGIN, {"username": "alice", "password": PASSWORD})
        assert answer.json()["error"] == "Account inactive"


def test_body_that_breaks_the_schema_is_no_attempt(alice):
    for _ in range(5):
        assert api_client().post(LOGIN, {"username": "alice", "password": "x"}).status_code == 422
    assert not FailedSignIns.objects.exists()


def test_neither_identifier_nor_address_is_stored_readably(alice):
    fail("my-secret-password")
    row = FailedSignIns.objects.values().get()
    assert not any("secret" in str(value) or HOME in str(value) for value in row.values())


def test_counts_that_have_fallen_due_are_pruned(db):
    fail("nobody")
    fail("somebody", now=after(1))
    assert throttle.prune_failures(after(300)) == 1
    assert throttle.prune_failures(after(301)) == 1
    assert not FailedSignIns.objects.exists()


# --- Addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proxies, forwarded, remote, expected",
    [
        (0, None, "192.0.2.1", "192.0.2.1"),
        # Without a proxy of ours the header is whatever the client likes to write.
        (0, "203.0.113.9", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9", "10.0.0.1", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "10.0.0.1", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.2", "10.0.0.1", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.1", "203.0.113.9"),
        (1, None, "10.0.0.1", "10.0.0.1"),
        (1, " , ", "10.0.0.1", "10.0.0.1"),
        (0, None, "", ""),
        (1, "unknown", "10.0.0.1", "unknown"),
        # A caller with IPv6 has a whole network of addresses to try from.
        (0, None, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (0, None, "::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_client_is_known_by_the_address_our_own_proxies_saw(settings, proxies, forwarded, remote, expected):
    settings.PROXY_COUNT = proxies
    headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    request = RequestFactory().get("/", REMOTE_ADDR=remote, **headers)
    assert throttle.client_address(request) == expected
