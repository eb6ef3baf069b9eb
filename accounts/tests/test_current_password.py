"""What a stolen token cannot do: change password or address without the current password, or unseen."""

import pytest

from accounts.tests.factories import PASSWORD, api_client
from notifications.models import Delivery
from notifications.tests.conftest import use_mail_server

NEW = "another good password"


def change(who, whom, **fields):
    return api_client(who).put(f"/api/v2/auth/users/{whom.id}", fields)


@pytest.fixture
def asked_for(settings):
    settings.REQUIRE_CURRENT_PASSWORD = True


@pytest.mark.parametrize("fields", [{"password": NEW}, {"email": "new@example.com"}])
def test_by_default_the_existing_frontend_needs_none(alice, fields):
    assert change(alice, alice, **fields).status_code == 200


@pytest.mark.parametrize("fields", [{"password": NEW}, {"email": "new@example.com"}])
def test_where_it_is_asked_for_it_has_to_be_right(alice, asked_for, fields):
    before = (alice.email, alice.password)
    for sent, error in (
        ({}, "Missing required fields"),
        ({"current_password": None}, "Missing required fields"),
        ({"current_password": 7}, "Invalid payload"),
        ({"current_password": "wrong password"}, "Invalid current password"),
    ):
        response = change(alice, alice, **fields, **sent)
        assert (response.status_code, response.json()["error"]) == (400, error)
        alice.refresh_from_db()
        assert (alice.email, alice.password) == before
    assert change(alice, alice, **fields, current_password=PASSWORD).status_code == 200


def test_guesses_are_counted_like_failed_sign_ins(alice, asked_for, settings):
    settings.SIGN_IN_ATTEMPTS = 2
    wrong = {"password": NEW, "current_password": "wrong password"}
    assert [change(alice, alice, **wrong).status_code for _ in range(3)] == [400, 400, 429]
    response = change(alice, alice, password=NEW, current_password=PASSWORD)
    assert response.status_code == 429
    assert 295 <= int(response.headers["Retry-After"]) <= 300


def test_administrators_do_not_know_the_passwords_of_others(admin, alice, asked_for):
    assert change(admin, alice, password=NEW).status_code == 200
    assert change(admin, admin, role="admin").status_code == 200
    assert change(admin, admin, password=NEW).status_code == 400


@pytest.fixture
def mail(settings):
    use_mail_server(settings, 1)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"password": NEW}, "password"),
        ({"email": "new@example.com"}, "e-mail address"),
        ({"password": NEW, "email": "new@example.com"}, "password and e-mail address"),
    ],
)
@pytest.mark.parametrize("by_admin", [True, False])
def test_the_old_address_is_told(admin, alice, mail, fields, what, by_admin):
    assert change(admin if by_admin else alice, alice, **fields).status_code == 200
    told = Delivery.objects.get()
    assert (told.recipient, told.kind) == ("alice@example.com", "account_changed")
    assert told.summary == f"The {what} of alice was changed"


@pytest.mark.parametrize("fields", [{"email": "Alice@Example.com"}, {"role": "viewer"}])
def test_nobody_is_told_where_nothing_changed(admin, alice, mail, fields):
    assert change(admin, alice, **fields).status_code == 200
    assert not Delivery.objects.exists()


def test_a_password_set_by_a_command_is_told_too(alice, mail):
    alice.set_password(NEW)
    alice.save()
    assert Delivery.objects.get().recipient == "alice@example.com"


def test_a_new_account_is_no_change(admin, mail):
    person = {"username": "new", "email": "new@example.com", "password": NEW}
    assert api_client(admin).post("/api/v2/auth/register", person).status_code == 201
    assert not Delivery.objects.exists()
