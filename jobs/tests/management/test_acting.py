"""Commands that act on jobs: what they do, what they print, how they end, and whose act it was."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.tests.factories import make_user
from audit.models import AuditEntry
from jobs.models import JobExecution, JobPause
from jobs.tests.factories import make_execution, make_job

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value.returncode, str(caught.value)


# --- Pausing and resuming --------------------------------------------------------------------------------------------


def test_jobs_are_paused_with_a_reason_and_resumed_by_their_batch():
    first, second, other = make_job(name="first"), make_job(), make_job(is_active=False)
    paused = json.loads(run("pause_jobs", "first", str(second.pk), str(other.pk), "--reason", "Release", "--json"))
    assert paused["counts"] == {"done": 2, "unchanged": 1, "refused": 0}
    pause = JobPause.objects.get(job=first)
    assert (pause.reason, pause.by_name, pause.by) == ("Release", "pause_jobs", None)
    entry = AuditEntry.objects.get(action="job.paused", object_id=str(first.pk))
    assert (entry.actor_kind, entry.actor_name, entry.reason) == ("command", "pause_jobs", "Release")

    text = run("resume_jobs", "--batch", paused["batch_id"])
    assert "2 done, 0 unchanged, 0 refused." in text
    for job in (first, second, other):
        job.refresh_from_db()
    assert (first.is_active, second.is_active, other.is_active) == (True, True, False)
    pause.refresh_from_db()
    assert pause.ended_by_name == "resume_jobs"


def test_jobs_may_be_named_by_a_filter():
    make_job(target_url="https://a.example.com/")
    make_job(target_url=None, github_owner="acme", github_repo="shop", github_workflow_name="ci.yml")
    found = json.loads(run("pause_jobs", "--repo", "acme/shop", "--json"))
    assert found["counts"]["done"] == 1


def test_a_batch_to_resume_is_named_only_where_something_was_paused():
    make_job(name="first")
    assert "resume_jobs --batch" in run("pause_jobs", "first", "--reason", "Release")
    assert "resume_jobs --batch" not in run("pause_jobs", "first", "--reason", "Release")


def test_a_resume_says_which_job_it_could_not_resume():
    make_job(name="over", is_active=False, end_date="2020-01-01")
    code, text = refused("resume_jobs", "over")
    assert (code, text) == (1, "1 of 1 jobs were refused.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pause_jobs"], "Name the jobs"),
        (["pause_jobs", "nothing"], "no job with the id or name 'nothing'"),
        (["pause_jobs", "job", "--until", "soon"], "until"),
        (["pause_jobs", "job", "--category", "unknown", "--reason", "x"], "Name the jobs"),
        (["pause_jobs", "--state", "odd"], "state must be one of"),
        (["pause_jobs", "job", "--reason", "x" * 501], "at most 500"),
        (["resume_jobs", "--batch", "nonsense"], "batch_id"),
        (["hand_over", "job", "--to", "nobody"], "no account 'nobody'"),
        (["run_job", "nothing"], "no job with the id or name"),
        (["run_job", "job", "--metadata", "{"], "--metadata is no JSON"),
        (["run_job", "job", "--metadata", "[]"], "must be a JSON object"),
        (["next_runs", "61 * * * *"], "61"),
        (["next_runs", "* * * * *", "--tz", "Nowhere/Else"], "Nowhere/Else"),
        (["next_runs", "* * * * *", "--count", "many"], "count"),
        (["purge_executions", "--older-than", "0"], "must be 1 to 36500"),
        (["purge_executions", "--older-than", "999999999"], "must be 1 to 36500"),
    ],
)
def test_what_cannot_be_understood_ends_with_2_and_changes_nothing(arguments, says):
    job = make_job(name="job")
    code, text = refused(*arguments)
    assert code == 2
    assert says in text
    job.refresh_from_db()
    assert job.is_active
    assert not JobExecution.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "command",
    [
        *("run_job", "pause_jobs", "resume_jobs", "hand_over", "next_runs", "purge_executions", "seed_demo"),
        *("create_api_token", "rotate_secrets"),
    ],
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command(command, "--help")
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out


# --- Handing over ----------------------------------------------------------------------------------------------------


def test_all_jobs_of_an_account_get_another_owner():
    maria, daniel = make_user("maria"), make_user("daniel")
    job, other = make_job(created_by=maria), make_job()
    run("hand_over", "--from", "maria", "--to", "daniel@example.com", "--reason", "Maria leaves")
    job.refresh_from_db()
    other.refresh_from_db()
    assert (job.created_by, other.created_by) == (daniel, None)
    entry = AuditEntry.objects.get(object_id=str(job.pk))
    assert (entry.actor_name, entry.reason) == ("hand_over", "Maria leaves")


def test_a_viewer_gets_no_jobs():
    make_user("tom", role="viewer")
    make_job(name="job")
    code, _ = refused("hand_over", "job", "--to", "tom")
    assert code == 1


# --- Running, asking, purging ----------------------------------------------------------------------------------------


def test_a_run_is_left_to_the_scheduler():
    job = make_job(name="job")
    shown = json.loads(run("run_job", "job", "--queue", "--json"))
    execution = JobExecution.objects.get(job=job)
    assert (shown["execution_id"], shown["status"]) == (str(execution.pk), "queued")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("status", "code"), [(200, None), (500, 1)])
def test_a_run_is_waited_for_and_its_end_is_the_commands(status, code, httpserver):
    httpserver.expect_request("/hook").respond_with_data("said", status=status)
    make_job(name="job", target_url=httpserver.url_for("/hook"))
    out = StringIO()
    try:
        call_command("run_job", "job", "--metadata", '{"a": 1}', stdout=out)
        ended = None
    except CommandError as error:
        ended = error.returncode
    assert ended == code
    assert ("success" if status == 200 else "failed") in out.getvalue()
    assert [request.get_json() for request, _ in httpserver.log] == [{"a": 1}]


def test_next_runs_are_told_in_the_zone_asked_for():
    found = json.loads(run("next_runs", "0 2 * * *", "--tz", "Europe/Berlin", "--count", "3", "--json"))
    assert (found["timezone"], found["count"]) == ("Europe/Berlin", 3)
    assert all("T02:00:00" in moment for moment in found["next_runs"])
    assert found["description"] in run("next_runs", "0 2 * * *")


def test_old_history_goes_and_the_rest_stays():
    now = timezone.now()
    old, new = make_execution(started_at=now - timedelta(days=40)), make_execution(started_at=now - timedelta(days=5))
    counted = json.loads(run("purge_executions", "--older-than", "30", "--dry-run", "--json"))
    assert (counted["matching"], counted["deleted"]) == (1, 0)
    assert run("purge_executions", "--older-than", "30") == "1 executions were deleted.\n"
    entry = AuditEntry.objects.get(action="history.purged")
    assert (entry.actor_name, entry.changes["executions"]) == ("purge_executions", [None, 1])
    assert list(JobExecution.objects.values_list("pk", flat=True)) == [new.pk]
    assert old.pk != new.pk


# --- What cannot be understood ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata", ["{", '{"a": NaN}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": 1, "a": 2}', "[" * 100_000]
)
def test_metadata_that_the_api_would_refuse_are_refused(metadata):
    make_job(name="first")
    code, text = refused("run_job", "first", "--metadata", metadata)
    assert code == 2
    assert text.startswith("--metadata is no JSON: ")
    assert len(text) < 200
    assert not JobExecution.objects.exists()


@pytest.mark.parametrize("count", ["0", "-1", "21"])
def test_how_many_times_are_shown_is_said_exactly(count):
    assert refused("next_runs", "* * * * *", "--count", count) == (2, "--count must be 1 to 20.")


def test_the_jobs_of_an_account_are_named_in_one_way():
    ann, ben = make_user("ann"), make_user("ben")
    job = make_job(created_by=ann)
    code, text = refused("hand_over", "--from", "ann", "--owner", str(ben.pk), "--to", "ben")
    assert (code, text) == (2, "Say whose jobs by --from or by --owner, not by both.")
    job.refresh_from_db()
    assert job.created_by == ann


def test_a_demo_that_is_there_already_is_told_in_json_too():
    make_job()
    assert json.loads(run("seed_demo", "--unless-filled", "--json")) == {}
