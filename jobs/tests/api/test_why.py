"""Asking why a job ran or did not, over the API and from the console."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.tests.factories import api_client
from audit import terms
from jobs.models import Status, TriggerType
from jobs.tests.factories import make_execution, make_job

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DUE = datetime(2026, 3, 10, 2, 10, tzinfo=UTC)


@pytest.fixture
def job(alice):
    return make_job(
        name="backup", cron_expression="10 * * * *", timezone="UTC", created_by=alice, created_at=DUE - 90 * DAY
    )


@pytest.fixture
def missed(job):
    terms.begin("a:1", 1, now=DUE - DAY)
    terms.end(1, now=DUE)
    terms.begin("b:1", 2, now=DUE + 4 * MINUTE)
    return make_execution(
        job, status=Status.MISSED, scheduled_for=DUE, started_at=DUE, trigger_type=TriggerType.SCHEDULED
    )


def ask(user, job, **params):
    return api_client(user).get(f"/api/v2/jobs/{job.pk}/why", {key.rstrip("_"): text for key, text in params.items()})


def test_a_missed_run_is_explained_whole(alice, job, missed):
    answer = ask(alice, job, from_="2026-03-10T02:00:00Z", to="2026-03-10T03:00:00Z").json()
    assert answer == {
        "job_id": str(job.pk),
        "job_name": "backup",
        "from": "2026-03-10T02:00:00.000Z",
        "to": "2026-03-10T03:00:00.000Z",
        "counts": {"missed_no_leader": 1},
        "verdicts": [
            {
                "due_at": "2026-03-10T02:10:00.000Z",
                "verdict": "missed_no_leader",
                "execution_id": str(missed.pk),
                "started_at": None,
                "lateness_seconds": None,
                "by": None,
                "since": "2026-03-10T02:10:00.000Z",
                "until": "2026-03-10T02:14:00.000Z",
                "reason": "It was stopped.",
                "sentence": "No scheduler was running from 02:10 to 02:14.",
                "due_before": None,
                "due_after": None,
            }
        ],
        "truncated": False,
    }


def test_the_newest_come_first_and_counts_cover_the_rest(alice, job):
    for hours in range(5):
        at = DUE - hours * HOUR
        make_execution(
            job,
            status=Status.FAILED if hours == 4 else Status.SUCCESS,
            trigger_type=TriggerType.SCHEDULED,
            scheduled_for=at,
            started_at=at + timedelta(seconds=1.5),
            response_status=404 if hours == 4 else 200,
        )
    answer = ask(alice, job, from_="2026-03-09T22:00:00Z", to="2026-03-10T03:00:00Z", limit="2").json()
    assert answer["counts"] == {"ran": 4, "refused": 1}
    assert answer["truncated"] is True
    assert [verdict["due_at"][11:16] for verdict in answer["verdicts"]] == ["02:10", "01:10"]
    assert answer["verdicts"][0]["lateness_seconds"] == 1.5
    assert answer["verdicts"][0]["started_at"] == "2026-03-10T02:10:01.500Z"


def test_without_a_range_it_is_the_last_day(alice, job):
    answer = ask(alice, job).json()
    length = datetime.fromisoformat(answer["to"]) - datetime.fromisoformat(answer["from"])
    assert length == DAY
    assert sum(answer["counts"].values()) == 24
    assert ask(alice, job, to="2026-03-10").json()["from"] == "2026-03-10T00:00:00.000Z"
    assert ask(alice, job, from_="2026-03-10", to="2026-03-10").json()["counts"] == {"unknown": 24}


def test_one_time_is_judged_and_one_that_is_not_due_has_neighbours(alice, job, missed):
    answer = ask(alice, job, at="2026-03-10T11:10:30+09:00").json()
    assert (answer["counts"], answer["truncated"]) == ({"missed_no_leader": 1}, False)
    (verdict,) = ask(alice, job, at="2026-03-10T02:30:00Z").json()["verdicts"]
    assert (verdict["verdict"], verdict["due_before"], verdict["due_after"]) == (
        "not_due",
        "2026-03-10T02:10:00.000Z",
        "2026-03-10T03:10:00.000Z",
    )


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"from_": "nonsense"}, "Invalid date", "Invalid date"),
        ({"from_": "2026-03-10", "to": "2026-03-09"}, "Invalid date range", '"from" must be earlier than "to".'),
        ({"from_": "2026-01-01", "to": "2026-02-15"}, "Invalid date range", "The range must be at most 31 days."),
        ({"from_": "0001-01-01", "to": "0001-01-02"}, "Invalid date range", None),
        ({"from_": "9999-12-30", "to": "9999-12-31T00:00:00Z"}, "Invalid date range", None),
        ({"to": "0001-01-01T00:00:00Z"}, "Invalid date range", None),
        ({"at": "yesterday"}, "Invalid at", "at must be an ISO 8601 instant such as 2026-01-23T08:00:00Z."),
        ({"at": "2026-03-10"}, "Invalid at", "at must be an ISO 8601 instant such as 2026-01-23T08:00:00Z."),
        ({"at": "9999-12-31T23:59:00Z"}, "Invalid at", None),
        ({"at": "0001-01-01T00:00:00Z"}, "Invalid at", None),
        ({"at": "2026-03-10T02:10:00Z", "to": "2026-03-10"}, "Invalid at", "at cannot be combined with from and to."),
        ({"limit": "0"}, "Invalid limit", "limit must be a whole number from 1 to 5000."),
        ({"limit": "5001"}, "Invalid limit", "limit must be a whole number from 1 to 5000."),
        ({"limit": "many"}, "Invalid limit", "limit must be a whole number from 1 to 5000."),
    ],
)
def test_what_cannot_be_meant_is_refused(alice, job, params, error, message):
    answer = ask(alice, job, **params)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert message in (None, answer.json()["message"])
    options = {key.rstrip("_"): text for key, text in params.items()}
    with pytest.raises(CommandError):
        call_command("why", "backup", *[f"--{name}={text}" for name, text in options.items()])


def test_blank_parameters_are_none(alice, job):
    assert ask(alice, job, from_="", to=" ", at="").status_code == 200


def test_a_job_that_is_not_there(alice):
    answer = api_client(alice).get("/api/v2/jobs/nonsense/why")
    assert (answer.status_code, answer.json()["message"]) == (404, "No job found with ID: nonsense")


# --- The command -----------------------------------------------------------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command("why", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_gives_the_answer_of_the_api(alice, job, missed):
    asked = ("--from=2026-03-10T02:00:00Z", "--to=2026-03-10T03:00:00Z", "--json")
    by_api = ask(alice, job, from_="2026-03-10T02:00:00Z", to="2026-03-10T03:00:00Z").json()
    assert json.loads(run("backup", *asked)) == by_api
    assert json.loads(run(str(job.pk), *asked)) == by_api


def test_the_command_tells_it_in_lines(job, missed):
    assert run("backup", "--at=2026-03-10T02:10:00Z").splitlines() == [
        "backup (10 * * * *, UTC)",
        "2026-03-10 02:10  missed_no_leader  No scheduler was running from 02:10 to 02:14.",
        "1 missed_no_leader",
    ]
    cut = run("backup", "--from=2026-03-09", "--to=2026-03-10", "--limit=1").splitlines()
    assert len(cut) == 3
    assert cut[-1].endswith("Older ones are not shown: use --limit.")


def test_the_command_says_that_nothing_was_due(job):
    text = run("backup", "--from=2026-03-10T02:11:00Z", "--to=2026-03-10T02:12:00Z")
    assert text.splitlines()[-1] == "No run was due."


def test_the_command_knows_no_such_job():
    with pytest.raises(CommandError, match="There is no job with the id or name 'nothing'"):
        run("nothing")
