"""The endpoints of notices, as the contract has them (section 12)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tests.factories import api_client, make_user
from jobs.tests.factories import make_execution, make_job
from notifications import inbox
from notifications.models import Inbox, Level, Mark, Notification, ReadAll
from notifications.tests.factories import tell

LIST = "/api/v2/notifications"
COUNT = f"{LIST}/unread-count"
READ_ALL = f"{LIST}/read-all"
DELETE_READ = f"{LIST}/delete-read"
UNKNOWN_ID = "0198f2a4-7c1e-7d3a-9b52-3f1c0a6d8e11"
MONDAY = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def old_alice(db):
    """An account older than every notice of these tests."""
    return make_user("old-alice", created_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def client(old_alice):
    return api_client(old_alice)


def titles(response):
    return [shown["title"] for shown in response.json()["notifications"]]


# --- The object ------------------------------------------------------------------------------------------------------


def test_a_notice_to_everybody_is_shown_as_the_callers_own(client, old_alice):
    execution = make_execution(make_job())
    now = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
    notice = tell(now=now, title="Job Failed", level=Level.ERROR, job_id=execution.job_id, execution_id=execution.pk)
    assert client.get(LIST).json()["notifications"] == [
        {
            "id": str(notice.pk),
            "user_id": str(old_alice.pk),
            "title": "Job Failed",
            "message": "Something happened.",
            "type": "error",
            "related_job_id": str(execution.job_id),
            "related_execution_id": str(execution.pk),
            "is_read": False,
            "read_at": None,
            "created_at": "2026-03-02T12:00:00.123Z",
        }
    ]


def test_deleting_a_job_keeps_its_notices_without_the_references(client):
    execution = make_execution(make_job())
    tell(job_id=execution.job_id, execution_id=execution.pk)
    execution.job.delete()
    (shown,) = client.get(LIST).json()["notifications"]
    assert (shown["related_job_id"], shown["related_execution_id"]) == (None, None)


# --- Lists -----------------------------------------------------------------------------------------------------------


def test_the_list_is_newest_first_and_says_where_it_is(client, old_alice):
    for hour in range(5):
        tell(*([old_alice] if hour % 2 else []), now=MONDAY + timedelta(hours=hour), title=f"at {hour}")
    answer = client.get(LIST, {"page": 2, "per_page": 2})
    assert titles(answer) == ["at 2", "at 1"]
    rest = {key: value for key, value in answer.json().items() if key != "notifications"}
    none = {"from": None, "to": None}
    assert rest == {"total": 5, "page": 2, "per_page": 2, "total_pages": 3, "range": none}


def test_an_empty_list_has_no_pages(client):
    answer = client.get(LIST).json()
    assert (answer["notifications"], answer["total"], answer["total_pages"]) == ([], 0, 0)


def test_a_page_beyond_the_end_is_empty(client):
    tell()
    answer = client.get(LIST, {"page": 10**17}).json()
    assert (answer["notifications"], answer["total"]) == ([], 1)


def test_more_than_a_hundred_per_page_become_a_hundred(client):
    assert client.get(LIST, {"per_page": 5000}).json()["per_page"] == 100


@pytest.mark.parametrize(
    "wrong", [{"page": "0"}, {"page": "x"}, {"per_page": "0"}, {"per_page": ""}, {"unread_only": "maybe"}]
)
def test_wrong_query_numbers_and_booleans_are_422(client, wrong):
    answer = client.get(LIST, wrong)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", next(iter(wrong))])


def test_only_unread_ones_on_request(client):
    tell(title="first")
    second = tell(title="second")
    client.put(f"{LIST}/{second.pk}/read")
    answer = client.get(LIST, {"unread_only": "true"})
    assert (titles(answer), answer.json()["total"]) == (["first"], 1)


def test_an_account_does_not_see_what_was_said_before_it_existed(db):
    tell(now=MONDAY)
    newcomer = make_user(created_at=MONDAY + timedelta(seconds=1))
    tell(now=MONDAY + timedelta(seconds=2), title="welcome")
    assert titles(api_client(newcomer).get(LIST)) == ["welcome"]


def test_an_administrator_sees_only_its_own(admin, alice):
    tell(alice)
    assert api_client(admin).get(LIST).json()["total"] == 0


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"from": "2026-03-02"}, ["Tuesday", "Monday"]),
        ({"to": "2026-03-02"}, ["Monday", "Sunday"]),
        ({"from": "2026-03-02T12:00:00Z", "to": "2026-03-03T12:00:00Z"}, ["Monday"]),
        ({"from": "2026-03-02T21:00:00+09:00", "to": "2026-03-02T12:00:01"}, ["Monday"]),
        ({"from": "", "to": ""}, ["Tuesday", "Monday", "Sunday"]),
        ({"from": "9999-12-31"}, []),
        ({"to": "0001-01-01"}, []),
    ],
)
def test_a_range_applies_to_the_time_of_the_notice(client, asked, found):
    for days, title in ((-1, "Sunday"), (0, "Monday"), (1, "Tuesday")):
        tell(now=MONDAY + timedelta(days=days), title=title)
    answer = client.get(LIST, asked)
    assert (titles(answer), answer.json()["total"]) == (found, len(found))
    assert client.get(COUNT, asked).json()["unread_count"] == len(found)


def test_the_range_is_echoed_without_a_suffix(client):
    asked = {"from": "2026-03-01", "to": "2026-03-02"}
    echoed = {"from": "2026-03-01T00:00:00", "to": "2026-03-03T00:00:00"}
    assert client.get(LIST, asked).json()["range"] == echoed
    assert client.get(COUNT, asked).json() == {"unread_count": 0, "range": echoed}


@pytest.mark.parametrize(("method", "path"), [("get", LIST), ("get", COUNT), ("delete", DELETE_READ)])
def test_bad_ranges_are_refused(client, method, path):
    def refusal(query):
        answer = getattr(client, method)(f"{path}?{query}")
        return answer.status_code, answer.json()

    assert refusal("from=yesterday") == (400, {"error": "Invalid date", "message": "Invalid date"})
    reversed_range = {"error": "Invalid date range", "message": '"from" must be earlier than "to".'}
    assert refusal("from=2026-03-02&to=2026-03-01") == (400, reversed_range)


# --- One notice ------------------------------------------------------------------------------------------------------


def test_reading_a_notice_twice_keeps_the_time_of_the_first(client):
    notice = tell()
    first = client.put(f"{LIST}/{notice.pk}/read").json()
    assert first["message"] == "Notification marked as read"
    assert first["notification"]["is_read"] is True
    assert client.put(f"{LIST}/{notice.pk}/read").json()["notification"] == first["notification"]
    assert client.get(LIST).json()["notifications"] == [first["notification"]]


def test_reading_a_notice_changes_nothing_for_others(client, bob):
    notice = tell()
    client.put(f"{LIST}/{notice.pk}/read")
    assert api_client(bob).get(COUNT).json()["unread_count"] == 1


def test_a_body_is_not_needed_and_not_read(client):
    notice = tell()
    answer = client.generic("PUT", f"{LIST}/{notice.pk}/read", b"\xff{", content_type="text/plain")
    assert answer.status_code == 200


def test_a_deleted_notice_is_gone_for_its_reader_only(client, bob):
    notice = tell()
    answer = client.delete(f"{LIST}/{notice.pk}")
    assert (answer.status_code, answer.json()) == (200, {"message": "Notification deleted successfully"})
    assert client.get(LIST).json()["total"] == 0
    assert client.delete(f"{LIST}/{notice.pk}").status_code == 404
    assert client.put(f"{LIST}/{notice.pk}/read").status_code == 404
    assert api_client(bob).get(LIST).json()["total"] == 1


@pytest.mark.parametrize("text", [UNKNOWN_ID, "not-an-id", UNKNOWN_ID.upper()])
def test_an_unknown_notice_is_404(client, text):
    gone = {"error": "Notification not found"}
    assert (client.put(f"{LIST}/{text}/read").json(), client.delete(f"{LIST}/{text}").json()) == (gone, gone)
    assert client.delete(f"{LIST}/{text}").status_code == 404


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method, path", [("put", "/read"), ("delete", "")])
@pytest.mark.parametrize("step", ["_seen", "_mark"])
def test_a_notice_that_goes_while_it_is_marked_is_404(client, monkeypatch, method, path, step):
    notice = tell()
    real = getattr(inbox, step)

    def beside_pruning(*args, **kwargs):
        if step == "_mark":
            Notification.objects.all().delete()
            return real(*args, **kwargs)
        found = real(*args, **kwargs)
        Notification.objects.all().delete()
        return found

    monkeypatch.setattr(inbox, step, beside_pruning)
    answer = getattr(client, method)(f"{LIST}/{notice.pk}{path}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Notification not found"})
    assert not Mark.objects.exists()


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "look, method, path, counted",
    [("unread_since", "put", READ_ALL, "updated_count"), ("visible_in", "delete", DELETE_READ, "deleted_count")],
)
def test_notices_that_go_while_all_are_marked_are_left_out(client, old_alice, monkeypatch, look, method, path, counted):
    # No span is kept, so that what is deleted is marked notice by notice.
    monkeypatch.setattr(inbox, "MAX_CLEARED", 0)
    told_at = timezone.now() - (2 * inbox.SETTLED if look == "visible_in" else timedelta())
    gone, kept = tell(old_alice, title="gone", now=told_at), tell(old_alice, title="kept", now=told_at)
    if look == "visible_in":
        client.put(READ_ALL)
    before_pruning = [[(notice.created_at, notice.pk) for notice in (gone, kept)]]
    real = getattr(inbox.Reader, look)
    monkeypatch.setattr(inbox.Reader, look, lambda *args: before_pruning.pop() if before_pruning else real(*args))
    gone.delete()
    answer = getattr(client, method)(path)
    assert (answer.status_code, answer.json()[counted]) == (200, 1)
    assert [mark.notification_id for mark in Mark.objects.all()] == [kept.pk]


def test_a_notice_to_another_account_is_403(client, bob):
    notice = tell(bob)
    read, delete = client.put(f"{LIST}/{notice.pk}/read"), client.delete(f"{LIST}/{notice.pk}")
    assert (read.status_code, delete.status_code) == (403, 403)
    assert read.json() == {"error": "Forbidden: Cannot access other users notifications"}
    assert delete.json() == {"error": "Forbidden: Cannot delete other users notifications"}
    assert api_client(bob).get(COUNT).json()["unread_count"] == 1


def test_a_notice_cannot_be_fetched_by_itself(client):
    answer = client.get(f"{LIST}/{tell().pk}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE")


# --- All of them -----------------------------------------------------------------------------------------------------


def test_reading_all_says_how_many_were_unread(client):
    first, *_ = (tell() for _ in range(4)), tell(now=timezone.now() - timedelta(hours=1))
    client.put(f"{LIST}/{next(first).pk}/read")
    list(first)
    answer = client.put(READ_ALL)
    assert (answer.status_code, answer.json()["message"]) == (200, "All notifications marked as read")
    assert answer.json()["updated_count"] == 4
    assert client.put(READ_ALL).json()["updated_count"] == 0
    assert client.get(COUNT).json()["unread_count"] == 0


def test_what_comes_after_reading_all_is_unread(client):
    tell()
    client.put(READ_ALL)
    tell(title="later")
    assert titles(client.get(LIST, {"unread_only": "1"})) == ["later"]


def test_a_notice_that_commits_while_all_is_read_stays_unread(client):
    client.put(READ_ALL)
    tell(now=timezone.now() - timedelta(seconds=5), title="was under way")
    assert titles(client.get(LIST, {"unread_only": "1"})) == ["was under way"]


def test_only_read_ones_are_deleted(client):
    read = tell(title="read")
    tell(title="unread")
    client.put(f"{LIST}/{read.pk}/read")
    assert client.delete(DELETE_READ).json() == {"deleted_count": 1}
    assert titles(client.get(LIST)) == ["unread"]


def test_deleting_read_ones_keeps_to_the_range(client):
    for days in range(3):
        tell(now=MONDAY + timedelta(days=days), title=f"day {days}")
    client.put(READ_ALL)
    answer = client.delete(f"{DELETE_READ}?from=2026-03-03&to=2026-03-03")
    assert answer.json() == {"deleted_count": 1}
    assert titles(client.get(LIST)) == ["day 2", "day 0"]
    assert client.delete(DELETE_READ).json() == {"deleted_count": 2}
    assert client.delete(DELETE_READ).json() == {"deleted_count": 0}


def test_what_an_account_did_goes_with_it(client, old_alice, admin, bob):
    tell(old_alice)
    shared = tell(now=timezone.now() - timedelta(hours=1))
    client.put(f"{LIST}/{shared.pk}/read")
    client.put(READ_ALL)
    client.delete(DELETE_READ)
    answer = api_client(admin).delete(f"/api/v2/auth/users/{old_alice.pk}")
    assert answer.status_code == 200
    assert [notice.user_id for notice in Notification.objects.all()] == [None]
    assert not any(model.objects.exists() for model in (Mark, Inbox, ReadAll))


def test_everything_needs_a_token(db):
    anonymous = api_client()
    calls = [("get", LIST), ("get", COUNT), ("put", READ_ALL), ("delete", DELETE_READ), ("put", f"{LIST}/x/read")]
    assert {getattr(anonymous, method)(path).status_code for method, path in calls} == {401}


def test_the_number_of_queries_does_not_grow(client, old_alice):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            client.get(LIST, {"per_page": 100})
            client.get(COUNT)
        return len(captured)

    tell(old_alice)
    few = queries()
    for _ in range(60):
        tell(now=MONDAY)
        tell(old_alice)
    assert queries() == few
