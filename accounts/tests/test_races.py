"""Requests at the same time, each on a connection and with commits of its own."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, BoundedSemaphore
from typing import Any, TypeVar

import pytest
from django.db import connections
from django.utils import timezone

from accounts import hashing, identities, second_factors
from accounts.models import FailedSignIns, LoginSession, NotificationPreferences, Role, SecondFactor, User
from accounts.second_factors import code_at, current_step
from accounts.services import create_first_admin, delete_account
from accounts.tests.factories import PASSWORD, JSONClient, api_client, make_session, make_user
from accounts.tokens import AccessToken, issue_pair
from cronsched.lib.errors import DomainError, Unauthorized

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LOGIN = "/api/v2/auth/login"
Result = TypeVar("Result")
MOST = 12


@pytest.fixture(autouse=True)
def room_for_all(monkeypatch):
    """Let all wait for their turn at hashing: on a busy machine the sixth at once would be sent away."""
    monkeypatch.setattr(hashing, "_places", BoundedSemaphore(MOST))


def together(*acts: Callable[[], Result]) -> list[Result]:
    """Start all `acts` at the same moment, each in a thread of its own, and return their results."""
    assert len(acts) <= MOST
    start = Barrier(len(acts))

    def run(act: Callable[[], Result]) -> Result:
        try:
            start.wait(timeout=10)
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def statuses(answers: list[Any]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def log_in(password: str = PASSWORD) -> Any:
    return JSONClient().post(LOGIN, {"username": "alice", "password": password})


@pytest.mark.parametrize("contested", ["username", "email"])
def test_one_of_many_registrations_of_a_name_or_address_wins(contested):
    boss = api_client(make_user("admin", role=Role.ADMIN))

    def register(number: int) -> Any:
        sent = {"username": f"dana{number}", "email": f"dana{number}@example.com", "password": "secret"}
        sent[contested] = "dana@example.com" if contested == "email" else "dana"
        return boss.post("/api/v2/auth/register", sent)

    answers = together(*(lambda number=number: register(number) for number in range(6)))
    assert statuses(answers) == {201: 1, 409: 5}
    text = f"{contested.capitalize()} already exists"
    assert {answer.json()["error"] for answer in answers if answer.status_code == 409} == {text}
    assert User.objects.count() == 2


def test_address_is_taken_by_one_of_two_accounts():
    people = [make_user(), make_user()]
    clients = [(user, api_client(user)) for user in people]

    def move(user: User, client: JSONClient) -> Any:
        return client.put(f"/api/v2/auth/users/{user.id}", {"email": "same@example.com"})

    answers = together(*(lambda pair=pair: move(*pair) for pair in clients))
    assert statuses(answers) == {200: 1, 409: 1}


def test_guesses_at_the_same_time_get_no_more_than_the_attempts(settings):
    settings.SIGN_IN_ATTEMPTS = 3
    make_user("alice")
    answers = together(*(lambda: log_in("wrong password") for _ in range(10)))
    assert statuses(answers) == {401: 3, 429: 7}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status_code == 429)
    # One for the pair, one for its address and one for the account.
    assert FailedSignIns.objects.count() == 3


def test_correct_sign_ins_at_the_same_time_all_succeed(settings):
    settings.SIGN_IN_ATTEMPTS = 3
    make_user("alice")
    assert statuses(together(*(log_in for _ in range(10)))) == {200: 10}
    assert LoginSession.objects.count() == 10


def test_parallel_refreshes_with_one_token_all_succeed():
    token = issue_pair(make_session(make_user("alice")), now=timezone.now()).refresh

    def refresh() -> Any:
        return JSONClient().post("/api/v2/auth/refresh", HTTP_AUTHORIZATION=f"Bearer {token}")

    assert statuses(together(*(refresh for _ in range(6)))) == {200: 6}


@pytest.mark.parametrize("method", ["get", "put"])
def test_preferences_first_asked_for_at_the_same_time_are_one_row(method):
    alice = make_user("alice")
    client = api_client(alice)
    url = f"/api/v2/auth/users/{alice.id}/preferences"
    answers = together(*(lambda: getattr(client, method)(url, {}) for _ in range(6)))
    assert statuses(answers) == {200: 6}
    assert {answer.json()["preferences"]["id"] for answer in answers} == {str(NotificationPreferences.objects.get().id)}


def test_no_sign_in_with_the_old_password_outlives_its_change():
    alice = make_user("alice")
    session = make_session(alice)
    keeper = JSONClient()
    keeper.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.issue(session, now=timezone.now())}")

    def change() -> Any:
        return keeper.put(f"/api/v2/auth/users/{alice.id}", {"password": "another horse battery"})

    answers = together(change, *(log_in for _ in range(6)))
    assert answers[0].status_code == 200
    assert {answer.status_code for answer in answers[1:]} <= {200, 401}
    assert list(LoginSession.objects.all()) == [session]


def test_account_deleted_while_it_works_ends_in_plain_refusals():
    boss = api_client(make_user("admin", role=Role.ADMIN))
    alice = make_user("alice")
    client = api_client(alice)
    url = f"/api/v2/auth/users/{alice.id}"
    answers = together(
        lambda: boss.delete(url),
        lambda: boss.delete(url),
        lambda: client.put(url, {"password": "another horse battery"}),
        lambda: client.put(f"{url}/preferences", {"daily_digest": True}),
        lambda: client.get(f"{url}/ui-preferences"),
        log_in,
    )
    assert sorted(answer.status_code for answer in answers[:2]) == [200, 404]
    assert {answer.status_code for answer in answers[2:]} <= {200, 401, 404}
    assert not User.objects.filter(id=alice.id).exists()


@pytest.mark.parametrize(
    "sent", [{"role": "viewer"}, {"is_active": False}, None], ids=["demote", "deactivate", "delete"]
)
def test_administrators_who_act_on_each_other_at_once_leave_one(sent):
    bosses = [make_user(f"boss{number}", role=Role.ADMIN) for number in range(4)]
    clients = [api_client(boss) for boss in bosses]

    def act(number: int) -> Any:
        target = f"/api/v2/auth/users/{bosses[number - 1].id}"
        return clients[number].delete(target) if sent is None else clients[number].put(target, sent)

    answers = together(*(lambda number=number: act(number) for number in range(len(bosses))))
    # Whoever has lost the right, or the account, before the own request was looked at is refused for that.
    assert {answer.status_code for answer in answers} <= {200, 400, 401, 403}
    assert User.objects.filter(role=Role.ADMIN, is_active=True).count() >= 1


def test_two_who_are_past_all_checks_leave_one_administrator():
    bosses = [make_user(f"boss{number}", role=Role.ADMIN) for number in range(2)]

    def delete(target: User, by: User) -> str:
        try:
            delete_account(target, by=by, now=timezone.now())
        except DomainError as refusal:
            return refusal.error
        return "deleted"

    done = together(lambda: delete(bosses[0], bosses[1]), lambda: delete(bosses[1], bosses[0]))
    assert sorted(done) == ["Last administrator", "deleted"]
    assert User.objects.count() == 1


def test_first_administrator_is_created_once():
    def create() -> User | None:
        return create_first_admin(username="admin", email="admin@example.com", password="secret", now=timezone.now())

    made = together(*(create for _ in range(4)))
    assert [user for user in made if user is not None] == [User.objects.get()]


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_a_second_factor_code_sent_by_many_at_once_counts_once(kind):
    user, secret, now = make_user("alice"), second_factors.new_secret(), timezone.now()
    long_ago = now - timedelta(days=1)
    first = code_at(secret, current_step(long_ago))
    codes = second_factors.add_app(user, secret, first, name="Phone", keep=None, now=long_ago)
    code = code_at(secret, current_step(now)) if kind == "app" else codes[0]

    def use() -> bool:
        try:
            return bool(second_factors.check_code(user, code, address="", now=now))
        except Unauthorized:
            return False

    assert sum(together(*[use] * 4)) == 1


def test_two_who_remove_the_last_two_factors_at_once_leave_one_where_one_is_required(settings):
    settings.REQUIRE_SECOND_FACTOR = "EVERYBODY"
    user, now = make_user("alice"), timezone.now()
    for name in ("Phone", "Tablet"):
        secret = second_factors.new_secret()
        code = code_at(secret, current_step(now))
        second_factors.add_app(user, secret, code, name=name, keep=None, now=now)

    def remove(factor: SecondFactor) -> bool:
        try:
            return bool(second_factors.remove(user, str(factor.pk), now=now))
        except DomainError:
            return False

    assert sum(together(*(lambda factor=factor: remove(factor) for factor in second_factors.of(user)))) == 1
    assert SecondFactor.objects.count() == 1


def test_first_single_sign_ons_at_the_same_time_lead_to_one_account_each(settings):
    settings.OIDC_CREATE_ACCOUNTS = True

    def first(number: int) -> Any:
        claims = {"iss": "https://id.example", "sub": f"s-{number}", "email": f"{number}@example.com"}
        more = {"email_verified": True, "preferred_username": f"dana{number}"}
        return identities.account_of({**claims, **more}, now=timezone.now())

    for number in range(5):
        accounts = together(*(lambda number=number: first(number) for _ in range(6)))
        assert len(set(accounts)) == 1
    assert User.objects.count() == 5
