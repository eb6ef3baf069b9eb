"""Too many failed sign-ins have to wait (contract, section 2: 429)."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.test import RequestFactory

from accounts import hashing, throttle
from accounts.models import FailedSignIns, KnownAddress, User
from accounts.services import check_credentials
from accounts.tests.factories import PASSWORD, api_client
from cronsched.lib.errors import TooManyRequests, Unauthorized

LOGIN = "/api/v2/auth/login"
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def small_limits(settings):
    settings.SIGN_IN_ATTEMPTS = 3
    settings.SIGN_IN_ATTEMPTS_PER_ADDRESS = 6
    settings.SIGN_IN_ATTEMPTS_PER_ACCOUNT = 9
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
    fail(times=3)
    with pytest.raises(TooManyRequests):
        enter()


def test_failures_are_forgotten_after_a_while(alice):
    fail(times=2)
    fail(times=2, now=after(300))
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
    enter()
    values = [
        str(value) for kind in (FailedSignIns, KnownAddress) for row in kind.objects.values() for value in row.values()
    ]
    assert len(values) > 6
    assert not any("secret" in value or "alice" in value or HOME in value for value in values)


def test_counts_that_have_fallen_due_are_pruned(db):
    fail("nobody")
    fail("somebody", now=after(1))
    # The first pair and their address; then the other pair.
    assert throttle.prune_failures(after(300)) == 2
    assert throttle.prune_failures(after(301)) == 1
    # The names themselves are counted for an hour.
    assert throttle.prune_failures(after(3601)) == 2
    assert not FailedSignIns.objects.exists()


# --- Many names from one address -------------------------------------------------------------------------------------


def test_invented_names_are_limited_together(alice, bob):
    for number in range(6):
        fail(f"nobody{number}", now=after(number))
    with pytest.raises(TooManyRequests) as refusal:
        enter(now=after(10))
    # Until the window that began with the first of them ends: failing on does not prolong it.
    assert refusal.value.retry_after == 290
    assert enter(address=ELSEWHERE, now=after(10)) == alice
    assert enter("bob", now=after(300)) == bob


def test_a_correct_sign_in_does_not_buy_an_address_more_guesses(alice, bob):
    fail("bob", times=2)
    for number in range(4):
        enter()
        fail(f"nobody{number}")
    with pytest.raises(TooManyRequests):
        fail("nobody")


def test_a_few_failures_a_day_never_add_up(alice):
    for number in range(20):
        fail(f"nobody{number}", now=after(number * 200))
    assert enter(now=after(20 * 200)) == alice


# --- One account from many addresses ---------------------------------------------------------------------------------


def from_everywhere(times: int, *, identifier: str = "alice", now: datetime = NOON) -> None:
    for number in range(times):
        fail(identifier, address=f"203.0.113.{number}", now=now)


@pytest.mark.parametrize("identifier", ["alice", "nobody"])
def test_an_account_under_attack_takes_one_attempt_every_few_seconds(alice, identifier):
    from_everywhere(9, identifier=identifier)
    fail(identifier, address="198.51.100.1", now=after(1))
    for seconds, wait in ((2, 9), (10, 1)):
        with pytest.raises(TooManyRequests) as refusal:
            fail(identifier, address="198.51.100.2", now=after(seconds))
        assert refusal.value.retry_after == wait
    fail(identifier, address="198.51.100.2", now=after(11))


def test_name_and_address_of_an_account_are_counted_together(alice):
    from_everywhere(5)
    for number in range(100, 104):
        fail("Alice@example.com", address=f"203.0.113.{number}")
    fail(address="198.51.100.1")
    with pytest.raises(TooManyRequests):
        enter(address="198.51.100.2")


def test_strangers_lock_nobody_out(alice):
    enter(now=after(-3600))
    from_everywhere(9)
    fail(address="198.51.100.1", now=after(1))
    with pytest.raises(TooManyRequests):
        enter(address=ELSEWHERE, now=after(2))
    # From where she has signed in before she is not held up,
    assert enter(now=after(2)) == alice
    # and from elsewhere for seconds only.
    assert enter(address=ELSEWHERE, now=after(11)) == alice


def test_an_attack_is_forgotten_after_an_hour(alice):
    from_everywhere(9)
    fail(address="198.51.100.1", now=after(3600))
    assert enter(address=ELSEWHERE, now=after(3600)) == alice


def test_an_address_is_not_known_for_ever(alice):
    enter(now=NOON - throttle.KNOWN_FOR)
    from_everywhere(9)
    fail(address="198.51.100.1")
    with pytest.raises(TooManyRequests):
        enter(now=after(1))


# --- The console -----------------------------------------------------------------------------------------------------


def test_the_console_says_in_its_status_that_one_has_to_wait(client, alice):
    form = {"username": "alice", "password": "wrong password"}
    statuses = [client.post("/admin/login/", form).status_code for _ in range(3)]
    response = client.post("/admin/login/", form)
    assert (statuses, response.status_code) == ([200, 200, 200], 429)
    assert 295 <= int(response.headers["Retry-After"]) <= 300
    assert b"Too many failed sign-ins. Try again in" in response.content
    # The same count as in the API.
    assert api_client().post(LOGIN, form).status_code == 429


# --- Many at once ----------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(monkeypatch):
    """Let as many hash as may, and as many wait, until the test ends."""
    monkeypatch.setattr(hashing, "_turns", threading.BoundedSemaphore(1))
    monkeypatch.setattr(hashing, "_places", threading.BoundedSemaphore(1))
    with hashing.turn():
        hashing._places.acquire()
        yield
        hashing._places.release()


def test_where_too_many_sign_in_at_once_the_rest_comes_again(alice, busy):
    response = api_client().post(LOGIN, {"username": "alice", "password": PASSWORD})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
    assert response.json()["message"] == "Too many people are signing in at the moment. Try again."
    # Nobody was wrong.
    assert not FailedSignIns.objects.exists()


def test_no_more_passwords_are_hashed_at_once_than_leave_room(monkeypatch):
    monkeypatch.setattr(hashing, "_places", threading.BoundedSemaphore(10))
    at_once, most, lock = 0, 0, threading.Lock()
    barrier = threading.Barrier(10)

    def work() -> None:
        nonlocal at_once, most
        barrier.wait()
        with hashing.turn():
            with lock:
                at_once += 1
                most = max(most, at_once)
            threading.Event().wait(0.01)
            with lock:
                at_once -= 1

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == hashing.AT_ONCE


def test_a_turn_that_does_not_come_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(hashing, "_turns", threading.BoundedSemaphore(1))
    monkeypatch.setattr(hashing, "WAIT_SECONDS", 0.01)
    with hashing.turn():
        refused = []

        def wait() -> None:
            with pytest.raises(TooManyRequests) as refusal, hashing.turn():
                pass
            refused.append(refusal.value.retry_after)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert refused == [hashing.BUSY_SECONDS]


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
