"""The console's job pages, as each role meets them."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from cronsched.tests.console.pages import errors_of, said, submit
from jobs.models import Job, JobExecution, Status
from jobs.tests.factories import make_execution, make_job
from taxonomy.models import GENERAL_SLUG, JobCategory
from taxonomy.tests.factories import make_category, make_team

pytestmark = pytest.mark.django_db

LIST = reverse("admin:jobs_job_changelist")
ADD = reverse("admin:jobs_job_add")
PREVIEW = reverse("admin:jobs_job_preview")
EXECUTIONS = reverse("admin:jobs_jobexecution_changelist")
CONFIRMED = {"_form_submitted": "true"}


@pytest.fixture
def console(client: Client) -> Any:
    def sign_in(user: User) -> Client:
        client.force_login(user)
        return client

    return sign_in


def page_of(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])


def form_data(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Nightly backup",
        "is_active": "on",
        "cron_expression": "0 2 * * *",
        "target_url": "https://example.com/hook",
        "metadata": '{"env": "production"}',
        "category": JobCategory.objects.get(slug=GENERAL_SLUG).pk,
        "pic_team": make_team().pk,
        "end_date": "2099-12-31",
        "notification_emails": "",
        "misfire_grace_seconds": "3600",
        "catch_up": "latest",
        "overlap": "allow",
        "timeout_seconds": "10",
        "max_attempts": "1",
        "backoff_seconds": "30",
        "spread_seconds": "0",
        **changes,
    }


@pytest.mark.parametrize("role", ["admin", "alice", "charlie"])
def test_every_role_sees_the_list_with_words_and_last_outcome(console, request, role):
    job = make_job(name="Refund sweep", cron_expression="*/5 * * * *")
    make_execution(job, status=Status.FAILED)
    page = console(request.getfixturevalue(role)).get(LIST).content.decode()
    assert "Every 5 minutes" in page
    assert "Latest 1: 1 failed" in page


def test_list_takes_as_many_queries_for_many_jobs_as_for_few(console, admin, django_assert_max_num_queries):
    client = console(admin)
    for number in range(30):
        make_job(name=f"job {number}")
    client.get(LIST)
    with django_assert_max_num_queries(15):
        client.get(LIST)


def test_search_finds_the_middle_of_names(console, admin):
    never = make_job(name="never ran")
    ran = make_job(name="ran well")
    make_execution(ran)
    client = console(admin)
    assert [*client.get(LIST, {"q": "never"}).context["cl"].queryset] == [never]
    assert [*client.get(LIST, {"q": "AN WEL"}).context["cl"].queryset] == [ran]


def test_user_creates_a_job_that_is_scheduled_and_its_own(console, alice):
    response = console(alice).post(ADD, form_data())
    assert response.status_code == 302, errors_of(response)
    job = Job.objects.get()
    assert job.created_by == alice
    assert job.next_fire_at is not None
    assert job.metadata == {"env": "production"}


def test_a_doubtful_expression_is_saved_with_a_warning(console, alice):
    response = console(alice).post(ADD, form_data(cron_expression="0 10,12 3-20 * 1-5"), follow=True)
    assert Job.objects.get().cron_expression == "0 10,12 3-20 * 1-5"
    assert "either field may match" in response.content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"cron_expression": "0 22-2 * * *"}, "cron_expression", "22-23,0-2"),
        ({"cron_expression": "0 0 31 2 *"}, "cron_expression", "never"),
        ({"end_date": "2001-01-01"}, "end_date", "End date must be today or in the future (JST)."),
        ({"target_url": "ftp://example.com"}, "target_url", "Target URL must include scheme"),
        ({"target_url": ""}, "target_url", "Please provide either Target URL"),
        ({"metadata": "[1]"}, "metadata", "Metadata must be a JSON object"),
        (
            {"metadata": "[1]", "github_owner": "a", "github_repo": "b", "github_workflow_name": "c"},
            "metadata",
            "Metadata must be a JSON object",
        ),
        ({"timezone": "Mars/Olympus"}, "timezone", "zone"),
        (
            {"enable_email_notifications": "on", "notification_emails": "nobody"},
            "notification_emails",
            "Mail to must contain valid email addresses.",
        ),
    ],
)
def test_form_refuses_what_the_api_refuses(console, admin, changes, field, text):
    response = console(admin).post(ADD, form_data(**changes))
    assert text in " ".join(errors_of(response)[field])
    assert not Job.objects.exists()


def test_form_names_the_pages_of_the_console(console, admin):
    team = make_team(name="Gone", is_active=False)
    response = console(admin).post(ADD, form_data(pic_team=str(team.pk)))
    assert errors_of(response)["pic_team"] == ["PIC team is disabled. Enable it under PIC teams or choose another."]


def test_form_says_all_that_is_wrong_at_once_and_each_field_once(console, admin):
    wrong = {
        "cron_expression": "nonsense",
        "end_date": "soon",
        "target_url": "ftp://example.com",
        "metadata": "{",
        "timeout_seconds": "",
    }
    make_job(name="Nightly backup")
    errors = errors_of(console(admin).post(ADD, form_data(**wrong)))
    assert set(errors) == {"name", *wrong}
    assert {len(texts) for texts in errors.values()} == {1}


def test_form_of_a_stored_job_says_all_that_is_wrong_at_once(console, admin):
    job = make_job(is_active=False, end_date=date(2020, 1, 1))
    wrong = {"end_date": "2020-01-02", "cron_expression": "nonsense", "metadata": "{"}
    assert set(errors_of(submit(console(admin), page_of(job), **wrong))) == set(wrong)


def test_form_refuses_a_name_that_is_taken_in_the_words_of_the_api(console, admin):
    make_job(name="Nightly backup")
    response = console(admin).post(ADD, form_data())
    assert "already exists" in errors_of(response)["name"][0]


def test_addresses_are_read_one_per_line(console, admin):
    console(admin).post(
        ADD,
        form_data(enable_email_notifications="on", notification_emails="a@example.com\n b@example.com, c@example.com"),
    )
    assert Job.objects.get().notification_emails == ["a@example.com", "b@example.com", "c@example.com"]


def test_edit_moves_the_schedule_and_leaves_what_was_not_touched(console, alice):
    client = console(alice)
    client.post(ADD, form_data())
    job = Job.objects.get()
    response = submit(client, page_of(job), cron_expression="30 4 * * *")
    assert response.status_code == 302, errors_of(response)
    changed = Job.objects.get()
    assert changed.next_fire_at != job.next_fire_at
    assert changed.end_date == date(2099, 12, 31)


def test_expired_job_can_be_edited_but_not_resumed(console, admin):
    job = make_job(end_date=date(2001, 1, 1), is_active=False)
    client = console(admin)
    client.post(f"{page_of(job).removesuffix('change/')}resume_job/", CONFIRMED)
    assert not Job.objects.get().is_active
    assert submit(client, page_of(job), name="Renamed").status_code == 302
    assert Job.objects.get().name == "Renamed"


@pytest.mark.parametrize("role", ["bob", "charlie"])
def test_nobody_changes_the_job_of_another(console, request, alice, role):
    job = make_job(created_by=alice)
    client = console(request.getfixturevalue(role))
    assert client.get(page_of(job)).status_code == 200
    assert client.post(page_of(job), form_data(name="taken over")).status_code == 403
    assert client.post(reverse("admin:jobs_job_delete", args=[job.pk]), {"post": "yes"}).status_code == 403
    client.post(f"{page_of(job).removesuffix('change/')}pause_job/", CONFIRMED)
    job.refresh_from_db()
    assert job.is_active
    assert job.name != "taken over"


def test_viewer_cannot_add(console, charlie):
    assert console(charlie).get(ADD).status_code == 403


@pytest.mark.parametrize(
    ("act", "was_active", "is_active"), [("pause_selected", True, False), ("resume_selected", False, True)]
)
def test_bulk_actions_pause_and_resume(console, admin, act, was_active, is_active):
    jobs = [make_job(is_active=was_active) for _ in range(3)]
    sent = {"action": act, "_selected_action": [job.pk for job in jobs]}
    client = console(admin)
    asked = client.post(LIST, sent)
    assert "3 jobs will change" in asked.content.decode()
    assert {job.is_active for job in Job.objects.all()} == {was_active}
    client.post(LIST, {**sent, "confirmed": "1", "on_resume": "skip"})
    assert {job.is_active for job in Job.objects.all()} == {is_active}


def test_run_now_queues_one_execution_per_job(console, admin):
    job = make_job(is_active=False)
    response = console(admin).post(LIST, {"action": "run_selected", "_selected_action": [job.pk], "confirmed": "1"})
    assert JobExecution.objects.get().status == Status.QUEUED
    assert "queued" in said(response)[0]


def test_bulk_action_names_the_jobs_that_refuse_and_does_the_others(console, alice):
    own, foreign = make_job(name="own", created_by=alice), make_job(name="foreign")
    sent = {"action": "pause_selected", "_selected_action": [own.pk, foreign.pk], "on_resume": "skip"}
    response = console(alice).post(LIST, {**sent, "confirmed": "1"})
    assert {job.name: job.is_active for job in Job.objects.all()} == {"own": False, "foreign": True}
    assert said(response) == ["1 job paused: own.", "1 job left as it was: foreign (not your job)."]


def test_a_link_alone_never_runs_a_job(console, admin):
    job = make_job()
    console(admin).get(f"{page_of(job).removesuffix('change/')}run_job/")
    assert not JobExecution.objects.exists()


def test_the_button_runs_a_job_once_it_is_confirmed(console, admin):
    job = make_job()
    console(admin).post(f"{page_of(job).removesuffix('change/')}run_job/", CONFIRMED)
    assert JobExecution.objects.get().job == job


def test_deleting_selected_jobs_deletes_own_ones_only(console, alice):
    own, foreign = make_job(name="own", created_by=alice), make_job(name="foreign")
    client = console(alice)
    client.post(LIST, {"action": "delete_selected", "_selected_action": [own.pk]})
    assert Job.objects.count() == 2
    for job in (own, foreign):
        client.post(LIST, {"action": "delete_selected", "_selected_action": [job.pk], "confirmed": "1"})
    assert [job.name for job in Job.objects.all()] == ["foreign"]


@pytest.mark.parametrize(
    ("expression", "zone", "key", "text"),
    [
        ("0 2 * * *", "", "description", "At 02:00"),
        ("0 2 * * *", "Europe/Berlin", "next_runs", "CE"),
        ("0 9 1-7 * 1", "", "warnings", "1#1"),
        ("@daily", "", "hint", "0 0 * * *"),
        ("0 2 * * *", "../etc/passwd", "error", "Unknown time zone"),
    ],
)
def test_preview_says_what_an_expression_means(console, charlie, expression, zone, key, text):
    answer = console(charlie).get(PREVIEW, {"expression": expression, "timezone": zone}).json()
    assert text in str(answer[key])


def test_name_and_output_are_shown_as_text(console, admin):
    job = make_job(name="<script>alert(1)</script>")
    row = make_execution(job, status=Status.FAILED, output="<img src=x onerror=alert(1)>", error_message="<b>no</b>")
    client = console(admin)
    execution = reverse("admin:jobs_jobexecution_change", args=[row.pk])
    for url in (LIST, page_of(job), reverse("admin:jobs_jobexecution_changelist"), execution, reverse("admin:index")):
        page = client.get(url).content.decode()
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page
        assert "<b>no" not in page


@pytest.mark.parametrize(
    ("term", "found"),
    [("refund", ["Refund sweep"]), (" Ref ", ["Refund sweep"]), ("und sw", ["Refund sweep"]), ("x", [])],
)
def test_executions_are_searched_by_a_part_of_the_name(console, admin, term, found):
    for name in ("Refund sweep", "Backup"):
        make_execution(make_job(name=name))
    listed = console(admin).get(EXECUTIONS, {"q": term}).context["cl"].result_list
    assert [row.job.name for row in listed] == found


def test_executions_of_many_jobs_are_found_in_the_order_of_time(console, admin, monkeypatch):
    monkeypatch.setattr("jobs.admin.executions.filters.LOOKED_UP", 1)
    rows = [make_execution(make_job(name=f"Refund {number}")) for number in range(2)]
    make_execution(make_job(name="Backup"))
    listed = console(admin).get(EXECUTIONS, {"q": "refund"}).context["cl"].result_list
    assert [row.pk for row in listed] == [row.pk for row in reversed(rows)]


def test_a_name_nobody_has_is_not_looked_for_in_the_history(console, admin):
    make_execution()
    client = console(admin)
    with CaptureQueriesContext(connection) as queries:
        client.get(EXECUTIONS, {"q": "nobody"})
    assert not [query for query in queries if "FROM " + connection.ops.quote_name("job_executions") in query["sql"]]


def test_the_history_offers_to_be_sorted_by_its_time_only(console, admin):
    make_execution()
    page = console(admin).get(EXECUTIONS).content.decode()
    # The number of the column "When".
    assert set(re.findall(r'href="\?o=-?(\d+)"', page)) == {"4"}


@pytest.mark.parametrize("model", ["jobs_jobexecution", "notifications_notification", "notifications_delivery"])
def test_no_filter_of_a_long_table_offers_to_count_it(console, admin, model):
    page = console(admin).get(reverse(f"admin:{model}_changelist"), {"_facets": "1"})
    assert page.status_code == 200
    assert not page.context["cl"].add_facets


def test_executions_cannot_be_changed_by_anybody(console, admin):
    row = make_execution(status=Status.FAILED)
    client = console(admin)
    assert client.get(reverse("admin:jobs_jobexecution_add")).status_code == 403
    url = reverse("admin:jobs_jobexecution_change", args=[row.pk])
    assert client.post(url, {"status": "success"}).status_code == 403
    assert client.post(reverse("admin:jobs_jobexecution_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    row.refresh_from_db()
    assert row.status == Status.FAILED


def test_first_page_says_that_nobody_schedules(console, charlie):
    page = console(charlie).get(reverse("admin:index"))
    assert "Start manage.py runscheduler" in page.content.decode()
    assert page.context["title"] == "Now"


def test_the_pages_say_in_which_zone_their_times_are(console, charlie):
    assert "Times in Asia/Tokyo" in console(charlie).get(LIST).content.decode()


def renew(client: Client, job: Job, **fields: Any) -> Any:
    return client.post(f"{page_of(job).removesuffix('change/')}renew_job/", {**CONFIRMED, **fields})


def test_the_renew_button_asks_for_days_and_a_reason_and_records_them(console, alice):
    job = make_job(created_by=alice)
    client = console(alice)
    asked = renew(client, job)
    assert "This field is required" in asked.content.decode()
    assert said(renew(client, job, days="90", reason="Still needed")) == [f"{job.name} renewed."]
    renewal = job.renewals.get()
    assert (str(renewal.new_end_date), renewal.reason, renewal.renewed_by) == ("2100-03-31", "Still needed", alice)


def test_a_renewal_beyond_the_categorys_limit_is_refused_in_words(console, admin):
    job = make_job(end_date=date(2099, 1, 1), category=make_category(name="Short", max_extension_days=30))
    (told,) = said(renew(console(admin), job, days="30", reason="x"))
    assert told.startswith(f"{job.name}: Jobs of the category Short may be extended until ")
    assert not job.renewals.exists()


def test_the_alert_settings_of_a_job_are_stored(console, admin):
    data = form_data(notify_after_failures="3", remind_every_hours="12", notify_on_recovery="true")
    console(admin).post(ADD, data)
    job = Job.objects.get()
    assert (job.notify_after_failures, job.remind_every_hours, job.notify_on_recovery) == (3, 12, True)


def test_a_wish_that_is_not_made_says_who_decides_then(console, admin):
    form = console(admin).get(ADD).context["adminform"].form
    assert form.fields["track_run"].widget.choices[0] == ("unknown", "As the server is set up")
    assert form.fields["notify_on_recovery"].widget.choices[0] == ("unknown", "As the category says")


def test_times_are_shown_to_the_second_and_an_execution_is_called_by_its_job(console, admin):
    execution = make_execution(
        make_job(name="Nightly backup"), started_at=datetime.fromisoformat("2026-11-21T02:00:05+09:00")
    )
    page = console(admin).get(reverse("admin:jobs_jobexecution_change", args=[execution.pk])).content.decode()
    assert "2026-11-21 02:00:05" in page
    assert "Nightly backup at " in page
    assert f"{execution.job_id} at" not in page


def test_what_was_sent_and_answered_breaks_its_lines_by_a_rule_that_exists(console, admin):
    execution = make_execution(output="x" * 600, request_snapshot={"url": "https://example.com/" + "x" * 600})
    page = console(admin).get(reverse("admin:jobs_jobexecution_change", args=[execution.pk])).content.decode()
    assert page.count('class="raw-text"') == 2
    assert ".raw-text {" in console_rules()


def console_rules() -> str:
    path = finders.find("cronsched/console.css")
    assert path
    return Path(path).read_text()


def test_a_long_target_is_cut_in_the_list_and_whole_in_its_title(console, admin):
    address = "https://example.com/" + "segment/" * 40
    make_job(target_url=address)
    page = console(admin).get(LIST).content.decode()
    assert f'<span class="one-line job-target" title="{address}">example.com/…/segment</span>' in page
    assert ".one-line {" in console_rules()


def test_what_nobody_edits_has_no_history_of_edits(console, admin):
    execution = make_execution()
    client = console(admin)
    history = reverse("admin:jobs_jobexecution_history", args=[execution.pk])
    page = client.get(reverse("admin:jobs_jobexecution_change", args=[execution.pk]))
    assert history not in page.content.decode()
    team = client.get(reverse("admin:taxonomy_picteam_change", args=[execution.job.pic_team_id]))
    assert reverse("admin:taxonomy_picteam_history", args=[execution.job.pic_team_id]) in team.content.decode()


def test_the_menu_of_rarer_actions_can_be_reached_by_keyboard(console, admin):
    page = console(admin).get(page_of(make_job()))
    (menu,) = [entry for entry in page.context["acts"] if "items" in entry]
    assert [item["title"] for item in menu["items"]] == ["New signing secret"]
    assert menu["attrs"]["tabindex"] == "0"


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"response_status": 200}, "200"),
        ({"response_status": 500, "error_message": "Webhook returned status 500"}, "Webhook returned status 500"),
        ({"response_status": 200, "error_message": "The answer lacks the text"}, "200 The answer lacks the text"),
        ({"reason": "It was too late."}, "It was too late."),
        ({}, "-"),
    ],
)
def test_the_list_tells_the_answer_once(console, admin, fields, answer):
    make_execution(**fields)
    page = console(admin).get(reverse("admin:jobs_jobexecution_changelist")).content.decode()
    (cell,) = re.findall(r'data-label="Answer">(.*?)</td>', page)
    assert re.sub("<[^>]*>", "", cell) == answer


@pytest.mark.parametrize("role", ["admin", "alice", "charlie"])
def test_every_page_in_the_menu_of_a_role_opens(console, request, role):
    client = console(request.getfixturevalue(role))
    menu = client.get(reverse("admin:index")).context["sidebar_navigation"]
    links = [str(item["link"]) for group in menu for item in group["items"] if item["has_permission"]]
    assert {link: client.get(link, follow=True).status_code for link in links} == dict.fromkeys(links, 200)
    assert (reverse("admin:notifications_slacksettings_changelist") in links) == (role == "admin")


def test_sign_in_page_opens_for_nobody(client):
    assert client.get(reverse("admin:login")).status_code == 200
