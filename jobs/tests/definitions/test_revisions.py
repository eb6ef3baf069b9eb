"""Each change of a definition is a numbered revision with both values, and can be taken back."""

from datetime import UTC, datetime, timedelta

import pytest

from audit.models import AuditEntry
from audit.origin import Origin, acting_from
from cronsched.lib.errors import DomainError, Forbidden, NotFound
from jobs import services
from jobs.models import Job
from jobs.tests.factories import job_body, make_job
from taxonomy.tests.factories import make_category, make_team

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def job(alice):
    return services.create_job(job_body(name="backup", pic_team=make_team().slug), by=alice, now=NOON)


def change(job, by, **sent):
    return services.update_job(job.pk, sent, by=by, now=NOON)


def newest():
    return AuditEntry.objects.first()


def test_a_new_job_is_revision_one_with_all_that_it_says(job, alice):
    entry = newest()
    assert (entry.action, entry.object_id, entry.object_name) == ("job.created", str(job.pk), "backup")
    assert (entry.revision, job.revision, entry.owner_id) == (1, 1, alice.pk)
    assert entry.changes["name"] == [None, "backup"]
    assert entry.changes["pic_team"] == [None, job.pic_team.slug]
    assert "webhook_method" not in entry.changes, "what is as by default is not told"


def test_a_change_holds_both_values_and_counts(job, alice):
    change(job, alice, cron_expression="0 5 * * *", metadata={"a": 1})
    assert newest().changes == {"cron_expression": [job.cron_expression, "0 5 * * *"], "metadata": [{}, {"a": 1}]}
    assert (newest().action, newest().revision, Job.objects.get().revision) == ("job.updated", 2, 2)


def test_an_edit_that_changes_nothing_is_no_revision(job, alice):
    change(job, alice, name="backup")
    change(job, alice)
    assert Job.objects.get().revision == 1
    assert AuditEntry.objects.filter(object_type="job").count() == 1


def test_secrets_are_told_of_and_never_told(job, alice):
    change(job, alice, secret_headers={"X-Key": "hunter2"})
    assert newest().changes["secrets"] == [None, "***"]
    change(job, alice, secret_headers={"X-Key": "hunter3"})
    assert newest().changes == {"secrets": ["***", "***"]}
    services.renew_signing_secret(job.pk, keep_previous=True, by=alice, now=NOON)
    assert newest().changes["secrets"] == ["***", "***"]
    told = str(list(AuditEntry.objects.values()))
    assert "hunter" not in told
    assert "whsec" not in told


def test_a_pause_and_a_renewal_are_revisions_too(job, alice):
    services.pause_job(job.pk, by=alice, now=NOON)
    assert (newest().action, newest().changes, newest().revision) == ("job.paused", {"is_active": [True, False]}, 2)
    services.resume_job(job.pk, by=alice, now=NOON)
    assert (newest().action, newest().revision) == ("job.resumed", 3)


def test_a_deleted_job_is_on_record_with_what_it_said(job, alice):
    services.delete_job(job.pk, by=alice, now=NOON)
    assert (newest().action, newest().object_name, newest().actor_name) == ("job.deleted", "backup", "alice")
    assert newest().changes["name"] == ["backup", None]


def test_what_is_refused_is_not_on_record(job, alice):
    with pytest.raises(DomainError):
        change(job, alice, cron_expression="x")
    assert AuditEntry.objects.filter(object_type="job").count() == 1


# --- Restoring -------------------------------------------------------------------------------------------------------


def restore(job, number, by, **more):
    return services.restore_job(job.pk, number, by=by, now=NOON, **more)


def test_a_definition_is_put_back_as_it_was(job, alice):
    before = dict(Job.objects.values().get())
    change(job, alice, cron_expression="0 5 * * *", metadata={"a": 1})
    change(job, alice, category=make_category(name="Other").slug, timeout_seconds=99)
    restored = restore(job, 1, alice, reason="it was better").job
    after = dict(Job.objects.values().get())
    assert {name for name in before if before[name] != after[name]} == {"revision", "updated_at"}
    assert restored.next_fire_at == after["next_fire_at"]
    assert (newest().revision, newest().reason) == (4, "it was better")
    assert newest().changes["cron_expression"] == ["0 5 * * *", before["cron_expression"]]


def test_a_revision_between_two_others_is_found(job, alice):
    change(job, alice, cron_expression="0 5 * * *")
    change(job, alice, cron_expression="0 6 * * *", name="other")
    assert restore(job, 2, alice).job.cron_expression == "0 5 * * *"
    assert Job.objects.get().name == "backup"


def test_restoring_neither_wakes_a_paused_job_nor_touches_secrets(job, alice):
    change(job, alice, secret_headers={"X-Key": "hunter2"})
    services.pause_job(job.pk, by=alice, now=NOON)
    change(job, alice, name="other")
    encrypted = Job.objects.get().encrypted_secrets
    restored = restore(job, 1, alice).job
    assert (restored.name, restored.is_active, restored.encrypted_secrets) == ("backup", False, encrypted)


def test_restoring_what_is_so_already_writes_nothing(job, alice):
    assert not restore(job, 1, alice).changed
    assert Job.objects.get().revision == 1


def test_the_rules_of_today_hold_for_what_is_restored(job, alice):
    change(job, alice, end_date="2030-01-01")
    with pytest.raises(DomainError, match="end_date must be today"):
        services.restore_job(job.pk, 1, by=alice, now=NOON + timedelta(days=365 * 100))
    assert Job.objects.get().end_date.isoformat() == "2030-01-01"


@pytest.mark.parametrize("number", [0, 2, 99])
def test_a_revision_there_is_not_is_not_found(job, alice, number):
    with pytest.raises(NotFound):
        restore(job, number, alice)


def test_the_first_change_of_a_job_older_than_the_trail_can_be_undone(alice):
    job = make_job(created_by=alice, cron_expression="0 1 * * *")
    change(job, alice, cron_expression="0 2 * * *")
    assert restore(job, 0, alice).job.cron_expression == "0 1 * * *"


def test_a_trail_with_a_gap_restores_nothing(job, alice):
    change(job, alice, cron_expression="0 5 * * *")
    change(job, alice, cron_expression="0 6 * * *")
    AuditEntry._base_manager.filter(revision=2).delete()
    with pytest.raises(NotFound):
        restore(job, 1, alice)


def test_only_who_may_change_the_job_may_restore_it(job, alice, bob):
    change(job, alice, name="other")
    with pytest.raises(Forbidden):
        restore(job, 1, bob)


def test_the_reason_of_the_request_is_kept(job, alice):
    with acting_from(Origin(reason="asked for by ops")):
        change(job, alice, name="other")
    assert newest().reason == "asked for by ops"
