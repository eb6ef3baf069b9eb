"""Entries are written whole, attributed to the account that acted and its origin, and never altered."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import transaction

from accounts.models import User
from audit import origin, queries, retention
from audit.models import AppendOnly, AuditDay, AuditEntry
from audit.queries import Filters
from audit.services import Entry, differences, record
from cronsched.lib.errors import DomainError
from cronsched.lib.input.ranges import DateRange

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def anna():
    return User(id=uuid4(), username="anna")


def test_an_entry_tells_who_did_what_from_where_and_why(anna):
    where = origin.Origin(source_ip="192.0.2.7", request_id="r-1", reason="maintenance")
    with origin.acting_from(where):
        record(Entry("job.paused", "j1", "backup", {"is_active": (True, False)}, owner_id=anna.id), by=anna, now=NOW)
    entry = AuditEntry.objects.get()
    assert (entry.actor_id, entry.actor_name, entry.actor_kind) == (anna.id, "anna", "user")
    assert (entry.source_ip, entry.request_id, entry.reason) == ("192.0.2.7", "r-1", "maintenance")
    assert (entry.action, entry.object_type, entry.object_id, entry.object_name) == (
        "job.paused",
        "job",
        "j1",
        "backup",
    )
    assert (entry.changes, entry.owner_id, entry.at) == ({"is_active": [True, False]}, anna.id, NOW)


def test_a_token_acts_as_its_owner_and_is_named(anna):
    with origin.acting_from(origin.Origin()):
        origin.note_token(uuid4(), "deploy")
        record(Entry("job.updated", "j1"), by=anna, now=NOW)
    entry = AuditEntry.objects.get()
    assert (entry.actor_id, entry.actor_name, entry.actor_kind) == (anna.id, "anna (deploy)", "token")


@pytest.mark.parametrize(
    ("where", "name", "kind"),
    [
        (origin.Origin(), "scheduler", "system"),
        (origin.Origin(command="bulk_upload"), "bulk_upload", "command"),
        (origin.Origin(nobody="not signed in"), "not signed in", "system"),
    ],
)
def test_without_an_account_the_scheduler_the_command_or_nobody_acts(where, name, kind):
    with origin.acting_from(where):
        record(Entry("job.paused", "j1"), by=None, now=NOW)
    entry = AuditEntry.objects.get()
    assert (entry.actor_id, entry.actor_name, entry.actor_kind) == (None, name, kind)


def test_the_origin_ends_with_its_block():
    with origin.acting_from(origin.Origin(request_id="r")):
        pass
    assert origin.current() == origin.NOWHERE


def test_entries_are_written_or_lost_with_their_transaction(anna):
    with transaction.atomic():
        record(Entry("job.updated", "j1"), by=anna, now=NOW)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_many_entries_are_one_statement(anna, django_assert_num_queries):
    with django_assert_num_queries(1):
        record(Entry("job.updated", "j1"), Entry("job.updated", "j2"), by=anna, now=NOW)


def test_too_long_texts_are_cut_and_never_cost_the_change(anna):
    with origin.acting_from(origin.Origin(source_ip="x" * 99, request_id="r" * 999, reason="w" * 999)):
        record(Entry("job.updated", "j1", "n" * 999), by=anna, now=NOW)
    entry = AuditEntry.objects.get()
    assert [len(text) for text in (entry.source_ip, entry.request_id, entry.reason, entry.object_name)] == [
        45,
        128,
        500,
        255,
    ]


def test_entries_cannot_be_altered_or_deleted(anna):
    record(Entry("job.updated", "j1"), by=anna, now=NOW)
    entry = AuditEntry.objects.get()
    for alter in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(actor_name="nobody"),
    ):
        with pytest.raises(AppendOnly):
            alter()
    assert AuditEntry.objects.get().actor_name == "anna"


def test_differences_name_what_changed_and_mask_secrets():
    before = {"name": "a", "cron": "x", "token": "t1", "url": ""}
    after = {"name": "a", "cron": "y", "token": "t2", "url": "u"}
    assert differences(before, after, secret=["token", "url"]) == {
        "cron": ("x", "y"),
        "token": ("***", "***"),
        "url": ("", "***"),
    }


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_filters_narrow_by_object_actor_action_and_time(anna):
    other = User(id=uuid4(), username="otto")
    record(Entry("job.created", "j1"), by=anna, now=NOW)
    record(Entry("job.updated", "j1"), by=other, now=NOW + timedelta(hours=1))
    record(Entry("team.created", "t1"), by=other, now=NOW + timedelta(hours=2))

    def found(**filters):
        return [entry.action for entry in queries.matching(Filters(**filters))]

    assert found() == ["team.created", "job.updated", "job.created"]
    assert found(object_type="job", object_id="j1") == ["job.updated", "job.created"]
    assert found(actor=anna.id) == ["job.created"]
    assert found(action="job.updated") == ["job.updated"]
    assert found(range=DateRange(NOW + timedelta(hours=1), NOW + timedelta(hours=2))) == ["job.updated"]


def test_others_see_their_own_acts_and_their_objects(anna):
    other = User(id=uuid4(), username="otto")
    record(Entry("job.updated", "j1", owner_id=anna.id), by=other, now=NOW)
    record(Entry("session.ended", "s1"), by=anna, now=NOW)
    record(Entry("job.updated", "j2", owner_id=other.id), by=other, now=NOW)
    assert {entry.object_id for entry in queries.matching(Filters(seen_by=anna.id))} == {"j1", "s1"}


@pytest.mark.parametrize("params", [{"object": "job"}, {"object": "job:"}, {"actor": "anna"}])
def test_unreadable_filters_are_refused(params):
    with pytest.raises(DomainError):
        queries.read_filters(params, DateRange(), seen_by=None)


# --- Retention -------------------------------------------------------------------------------------------------------


def write_days(anna, *days_ago):
    for days in days_ago:
        record(Entry("job.updated", f"d{days}"), by=anna, now=NOW - timedelta(days=days))


def test_past_days_are_counted_once_and_the_total_stays_exact(anna):
    write_days(anna, 0, 1, 1, 3)
    assert retention.count_days(NOW) == 3
    assert {row.day.day: row.entries for row in AuditDay.objects.all()} == {7: 1, 8: 0, 9: 2}
    assert retention.count_days(NOW) == 0
    assert queries.total(Filters()) == 4
    assert queries.total(Filters(action="job.updated")) == 4


def test_old_entries_are_deleted_and_leave_the_total_exact(anna, settings):
    settings.AUDIT_RETENTION_DAYS = 2
    write_days(anna, 0, 1, 3, 4)
    retention.count_days(NOW)
    assert retention.prune(NOW) == 2
    assert {entry.object_id for entry in AuditEntry.objects.all()} == {"d0", "d1"}
    assert queries.total(Filters()) == 2


def test_those_of_an_action_are_counted_by_day_too_and_stay_exact(anna, settings, django_assert_num_queries):
    write_days(anna, 0, 1, 1, 3, 4)
    record(Entry("job.paused", "p"), by=anna, now=NOW - timedelta(days=3))
    retention.count_days(NOW)
    with django_assert_num_queries(4) as asked:
        assert queries.total(Filters(action="job.updated")) == 5
    assert '"at" >=' in asked[-1]["sql"].replace("`", '"'), "of millions only those of today are counted"
    assert (queries.total(Filters(action="job.paused")), queries.total(Filters(action="job.run"))) == (1, 0)
    settings.AUDIT_RETENTION_DAYS = 2
    retention.prune(NOW)
    assert queries.total(Filters(action="job.updated")) == 3
    assert queries.total(Filters(action="job.paused")) == 0


@pytest.mark.parametrize("action", ["", "job.updated"])
def test_the_total_of_a_period_is_that_of_its_entries(anna, action):
    write_days(anna, 0, 1, 1, 2, 3, 4, 6)
    retention.count_days(NOW)
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    second = timedelta(seconds=1)
    moments = [None, *(m for n in range(8) for m in (NOW - timedelta(days=n), midnight - timedelta(days=n)))]
    moments += [NOW + second, midnight - second, NOW + timedelta(days=2), datetime.max.replace(tzinfo=UTC)]
    for start in moments:
        for end in moments:
            filters = Filters(action=action, range=DateRange(start, end))
            assert queries.total(filters) == queries.matching(filters).count(), (start, end)
    AuditDay.objects.filter(day=midnight - timedelta(days=3)).update(entries=1000, actions={"job.updated": 1000})
    period = DateRange(NOW - timedelta(days=5), NOW)
    assert queries.total(Filters(action=action, range=period)) > 1000, "days that are whole are not counted again"


def test_entries_of_a_day_that_go_in_part_are_taken_from_its_counts(anna, settings, monkeypatch):
    settings.AUDIT_RETENTION_DAYS = 2
    monkeypatch.setattr(retention, "PORTION", 2)
    write_days(anna, 3, 3, 3)
    retention.count_days(NOW)
    retention.prune(NOW, may_act=iter([True, False]).__next__)
    assert queries.total(Filters(action="job.updated")) == queries.total(Filters()) == 1


def test_days_counted_before_actions_were_are_counted_again(anna):
    write_days(anna, 0, 1, 3)
    retention.count_days(NOW)
    AuditDay.objects.update(actions=None)
    assert queries.total(Filters(action="job.updated")) == 3
    assert retention.count_days(NOW) == 3
    assert not AuditDay.objects.filter(actions__isnull=True).exists()
    assert queries.total(Filters(action="job.updated")) == 3


def test_nothing_is_deleted_where_the_trail_is_kept_for_ever(anna, settings):
    settings.AUDIT_RETENTION_DAYS = 0
    write_days(anna, 4000)
    assert retention.prune(NOW) == 0


def test_a_leader_that_lost_its_term_stops_deleting(anna, settings):
    settings.AUDIT_RETENTION_DAYS = 2
    write_days(anna, 4)
    assert retention.prune(NOW, may_act=lambda: False) == 0
