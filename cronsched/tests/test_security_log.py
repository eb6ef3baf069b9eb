"""Whoever watches for attacks reads one logger, and the audit trail says who was locked out."""

import pytest
from django.test import Client

from accounts.tests.factories import api_client, make_user
from audit.models import AuditEntry
from cronsched.lib.request_ids import HEADER

pytestmark = pytest.mark.django_db

PASSWORD = "a-typed-password"


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "cronsched.security"]


def sign_in(name: str, password: str = "wrong-password", **extra):
    return Client(**extra).post(
        "/api/v2/auth/login", {"username": name, "password": password}, content_type="application/json"
    )


def test_a_refused_sign_in_names_the_account_and_never_what_was_typed_for_one(caplog):
    make_user("maria")
    assert sign_in("maria", PASSWORD).status_code == 401
    assert sign_in(PASSWORD, PASSWORD).status_code == 401
    said = lines(caplog)
    assert said == [
        "A sign-in of maria was refused, from 127.0.0.1",
        "A sign-in of an unknown name was refused, from 127.0.0.1",
    ]
    assert PASSWORD not in caplog.text


def test_a_lock_out_is_one_entry_of_the_audit_trail(caplog, settings):
    settings.SIGN_IN_ATTEMPTS = 3
    maria = make_user("maria")
    answers = [sign_in("maria").status_code for _ in range(6)]
    assert answers == [401, 401, 401, 429, 429, 429]
    (entry,) = AuditEntry.objects.filter(action="user.locked_out")
    assert (entry.object_id, entry.object_name, entry.owner_id) == (str(maria.pk), "maria", maria.pk)
    assert (entry.source_ip, entry.reason) == ("127.0.0.1", "3 failed sign-ins from 127.0.0.1")
    assert (entry.actor_id, entry.actor_name, entry.actor_kind) == (None, "not signed in", "system")
    assert len([line for line in lines(caplog) if line.startswith("Locked out: maria")]) == 1


def test_the_lock_out_of_a_name_that_nobody_has_does_not_repeat_it(settings):
    settings.SIGN_IN_ATTEMPTS = 2
    for _ in range(4):
        sign_in(PASSWORD)
    (entry,) = AuditEntry.objects.filter(action="user.locked_out")
    assert (entry.object_id, entry.object_name) == ("", "")


def test_an_address_that_tries_many_names_is_one_lock_out(settings):
    settings.SIGN_IN_ATTEMPTS_PER_ADDRESS = 3
    for number in range(5):
        sign_in(f"name-{number}")
    (entry,) = AuditEntry.objects.filter(action="user.locked_out")
    assert entry.reason == "3 failed sign-ins from 127.0.0.1, of any account"


@pytest.mark.parametrize("token", ["nonsense", "cron_abcdefghijkl_wrong"])
def test_a_refused_token_is_told_without_the_token(token, caplog):
    client = api_client()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert client.get("/api/v2/jobs").status_code == 401
    (line,) = lines(caplog)
    assert "refused" in line
    assert token not in caplog.text


def test_a_page_of_the_console_that_is_denied_names_who_asked(client, charlie, caplog):
    client.force_login(charlie)
    assert client.get("/admin/jobs/job/add/").status_code == 403
    assert lines(caplog) == [f"GET /admin/jobs/job/add/ was denied to {charlie}, from 127.0.0.1"]


def test_a_line_can_be_found_by_the_request_of_the_answer(caplog):
    answer = Client().get("/api/v2/jobs", headers={"Authorization": "Bearer nonsense", HEADER: "abc-123"})
    assert answer.headers[HEADER] == "abc-123"
