"""A change of the key that encrypts: counted, carried out in batches, begun again after an end in the middle."""

import json

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import models

from cronsched import checks
from cronsched.lib import crypto
from cronsched.lib.db import encrypted_columns
from cronsched.lib.db.encrypted_columns import encrypted_fields, rotate, survey
from jobs.definitions.request_options import Secrets
from jobs.models import Job
from jobs.schedule.scheduled_job import Overrides
from jobs.tests.factories import make_execution, make_job
from notifications.models import SlackSettings

OLD, NEW, OTHER = "o" * 40, "n" * 40, "x" * 40

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def old_secrets(settings):
    """Store secrets under the old key, then name another one as the first."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    settings.SECRETS_KEY, settings.SECRETS_KEY_FALLBACKS = "", []
    for _ in range(3):
        make_job(encrypted_secrets=Secrets({"X-A": "value"}).encrypted())
    make_job()
    SlackSettings.objects.all().delete()
    SlackSettings.objects.create(webhook_url="https://hooks.example.com/secret")
    settings.SECRETS_KEY = NEW


def counts(surveys):
    return {(one.table, one.column): (one.current, one.old, one.rotated, len(one.unreadable)) for one in surveys}


def test_every_column_that_is_encrypted_is_known():
    names = {(column.model.__name__, column.name) for column in encrypted_fields()}
    assert names >= {("Job", "encrypted_secrets"), ("SlackSettings", "webhook_url")}
    by_name = {
        (model.__name__, column.name)
        for model in apps.get_models()
        for column in model._meta.concrete_fields
        if isinstance(column, models.TextField) and "encrypted" in column.name
    }
    assert by_name <= names


def test_what_is_under_an_older_key_is_counted_and_then_encrypted_anew(old_secrets, settings):
    assert counts(survey())["jobs", "sealed_secrets"] == (0, 3, 0, 0)
    done = counts(rotate())
    assert done["jobs", "sealed_secrets"] == (0, 3, 3, 0)
    assert sum(rotated for _, _, rotated, _ in done.values()) == 4
    settings.SECRET_KEY = OTHER
    assert counts(survey())["jobs", "sealed_secrets"] == (3, 0, 0, 0)
    for job in Job.objects.exclude(encrypted_secrets=None):
        assert Secrets.decrypted(job.encrypted_secrets).headers == {"X-A": "value"}
    assert SlackSettings.objects.get().webhook_url == "https://hooks.example.com/secret"


def test_a_run_that_was_ended_in_the_middle_is_gone_on_with(old_secrets, monkeypatch):
    monkeypatch.setattr(encrypted_columns, "BATCH", 1)
    encrypt, calls = crypto.encrypt, []

    def end_at_the_third(text):
        calls.append(text)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encrypt(text)

    monkeypatch.setattr(crypto, "encrypt", end_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        rotate()
    monkeypatch.setattr(crypto, "encrypt", encrypt)
    left = sum(one.old for one in survey())
    assert 0 < left < 4
    assert sum(one.rotated for one in rotate()) == left
    assert sum(one.old for one in survey()) == 0


def test_a_value_written_meanwhile_is_not_overwritten(old_secrets, monkeypatch):
    decrypt = crypto.decrypt

    def written_meanwhile(token):
        Job.objects.exclude(encrypted_secrets=None).update(encrypted_secrets=Secrets({"X-B": "newer"}).encrypted())
        return decrypt(token)

    monkeypatch.setattr(crypto, "decrypt", written_meanwhile)
    rotate()
    monkeypatch.setattr(crypto, "decrypt", decrypt)
    found = [Secrets.decrypted(job.encrypted_secrets).headers for job in Job.objects.exclude(encrypted_secrets=None)]
    assert found == [{"X-B": "newer"}] * 3


def test_the_command_counts_and_rotates(old_secrets, capsys):
    call_command("rotate_secrets", dry_run=True)
    assert "jobs.sealed_secrets: 0 under the first key, 3 under an older key." in capsys.readouterr().out
    call_command("rotate_secrets", json=True)
    columns = {one["column"]: one for one in json.loads(capsys.readouterr().out)["columns"]}
    assert (columns["sealed_secrets"]["rotated"], columns["webhook_url"]["rotated"]) == (3, 1)


def test_what_no_key_reads_is_named_and_left_alone(old_secrets, settings, capsys):
    settings.SECRET_KEY = OTHER
    before = set(Job.objects.values_list("encrypted_secrets", flat=True))
    with pytest.raises(CommandError, match="4 cannot be read by any key") as ended:
        call_command("rotate_secrets")
    assert ended.value.returncode == 1
    assert set(Job.objects.values_list("encrypted_secrets", flat=True)) == before


def test_the_check_counts_what_is_left(old_secrets):
    (warning,) = checks.check_keys_of_secrets(databases=["default"])
    assert (warning.id, warning.msg) == ("cronsched.W031", "4 stored secrets are under an older key.")
    rotate()
    assert checks.check_keys_of_secrets(databases=["default"]) == []


def test_the_check_counts_what_a_single_key_does_not_read(old_secrets, settings):
    settings.SECRETS_KEY, settings.SECRET_KEY = "", OTHER
    (warning,) = checks.check_keys_of_secrets(databases=["default"])
    assert (warning.id, warning.msg) == (
        "cronsched.W032",
        "4 stored secrets cannot be read by any key of the settings.",
    )


def test_the_check_passes_over_columns_that_are_not_made_yet(monkeypatch):
    missing = models.TextField(db_column="comes_later")
    missing.model, missing.column = Job, "comes_later"
    monkeypatch.setattr(checks, "encrypted_fields", lambda: [missing])
    assert checks.check_keys_of_secrets(databases=["default"]) == []


def test_the_url_of_a_run_with_a_password_is_encrypted_anew(old_secrets, settings):
    url = "https://user:password@hooks.example.com/"
    settings.SECRETS_KEY = ""
    # What only looks like a token stands beside it.
    overrides = Overrides(target_url=url, metadata={"note": f"encrypted:{crypto.MARK}x"})
    execution = make_execution(make_job(), overrides=overrides.stored())
    make_execution(make_job(), overrides={"metadata": {"target_url": "gAAAAA"}})
    settings.SECRETS_KEY = NEW
    assert counts(survey())["job_executions", "overrides"] == (0, 1, 0, 0)
    assert counts(rotate())["job_executions", "overrides"] == (0, 1, 1, 0)
    settings.SECRET_KEY = OTHER
    execution.refresh_from_db()
    assert Overrides.read(execution.overrides) == overrides
    assert counts(rotate())["job_executions", "overrides"] == (1, 0, 0, 0)
