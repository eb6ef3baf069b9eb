"""How much an attacker learns from the way a sign-in is refused."""

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher

from accounts.services import find_account
from accounts.tests.factories import PASSWORD, api_client, make_user


class CountingHasher(MD5PasswordHasher):
    """Counts how often a password is hashed."""

    algorithm = "counting"
    calls = 0

    def encode(self, password: str, salt: str) -> Any:
        CountingHasher.calls += 1
        return super().encode(password, salt)


def test_unknown_account_costs_as_much_hashing_as_a_wrong_password(db, settings):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    make_user("alice")
    make_user("gone", is_active=False)
    costs = []
    for name in ("alice", "gone", "nobody"):
        before = CountingHasher.calls
        api_client().post("/api/v2/auth/login", {"username": name, "password": "wrong password"})
        costs.append(CountingHasher.calls - before)
    assert costs == [1, 1, 1]


def test_name_goes_before_an_address_that_reads_the_same(alice):
    # No account made here can have such a name; an imported one may.
    odd = make_user("alice@example.com", email="odd@example.com")
    assert find_account("alice@example.com") == odd
    assert find_account("Alice@example.com") == alice


@pytest.mark.parametrize(
    "credentials, found",
    [
        ({"username": "alice", "password": PASSWORD}, True),
        ({"username": "alice", "password": "wrong password"}, False),
        ({"username": "alice"}, False),
        ({"password": PASSWORD}, False),
        ({"token": "x"}, False),
    ],
)
def test_backend_answers_to_name_and_password_only(alice, credentials, found):
    assert authenticate(**credentials) == (alice if found else None)
