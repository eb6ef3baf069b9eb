"""manage.py create_first_admin."""

import re

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Role, User
from accounts.tests.factories import make_user
from audit.models import AuditEntry


@pytest.fixture(autouse=True)
def allowed(settings):
    settings.ALLOW_DEFAULT_ADMIN = True
    settings.DEFAULT_ADMIN_USERNAME = "admin"
    settings.DEFAULT_ADMIN_EMAIL = "admin@example.com"
    settings.DEFAULT_ADMIN_PASSWORD = ""


def run(capsys: pytest.CaptureFixture[str]) -> str:
    call_command("create_first_admin")
    return capsys.readouterr().out


def test_first_administrator_gets_a_random_password_printed_once(db, capsys):
    printed = run(capsys)
    match = re.search(r"shown only now: (\S{16,})$", printed.strip())
    assert match
    admin = User.objects.get()
    assert (admin.username, admin.email, admin.role, admin.is_active) == ("admin", "admin@example.com", "admin", True)
    assert admin.check_password(match[1])
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_name, entry.actor_kind) == ("user.created", "create_first_admin", "command")


def test_running_again_changes_nothing(db, capsys):
    run(capsys)
    before = User.objects.values().get()
    assert "There is an administrator already." in run(capsys)
    assert User.objects.values().get() == before


def test_given_password_is_used_and_not_printed(db, capsys, settings):
    settings.DEFAULT_ADMIN_PASSWORD = "opensesame"
    assert "opensesame" not in run(capsys)
    assert User.objects.get().check_password("opensesame")


def test_administrators_who_are_inactive_do_not_count(db, capsys):
    make_user("boss", role=Role.ADMIN, is_active=False)
    assert 'Administrator "admin" created.' in run(capsys)


@pytest.mark.parametrize(
    "taken",
    [{"username": "admin", "role": Role.ADMIN, "is_active": False}, {"username": "eve", "email": "admin@example.com"}],
)
def test_a_value_that_is_taken_stops_nothing_and_is_told_with_the_way_out(db, capsys, taken):
    make_user(**taken)
    (line,) = run(capsys).splitlines()
    assert line == (
        "There is no active administrator, and none was created: the name or address belongs to another account. "
        "Set DEFAULT_ADMIN_USERNAME and DEFAULT_ADMIN_EMAIL to others and run manage.py create_first_admin again."
    )
    assert User.objects.count() == 1


def test_nothing_happens_where_it_is_not_allowed(db, capsys, settings):
    settings.ALLOW_DEFAULT_ADMIN = False
    assert "ALLOW_DEFAULT_ADMIN is off" in run(capsys)
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "setting, value, problem",
    [
        ("DEFAULT_ADMIN_PASSWORD", "short", "DEFAULT_ADMIN_PASSWORD: .*at least 6 characters"),
        ("DEFAULT_ADMIN_EMAIL", "admin@localhost", "DEFAULT_ADMIN_EMAIL: Enter a valid email address"),
        ("DEFAULT_ADMIN_USERNAME", "a b", "DEFAULT_ADMIN_USERNAME: .*letters, digits"),
    ],
)
def test_bad_value_is_refused_naming_the_variable(alice, settings, setting, value, problem):
    setattr(settings, setting, value)
    with pytest.raises(CommandError, match=problem):
        call_command("create_first_admin")
    assert User.objects.get() == alice
