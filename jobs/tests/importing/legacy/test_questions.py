"""What is asked before anything is written: days of the week, and whether the older scheduler is still at work."""

from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps

from accounts.models import User
from jobs.importing.legacy import survey
from jobs.importing.weekdays import EITHER_DAY
from jobs.models import Job, JobPause
from jobs.tests.importing.legacy.conftest import run

pytestmark = pytest.mark.django_db


@pytest.fixture
def weekly(there):
    """Jobs of which two change their day."""
    there.job(name="Wednesday", cron_expression="0 9 * * 2")
    there.job(name="Both", cron_expression="0 9 1 * 0")
    there.job(name="Named", cron_expression="0 9 * * MON")
    there.job(name="Daily", cron_expression="0 9 * * *")
    return there


@pytest.mark.parametrize("args", [(), ("--dry-run",)], ids=["import", "dry run"])
def test_days_are_asked_for_and_nothing_is_written(weekly, args):
    weekly.user("ann")
    ran = run("import_legacy", weekly.url, "--json", *args)
    assert ran.code == 2
    assert ran.report["questions"] == [survey.ASK_WEEKDAYS.format(changing=2, jobs=4)]
    (one, other) = sorted(ran.details(survey.OTHER_TIMES))
    assert one.startswith("0 9 * * 2 there: Wed ")
    assert "; here: Tue " in one
    assert other.startswith("0 9 1 * 0 there: Mon ")
    assert not Job.objects.exists()
    assert not User.objects.exists()


def test_the_first_line_says_how_many_jobs_change_day(weekly):
    ran = run("import_legacy", weekly.url, "--dry-run")
    assert ran.out.startswith("2 of 4 jobs change day")


def test_as_fired_keeps_the_days_or_pauses_with_the_reason(weekly):
    ran = run("import_legacy", weekly.url, "--weekdays", "as-fired", "--activate", "--json")
    assert ran.code == 0
    jobs = {job.name: (job.cron_expression, job.is_active) for job in Job.objects.all()}
    assert jobs == {
        "Wednesday": ("0 9 * * WED", True),
        "Both": ("0 9 1 * MON", False),
        "Named": ("0 9 * * MON", True),
        "Daily": ("0 9 * * *", True),
    }
    assert JobPause.objects.get().reason.startswith(EITHER_DAY)


def test_as_written_keeps_the_text_and_lists_old_and_new_times(weekly):
    ran = run("import_legacy", weekly.url, "--weekdays", "as-written", "--activate", "--json")
    assert (ran.code, Job.objects.active().count()) == (0, 4)
    assert Job.objects.get(name="Wednesday").cron_expression == "0 9 * * 2"
    assert len(ran.details(survey.OTHER_TIMES)) == 2


def test_nothing_is_asked_where_no_day_changes(there):
    there.job(cron_expression="*/5 * * * *")
    assert run("import_legacy", there.url).code == 0


@pytest.mark.parametrize("trigger, minutes, code", [("scheduled", 4, 2), ("scheduled", 6, 0), ("manual", 1, 0)])
def test_a_scheduler_that_fired_a_moment_ago_is_refused(there, trigger, minutes, code):
    fired_at = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=minutes)
    there.execution(there.job(), started_at=fired_at, trigger_type=trigger)
    ran = run("import_legacy", there.url, "--json")
    assert (ran.code, Job.objects.count()) == (code, 0 if code else 1)
    if code:
        assert ran.report["questions"][0].startswith("The older scheduler fired 24")
        assert run("import_legacy", there.url, "--force").code == 0
        assert Job.objects.count() == 1


def test_a_dry_run_tells_all_and_writes_nothing(there, tmp_path):
    there.execution(there.job(created_by=str(there.user("ann")), metadata="broken"))
    there.notice([there.user("bob")])
    file = tmp_path / "report.csv"
    rows = {model: model._default_manager.count() for model in apps.get_models()}
    ran = run("import_legacy", there.url, "--dry-run", "--json", "--report", file)
    assert ran.code == 0
    assert {model: model._default_manager.count() for model in rows} == rows
    assert {name: count["imported"] for name, count in ran.report["tables"].items()} == {
        "users": 2,
        "pic_teams": 1,
        "slack_settings": 0,
        "jobs": 1,
        "job_executions": 1,
        "notifications": 1,
    }
    lines = file.read_text().splitlines()
    assert lines[0] == "table,id,name,decision,detail"
    assert lines[1].endswith("The metadata is no JSON object: blank here.,broken")


def test_the_screen_shows_counts_and_decisions(there):
    there.job(name="[bold]Daily", metadata="broken")
    ran = run("import_legacy", there.url)
    assert "jobs: 1: The metadata is no JSON object: blank here." in ran.out
    assert "[bold]Daily" in ran.out


# --- Both services side by side --------------------------------------------------------------------------------------


def test_after_an_import_as_fired_both_services_fire_alike(weekly):
    run("import_legacy", weekly.url, "--weekdays", "as-fired")
    ran = run("compare_legacy", weekly.url, "--days", "35", "--json")
    assert ran.code == 1
    assert [(item["name"], EITHER_DAY in item["what"]) for item in ran.report["differences"]] == [("Both", True)]
    assert ran.report["compared"] == 4


def test_differences_are_shown_with_their_first_fire_times(weekly):
    run("import_legacy", weekly.url, "--weekdays", "as-written")
    Job.objects.get(name="Daily").delete()
    ran = run("compare_legacy", weekly.url, "--days", "35", "--json")
    found = {item["name"]: item for item in ran.report["differences"]}
    assert (ran.code, set(found)) == (1, {"Wednesday", "Both", "Daily"})
    assert found["Wednesday"]["only_there"][0].startswith("Wed ")
    assert found["Wednesday"]["only_here"][0].startswith("Tue ")
    assert found["Daily"]["what"] == "It is not here."
    assert "Jobs that fire at other times" in ran.complaint
    assert "Wednesday" in run("compare_legacy", weekly.url).out


def test_the_same_fire_times_end_with_0(there):
    there.job()
    there.job(is_active=False, cron_expression="nonsense")
    run("import_legacy", there.url)
    ran = run("compare_legacy", there.url)
    assert (ran.code, ran.out) == (0, "1 active jobs compared over 7 days.\n")
