"""System checks: settings that cannot work together, or not in a deployment."""

from pathlib import Path

import pytest
import tzdata
from django.conf import settings
from django.core.checks import WARNING, run_checks
from django.db import connection
from django.test import override_settings

from cronsched import checks
from cronsched.checks import file_system_of
from cronsched.tests.processes import manage

# What a deployment sets, as far as our own checks look at it.
PROPER = {
    "CORS_ALLOW_ALL_ORIGINS": False,
    "EXPOSE_ERROR_DETAILS": False,
    "WEBHOOK_ALLOW_PRIVATE_NETWORKS": False,
    "GITHUB_API_URL": "https://api.github.com",
    "ALLOWED_HOSTS": ["cron.example.com", "localhost"],
    "FRONTEND_BASE_URL": "https://app.example.com",
}


def found(**changed):
    """Return the ids of our own warnings and errors under a deployment with `changed`."""
    with override_settings(**{**PROPER, **changed}):
        messages = run_checks(tags=[checks.TAG], include_deployment_checks=True)
    assert all(message.hint for message in messages)
    return [(message.id or "").removeprefix("cronsched.") for message in messages if message.level >= WARNING]


def test_a_proper_deployment_has_no_warning_to_hear():
    assert found() == []


def test_the_release_of_the_zones_is_told():
    (told,) = [message for message in run_checks(include_deployment_checks=True) if message.id == "cronsched.I021"]
    assert f"tzdata {tzdata.IANA_VERSION}" in told.msg


@pytest.mark.parametrize("name", ["SCHEDULER_LOCK_PATH", "SCHEDULER_LOCK_STALE_SECONDS"])
def test_variables_of_the_older_lock_are_named_as_ignored(name, monkeypatch):
    monkeypatch.setenv(name, "60")
    assert found() == ["W007"]


def test_the_number_of_worker_processes_is_named_as_ignored(monkeypatch):
    monkeypatch.setenv("SEND_PROCESSES", "2")
    assert found() == ["W009"]


CELERY = {"EXECUTION_BACKEND": "CELERY", "CELERY_BROKER_URL": "redis://broker/1"}


@pytest.mark.parametrize("url", ["", "broker:6379", "sqs://key@", "redis:///0", "memory://"])
def test_a_broker_that_cannot_work_is_refused(url, monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "cronsched.lib.db.postgresql")
    assert found(**CELERY) == []
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert found(**CELERY | {"CELERY_BROKER_URL": url}) == ["E009", "E010"]
    assert found(CELERY_BROKER_URL=url) == []


def test_celery_with_an_sqlite_file_is_for_one_host(monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "cronsched.lib.db.sqlite3")
    monkeypatch.setitem(settings.DATABASES["default"], "NAME", "/nowhere")
    assert found(**CELERY) == ["W033"]


@pytest.mark.parametrize("name", ["FASTAPI_LOG_FILE", "FASTAPI_DATABASE_URL", "TESTING"])
def test_variables_of_the_older_service_are_named_as_ignored(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert found() == ["W008"]
    (said,) = [message for message in run_checks(tags=[checks.TAG]) if message.id == "cronsched.W008"]
    assert said.msg == f"{name} has no effect here."


def test_development_may_stop_faster_than_a_manual_run():
    assert "W004" not in found(DEBUG=True, MANUAL_RUN_WAIT_SECONDS=20, DRAIN_TIMEOUT_SECONDS=3)


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({"EMAIL_USE_TLS": True, "EMAIL_USE_SSL": True}, "E001"),
        ({"MAIL_ENABLED": True, "EMAIL_HOST": "mail.example.com", "DEFAULT_FROM_EMAIL": ""}, "W002"),
        ({"MAX_IN_FLIGHT": 10, "PER_HOST_IN_FLIGHT": 11}, "W003"),
        ({"MANUAL_RUN_WAIT_SECONDS": 20, "DRAIN_TIMEOUT_SECONDS": 5}, "W004"),
        ({"CORS_ALLOW_ALL_ORIGINS": True}, "W010"),
        ({"EXPOSE_ERROR_DETAILS": True}, "W011"),
        ({"WEBHOOK_ALLOW_PRIVATE_NETWORKS": True}, "W012"),
        ({"GITHUB_API_URL": "http://github.example.com/api"}, "W013"),
        ({"ALLOWED_HOSTS": ["localhost", "127.0.0.1"]}, "W014"),
        ({"FRONTEND_BASE_URL": "http://localhost:5173"}, "W015"),
    ],
)
def test_each_mistake_is_told_by_its_own_id(changed, expected):
    assert found(**changed) == [expected]


def test_mail_that_is_switched_off_needs_no_sender():
    assert found(MAIL_ENABLED=False, EMAIL_HOST="mail.example.com", DEFAULT_FROM_EMAIL="") == []


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/srv/cron/cronsched.sqlite3", "nfs4"),
        ("/srv/local disk/cronsched.sqlite3", "ext4"),
        ("/srvx/cronsched.sqlite3", "overlay"),
        ("/cronsched.sqlite3", "overlay"),
    ],
)
def test_the_innermost_mount_says_where_a_file_lies(tmp_path, path, kind):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "overlay / overlay rw 0 0\n"
        "server:/export /srv nfs4 rw 0 0\n"
        "/dev/sdb1 /srv/local\\040disk ext4 rw 0 0\n"
        "proc /proc proc rw 0 0\n"
    )
    assert file_system_of(Path(path), mounts) == kind


def test_sqlite_on_a_network_disk_stops_every_command(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\nserver:/export {tmp_path} nfs rw 0 0\n")
    monkeypatch.setattr(checks, "MOUNTS", mounts)
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "cronsched.sqlite3")}
    monkeypatch.setitem(settings.DATABASES, "default", database)
    assert [message.id for message in checks.check_sqlite()] == ["cronsched.E005"]


def test_a_system_that_does_not_tell_its_mounts_is_believed(tmp_path):
    assert file_system_of(tmp_path / "cronsched.sqlite3", tmp_path / "missing") == ""


@pytest.mark.database
@pytest.mark.django_db
def test_the_database_of_the_tests_tells_names_apart():
    assert checks.check_collation(databases=["default"]) == []


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "mysql", reason="only MariaDB and MySQL have collations that ignore case")
def test_a_database_that_ignores_case_is_refused_before_its_tables_are_made():
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE reads_ignoring_case COLLATE utf8mb4_general_ci")
        try:
            cursor.execute("SELECT DATABASE()")
            [own] = cursor.fetchone()
            cursor.execute("USE reads_ignoring_case")
            [message] = checks.check_collation(databases=["default"])
        finally:
            cursor.execute(f"USE `{own}`")
            cursor.execute("DROP DATABASE reads_ignoring_case")
    assert message.id == "cronsched.E006"
    assert "ALTER DATABASE `reads_ignoring_case`" in (message.hint or "")


@pytest.mark.parametrize("value", ["0", "no", "off", "F"])
def test_what_only_looks_like_an_off_switch_is_named(value, monkeypatch):
    monkeypatch.setenv("SCHEDULER_ENABLED", value)
    assert found() == ["W030"]


def test_what_serves_no_pages_does_not_load_the_console():
    code = (
        "import sys; from django.core.management import call_command; from cronsched.checks import WITHOUT_PAGES; "
        "call_command('check', tags=WITHOUT_PAGES); print('jobs.admin' in sys.modules)"
    )
    assert manage("shell", "--no-imports", "--command", code).splitlines()[-1] == "False"
