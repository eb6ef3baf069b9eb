"""Notifications: what each account sees is what it saw there."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import make_user
from cronsched.lib.input.ranges import DateRange
from jobs.tests.importing.legacy.conftest import run
from jobs.tests.importing.legacy.older import LATER, aware
from notifications.inbox import Reader
from notifications.models import Mark, Notification

pytestmark = [pytest.mark.django_db, pytest.mark.database]
EVER = DateRange(None, None)


def seen_by(user: UUID):
    """Return title and time of reading of each notice that the account sees, newest first."""
    reader = Reader(User.objects.get(pk=user))
    items = reader.page(EVER, unread=False, offset=0, limit=100)
    assert reader.count(EVER, unread=False) == len(items)
    assert reader.count(EVER, unread=True) == sum(item.read_at is None for item in items)
    return [(item.notice.title, item.read_at) for item in items]


def test_one_row_per_account_there_is_one_notice_with_marks_here(there):
    people = [there.user(f"person{number}") for number in range(5)]
    job = there.job()
    execution = there.execution(job)
    rows = there.notice(people, related_job_id=str(job), related_execution_id=str(execution))
    there.execute(f"UPDATE notifications SET is_read = 1, read_at = '2025-06-03 09:00:00' WHERE id = '{rows[1]}'")
    there.execute(f"DELETE FROM notifications WHERE id = '{rows[2]}'")
    ran = run("import_legacy", there.url, "--json")
    assert (ran.code, ran.table("notifications")) == (0, (4, 4, 0, 0))
    notice = Notification.objects.get()
    assert (notice.user_id, notice.event, notice.type) == (None, "run_succeeded", "success")
    assert (notice.related_job_id, notice.related_execution_id) == (job, execution)
    read_at = aware(LATER).replace(day=3, hour=9)
    expected = [None, read_at, "deleted", None, None]
    for person, state in zip(people, expected, strict=True):
        assert seen_by(person) == ([] if state == "deleted" else [("Job Completed", state)])
    assert seen_by(make_user("newcomer").pk) == []
    assert Mark.objects.count() == 2


def test_a_notice_to_few_stays_theirs(there):
    people = [there.user(f"person{number}") for number in range(5)]
    there.notice(people[:2], title="Job ending soon", type="warning", is_read=True)
    run("import_legacy", there.url)
    assert set(Notification.objects.values_list("user_id", "event")) == {(key, "job_ending_soon") for key in people[:2]}
    assert [seen_by(person) for person in people] == [
        [("Job ending soon", aware(LATER))],
        [("Job ending soon", aware(LATER) + timedelta(milliseconds=1))],
        [],
        [],
        [],
    ]


def test_the_same_words_later_are_another_notice(there):
    people = [there.user(f"person{number}") for number in range(3)]
    there.notice(people)
    there.notice(people, created_at=LATER + timedelta(seconds=30))
    there.notice(people, message="others")
    run("import_legacy", there.url)
    assert Notification.objects.count() == 3
    assert [len(seen_by(person)) for person in people] == [3, 3, 3]


@pytest.mark.parametrize("joined, seen", [(LATER - timedelta(days=1), 1), (LATER + timedelta(days=1), 0)])
def test_an_account_that_stands_for_an_older_one_sees_rows_of_its_own_time(there, joined, seen):
    admin = make_user("admin", role="admin", created_at=aware(joined))
    other = make_user("other", created_at=aware(joined))
    people = [there.user("admin"), *(there.user(f"somebody{number}") for number in range(3))]
    there.notice(people)
    ran = run("import_legacy", there.url, "--json")
    assert [len(seen_by(person)) for person in (admin.pk, *people[1:])] == [seen, 1, 1, 1]
    assert seen_by(other.pk) == []
    assert ran.code == (0 if seen else 1)


def test_a_second_run_leaves_notices_and_marks_alone(there):
    people = [there.user(f"person{number}") for number in range(3)]
    there.notice(people)
    run("import_legacy", there.url)
    Mark.objects.create(
        user_id=people[0], notification=Notification.objects.get(), created_at=aware(LATER), read_at=timezone.now()
    )
    before = [seen_by(person) for person in people]
    ran = run("import_legacy", there.url, "--json")
    assert ran.table("notifications") == (3, 0, 3, 0)
    assert [seen_by(person) for person in people] == before


def test_rows_of_nobody_and_of_no_time_are_left_out(there):
    ann = there.user("ann")
    there.notice([ann])
    there.notice([UUID(int=7)])
    ran = run("import_legacy", there.url, "--json")
    assert (ran.code, ran.decisions("notifications")) == (1, {"It belongs to no account.": 1})
    assert len(seen_by(ann)) == 1
