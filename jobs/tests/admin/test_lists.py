"""The lists of jobs and executions: what they show, find and leave out; and acts on many jobs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts.models import Role
from accounts.tests.factories import make_user
from cronsched.tests.console.pages import said
from jobs import bulk_acts
from jobs.definitions.validation import local_date
from jobs.models import ExecutionType, GitHubRun, Job, JobExecution, JobPause, Status, Tracking
from jobs.tests.factories import make_execution, make_job
from notifications.models import Notification
from taxonomy.tests.factories import make_team

pytestmark = pytest.mark.django_db

JOBS = reverse("admin:jobs_job_changelist")
EXECUTIONS = reverse("admin:jobs_jobexecution_changelist")
SEARCH = reverse("admin:search")


@pytest.fixture
def console(client, admin):
    client.force_login(admin)
    return client


def listed(client: Any, address: str, **params: str) -> list[str]:
    return sorted(row.name for row in client.get(address, params).context["cl"].result_list)


def test_jobs_are_found_by_state_owner_target_repository_and_zone(console, admin):
    gone = make_user(is_active=False)
    today = local_date(timezone.now())
    soon = {"next_fire_at": timezone.now()}
    make_job(name="hook", created_by=admin, **soon)
    github = {"github_owner": "acme", "github_repo": "shop", "github_workflow_name": "x.yml", "target_url": None}
    make_job(name="flow", created_by=gone, timezone="Europe/Berlin", **github, **soon)
    make_job(name="broken", schedule_error="No such zone")
    make_job(name="failing", consecutive_failures=1, **soon)
    make_job(name="paused", is_active=False)
    make_job(name="ended", is_active=False, end_date=today - timedelta(days=1))
    make_job(name="ending", end_date=today + timedelta(days=30), **soon)
    found = {
        ("state", "unschedulable"): ["broken"],
        ("state", "failing"): ["failing"],
        ("state", "paused"): ["paused"],
        ("state", "ended"): ["ended"],
        ("state", "ending"): ["ending"],
        ("ends_within", "30"): ["ending"],
        ("ends_within", "7"): [],
        ("owner", "me"): ["hook"],
        ("owner", "inactive"): ["flow"],
        ("owner", "none"): ["broken", "ended", "ending", "failing", "paused"],
        ("owner", str(gone.pk)): ["flow"],
        ("target", "github"): ["flow"],
        ("repository", "acme/shop"): ["flow"],
        ("zone", "Europe/Berlin"): ["flow"],
    }
    assert {key: listed(console, JOBS, **{key[0]: key[1]}) for key in found} == found
    assert "flow" not in listed(console, JOBS, target="webhook")


def test_a_name_stands_as_it_is_and_beside_it_what_became_of_the_latest_ten(console):
    job = make_job(name="verify-invoices-3")
    for number in range(12):
        status = Status.FAILED if number == 11 else Status.SUCCESS
        make_execution(job, status=status, started_at=timezone.now() + timedelta(minutes=number))
    page = console.get(JOBS).content.decode()
    assert page.count('class="outcome outcome-success"') == 9
    assert page.count('class="outcome outcome-failed"') == 1
    form = console.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()
    assert "verify-invoices-3" in form
    assert "Verify-invoices-3" not in form


@pytest.mark.parametrize(
    "fields, texts",
    [
        ({"is_active": False}, ("Paused.", "Paused: would fire", 'class="idle"')),
        ({"is_active": False, "end_date": "2001-01-01"}, ("Ended.", "Ended: would fire", 'class="idle"')),
        ({"schedule_error": "No such zone"}, ("Cannot be scheduled.", "No such zone")),
        ({"consecutive_failures": 3}, ("Active.", "It failed 3 times in a row.")),
        (
            {"next_fire_at": datetime(2026, 1, 15, 2, tzinfo=UTC)},
            ("verdict-warning", "Active.", "It was due ", "no scheduler is running, or it is behind."),
        ),
    ],
)
def test_the_page_of_a_job_begins_with_its_state(console, fields, texts):
    job = make_job(**fields)
    page = console.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()
    assert [text for text in texts if text not in page] == []


def test_a_run_that_is_overdue_is_called_due(console):
    make_job(name="late", next_fire_at=timezone.now() - timedelta(minutes=5))
    make_job(name="now", next_fire_at=timezone.now())
    rows = console.get(reverse("admin:index")).context["upcoming"]["rows"]
    assert [strip_tags(str(row[1])).startswith("due ") for row in rows] == [True, False]
    assert "due <time" in console.get(JOBS, {"q": "late"}).content.decode()


def test_no_run_is_named_after_the_end_date(console):
    today = local_date(timezone.now())
    job = make_job(cron_expression="0 12 * * *", end_date=today + timedelta(days=2), next_fire_at=timezone.now())
    page = console.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()
    assert f"{today + timedelta(days=2)} 12:00" in page
    assert f"{today + timedelta(days=3)} 12:00" not in page
    assert "would not fire after that day" in page


def test_the_page_of_a_job_asks_for_the_job_once(console, django_assert_max_num_queries):
    job = make_job()
    make_execution(job)
    page = reverse("admin:jobs_job_change", args=[job.pk])
    console.get(page)
    with django_assert_max_num_queries(25) as captured:
        console.get(page)
    whole = connection.ops.quote_name("misfire_grace_seconds")
    assert sum(whole in query["sql"] for query in captured.captured_queries) == 1


def test_executions_are_found_by_how_they_ended(console, monkeypatch):
    job = make_job(name="a job")
    for status in Status.values:
        make_execution(job, status=status, started_at=timezone.now())
    failed_run = make_execution(job, execution_type=ExecutionType.GITHUB_ACTIONS, started_at=timezone.now())
    run = {"repository": "a/b", "tracking": Tracking.CONCLUDED, "created_at": timezone.now()}
    GitHubRun.objects.create(execution=failed_run, conclusion="failure", **run)
    make_execution(started_at=timezone.now() - timedelta(days=2), status=Status.FAILED)

    def statuses(**params: str) -> list[str]:
        return sorted(row.status for row in console.get(EXECUTIONS, params).context["cl"].result_list)

    assert statuses(outcome="success") == ["success"]
    assert statuses(outcome="run_failed") == ["success"]
    for few in (500, 0):
        # By their keys where they are few, by what GitHub said where they are not.
        monkeypatch.setattr("jobs.history.outcomes.FEW", few)
        assert statuses(conclusion="failure") == statuses(conclusion="failure", outcome="run_failed") == ["success"]
        assert statuses(conclusion="success") == statuses(conclusion="failure", outcome="failed") == []
    assert statuses(outcome="trouble", within="24h") == ["failed", "missed", "success", "unknown"]
    assert len(statuses(job=str(job.pk))) == 8
    page = console.get(EXECUTIONS, {"outcome": "run_failed"}).content.decode()
    assert "Run failed" in page
    assert ">failure<" in page


def test_a_list_of_one_jobs_executions_says_so(console):
    job = make_job(name="only-this")
    make_execution(job)
    page = console.get(EXECUTIONS, {"job": str(job.pk)})
    assert '<option value="' + str(job.pk) + '" selected>only-this</option>' in page.content.decode()


@pytest.mark.parametrize("status", ["missed", "skipped"])
def test_what_was_never_sent_was_due_and_recorded_but_not_started(console, status):
    due = timezone.now().replace(microsecond=0) - timedelta(hours=2)
    row = make_execution(status=status, scheduled_for=due, started_at=due + timedelta(minutes=5), reason="Too late.")
    page = console.get(reverse("admin:jobs_jobexecution_change", args=[row.pk])).content.decode()
    assert "Was due" in page
    assert "Recorded" in page
    assert "Started" not in page
    assert "It was never sent. Too late." in page


def test_title_and_fields_of_an_execution_are_in_one_zone(console):
    due = timezone.now().replace(second=0, microsecond=0)
    row = make_execution(scheduled_for=due)
    page = console.get(reverse("admin:jobs_jobexecution_change", args=[row.pk])).content.decode()
    assert f"{timezone.localtime(due):%Y-%m-%d %H:%M:%S}" in page
    assert f"{due:%Y-%m-%d %H:%M:%S}Z" not in page


def test_a_request_is_shown_as_a_command_without_its_secrets(console):
    sent = {"method": "POST", "url": "https://example.com/a?b=it's", "headers": {"X-Key": "***"}, "body": {"a": 1}}
    row = make_execution(request_snapshot=sent)
    page = console.get(reverse("admin:jobs_jobexecution_change", args=[row.pk])).content.decode()
    assert "curl -X POST -H &#x27;X-Key: ***&#x27; --data-raw" in page


def test_an_execution_is_run_again_with_its_inputs_or_with_others(client, alice):
    job = make_job(created_by=alice, metadata={"a": 1})
    row = make_execution(job, overrides={"metadata": {"a": 2}})
    client.force_login(alice)
    again = reverse("admin:jobs_jobexecution_run_again", args=[row.pk])
    assert "{&quot;a&quot;: 2}" in client.get(again).content.decode()
    for metadata in ("", '{"a": 3}', "[1]"):
        client.post(again, {"_form_submitted": "true", "metadata": metadata})
    queued = JobExecution.objects.filter(status=Status.QUEUED).order_by("id")
    assert [row.overrides for row in queued] == [{"metadata": {"a": 2}}, {"metadata": {"a": 3}}]
    client.force_login(make_user(role=Role.USER))
    assert client.post(again, {"_form_submitted": "true"}).status_code == 403


def test_a_dialog_for_inputs_is_empty_where_there_are_none(client, alice):
    job = make_job(created_by=alice)
    row = make_execution(job)
    client.force_login(alice)
    for page, key in (("jobs_jobexecution_run_again", row.pk), ("jobs_job_run_job", job.pk)):
        html = client.get(reverse(f"admin:{page}", args=[key])).content.decode()
        assert [text.strip() for text in re.findall(r'<textarea name="metadata"[^>]*>([^<]*)<', html)] == [""]


# --- Acts on many jobs -----------------------------------------------------------------------------------------------


def act(client: Any, action: str, jobs: list[Job], *, headers: Any = None, **sent: str) -> Any:
    selected = [str(job.pk) for job in jobs]
    return client.post(JOBS, {"action": action, "_selected_action": selected, **sent}, headers=headers)


def test_a_pause_of_many_says_first_how_many_change_and_resume_wakes_those_only(console, admin):
    before = make_job(name="before", is_active=False)
    jobs = [make_job(name=f"j{n}") for n in range(3)]
    asked = act(console, "pause_selected", [before, *jobs]).content.decode()
    assert "3 jobs will change" in asked
    assert "before: already paused" in asked
    assert Job.objects.active().count() == 3
    notices = Notification.objects.count()
    done = act(console, "pause_selected", [before, *jobs], confirmed="1", on_resume="skip", reason="Outage")
    assert said(done) == ["3 jobs paused: j0, j1, j2.", "1 job left as it was: before (already paused)."]
    assert Notification.objects.count() - notices == 3
    assert {pause.reason for pause in JobPause.objects.all()} == {"Outage"}
    (batch,) = JobPause.objects.values_list("batch_id", flat=True).order_by().distinct()
    page = act(console, "resume_selected", [before, *jobs]).content.decode()
    assert "The 3 jobs that admin paused at" in page
    assert "before: paused at another time" in page
    # Another choice is asked about before it is confirmed, and then nothing happens either.
    all_of_them = act(console, "resume_selected", [before, *jobs], batch_id="", headers={"HX-Request": "true"})
    assert "4 jobs will change" in all_of_them.content.decode()
    assert not Job.objects.active().exists()
    act(console, "resume_selected", [before, *jobs], confirmed="1", batch_id=str(batch))
    assert sorted(Job.objects.active().values_list("name", flat=True)) == ["j0", "j1", "j2"]


def test_what_is_confirmed_for_all_rows_of_the_list_is_done_to_all(console):
    jobs = [make_job() for _ in range(3)]
    asked = act(console, "pause_selected", jobs[:2], select_across="1").content.decode()
    assert "3 jobs will change" in asked
    hidden = re.findall(r'<input type="hidden" name="(action|select_across|_selected_action)" value="([^"]*)"', asked)
    console.post(JOBS, {**dict(hidden), "confirmed": "1", "on_resume": "skip"})
    assert not Job.objects.active().exists()


def test_a_batch_that_nobody_made_resumes_nothing(console):
    job = make_job(is_active=False)
    act(console, "resume_selected", [job], confirmed="1", batch_id="nonsense")
    assert not Job.objects.active().exists()


def test_end_dates_are_extended_with_a_reason(console):
    jobs = [make_job(end_date="2099-01-01") for _ in range(2)]
    assert "required" in act(console, "extend_selected", jobs, confirmed="1", days="30").content.decode()
    act(console, "extend_selected", jobs, confirmed="1", days="30", reason="Needed")
    assert {str(job.end_date) for job in Job.objects.all()} == {"2099-01-31"}


def test_the_jobs_of_somebody_who_left_are_handed_over(console, bob):
    gone = make_user(is_active=False)
    jobs = [make_job(created_by=gone), make_job()]
    act(console, "hand_over_selected", jobs, confirmed="1", owner=str(bob.pk))
    assert {job.created_by for job in Job.objects.all()} == {bob}
    assert "Select a valid choice" in (
        act(console, "hand_over_selected", jobs, confirmed="1", owner=str(gone.pk)).content.decode()
    )


def test_jobs_are_moved_to_another_team_and_category(console):
    team, jobs = make_team(name="Night"), [make_job(name=f"m{n}") for n in range(2)]
    there = make_job(name="there", pic_team=team)
    asked = act(console, "move_selected", [there, *jobs]).content.decode()
    assert f"{jobs[0].pic_team.name}, {jobs[0].category.name}" in asked
    assert "Give category, " in act(console, "move_selected", jobs, confirmed="1").content.decode()
    done = act(console, "move_selected", [there, *jobs], confirmed="1", pic_team=str(team.pk), reason="Shift")
    assert said(done) == ["2 jobs moved: m0, m1.", "1 job left as it was: there (already there)."]
    assert {job.pic_team for job in Job.objects.all()} == {team}


@pytest.mark.parametrize(("kind", "begin"), [("csv", "Job Name,"), ("yaml", "jobs:")])
def test_selected_jobs_are_exported_by_every_role(client, charlie, kind, begin):
    client.force_login(charlie)
    job, _ = make_job(name="this"), make_job(name="other")
    assert "Export: 1 job" in act(client, "export_selected", [job]).content.decode()
    file = act(client, "export_selected", [job], confirmed="1", format=kind)
    assert file["Content-Disposition"] == f'attachment; filename="jobs.{kind}"'
    assert file.content.decode().startswith(begin)
    assert b"this" in file.content
    assert b"other" not in file.content


def test_a_reason_that_is_refused_and_too_many_jobs_are_said_in_words(console, monkeypatch):
    jobs = [make_job(), make_job()]
    page = act(console, "pause_selected", jobs, confirmed="1", on_resume="skip", until_0="2020-01-01", until_1="00:00")
    assert "has to lie in the future" in page.content.decode()
    monkeypatch.setattr(bulk_acts, "MAX_JOBS", 1)
    assert said(act(console, "pause_selected", jobs)) == [
        "One act is for at most 1 jobs, and 2 are selected. Filter the list."
    ]
    assert Job.objects.active().count() == 2


@pytest.mark.parametrize("action", ["run_selected", "pause_selected", "hand_over_selected", "delete_selected"])
def test_jobs_of_others_are_left_out_and_named_in_one_sentence(client, alice, action):
    own, foreign = make_job(name="own", created_by=alice), [make_job(name=f"f{n}") for n in range(20)]
    client.force_login(alice)
    page = act(client, action, [own, *foreign]).content.decode()
    assert "1 job will change" in page
    sent = {"on_resume": "skip", "owner": str(make_user(role=Role.USER).pk)}
    told = said(act(client, action, [own, *foreign], confirmed="1", **sent))
    assert len(told) == 2
    assert "20 jobs left as they were" in told[1]
    assert "and 8 more" in told[1]


def test_a_thousand_selected_jobs_are_no_problem_for_the_page_between(console):
    team = make_team(name="Many")
    for number in range(60):
        make_job(name=f"many {number}", pic_team=team)
    sent = {"action": "pause_selected", "select_across": "1", "_selected_action": [str(Job.objects.first().pk)]}
    page = console.post(f"{JOBS}?q=many", sent).content.decode()
    assert "60 jobs will change" in page
    assert page.count('name="_selected_action"') == 1


# --- Search ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("palette", [{}, {"extended": "1"}])
@pytest.mark.parametrize(
    "term, found",
    [
        ("INVOIC", "verify-invoices"),
        ("site rel", "Site Reliability"),
        ("alic", "alice"),
        ("executions", "Executions"),
        ("add a job", "Add a job"),
        ("password", "Change my password"),
        ("token", "Make a token"),
        ("Why INVOIC", "Why verify-invoices"),
        ("test invoic", "Test verify-invoices"),
        ("clone invoic", "Clone verify-invoices"),
    ],
)
def test_the_palette_and_the_side_bar_find_what_people_look_for(console, alice, palette, term, found):
    make_job(name="verify-invoices")
    make_team(name="Site Reliability")
    assert found in console.get(SEARCH, {"s": term, **palette}).content.decode()


def test_what_is_not_there_is_told_and_a_new_name_is_found_at_once(console):
    job = make_job(name="old-name")
    assert "Nothing is called like" in console.get(SEARCH, {"s": "zzz"}).content.decode()
    assert "old-name" in console.get(SEARCH, {"s": "name"}).content.decode()
    Job.objects.filter(pk=job.pk).update(name="new-name")
    assert "new-name" in console.get(SEARCH, {"s": "name"}).content.decode()


def test_viewers_find_no_other_people_and_nothing_to_add(client, charlie, alice):
    client.force_login(charlie)
    assert "alice" not in client.get(SEARCH, {"s": "alic"}).content.decode()
    assert "Add a job" not in client.get(SEARCH, {"s": "add"}).content.decode()


def test_acts_on_jobs_are_found_by_whom_they_are_open_to(client, bob, charlie):
    make_job(name="verify-invoices")
    for user, found in ((bob, ["why", "clone"]), (charlie, ["why"])):
        client.force_login(user)
        pages = {
            verb: client.get(SEARCH, {"s": f"{verb} verify"}).content.decode() for verb in ("why", "test", "clone")
        }
        assert [verb for verb, page in pages.items() if "verify-invoices" in page] == found


def test_a_clone_is_filled_in_like_the_job_and_has_no_secrets(console):
    options = {"webhook_method": "PUT", "secret_headers": ["X-Key"]}
    job = make_job(name="first", cron_expression="7 7 * * *", metadata={"a": 1}, request_options=options)
    page = console.get(reverse("admin:jobs_job_clone_job", args=[job.pk]), follow=True)
    content = page.content.decode()
    assert 'value="Copy of first"' in content
    assert 'value="7 7 * * *"' in content
    assert '<option value="PUT" selected>' in content
    assert "X-Key" not in content


HEADER_PART = re.compile(r'<(?:a|span)[^>]*class="align-middle[^>]*truncate tracking-tight">([^<]*)<')


@pytest.mark.parametrize("role", ["admin", "user", "viewer"])
def test_each_page_is_called_as_the_side_bar_calls_it(client, role):
    client.force_login(make_user(role=role))
    menu = client.get(reverse("admin:index")).context["sidebar_navigation"]
    items = [item for group in menu for item in group["items"] if item["has_permission"]]
    titles = {}
    for item in items:
        page = client.get(str(item["link"]), follow=True)
        titles[item["title"]] = HEADER_PART.findall(page.content.decode())[0].strip()
    assert titles == {title: title for title in titles}
