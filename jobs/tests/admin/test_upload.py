"""The page "Upload"."""

import csv
import io
from base64 import b64decode
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import make_user
from jobs.importing.csv_file import read_table
from jobs.models import Job
from jobs.tests.factories import make_job
from taxonomy.models import PicTeam
from taxonomy.tests.factories import make_team

pytestmark = pytest.mark.django_db

UPLOAD = reverse("admin:jobs_upload")
COLUMNS = ("Job Name", "Cron Expression", "Target URL", "End Date", "PIC Team")
FUTURE = (timezone.now() + timedelta(days=40)).date().isoformat()


def row(name, **cells):
    given = {"Job Name": name, "Cron Expression": "0 2 * * *", "Target URL": "https://example.com/", "PIC Team": "ops"}
    return {**given, "End Date": FUTURE, **{title.replace("_", " "): text for title, text in cells.items()}}


def file_of(*rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


@pytest.fixture
def upload(client):
    client.force_login(make_user(role="admin"))

    def send(content, **more):
        return client.post(UPLOAD, {"file": SimpleUploadedFile("jobs.csv", content), **more}).context

    return send


def rejected(context):
    _, _, data = context["rejected"].partition("base64,")
    return b64decode(data)


def test_a_check_changes_nothing_and_shows_all_faults_of_all_rows(upload):
    page = upload(file_of(row("a"), row("b", PIC_Team="PAM", Cron_Expression="x"), row("c", PIC_Team="PAM")))
    assert not Job.objects.exists()
    assert (page["good"], page["rows"]) == (1, 3)
    assert page["summary"][0] == 'unknown PIC team "PAM": 2 rows'
    assert [(number, name, len(texts)) for number, name, texts in page["left_out"]] == [(3, "b", 2), (4, "c", 1)]
    assert page["remedies"] == [("PAM", 2, "")]


def test_what_was_checked_is_taken_in(upload):
    content = file_of(row("a"), row("b", PIC_Team="PAM"))
    page = upload(content)
    done = upload(content, act="import", checked=page["checked"])
    assert not done["report"].dry_run
    assert [job.name for job in Job.objects.all()] == ["a"]
    # Now `a` exists, and it is no fault of the file: only what was left out is handed back.
    assert b"\r\nb," in rejected(done)
    assert b"\r\na," not in rejected(done)


@pytest.mark.parametrize("change", [{"update_existing": "on"}, {"end_date": FUTURE}, {"file": None}])
def test_what_was_not_checked_is_not_taken_in(upload, change):
    checked = upload(file_of(row("a")))["checked"]
    content = file_of(row("a"), row("other")) if "file" in change else file_of(row("a"))
    more = {name: text for name, text in change.items() if text}
    page = upload(content, act="import", checked=checked, **more)
    assert page["note"]
    assert not Job.objects.exists()


def test_unknown_teams_are_created_or_mean_another_as_it_is_chosen_for_each(upload):
    content = file_of(row("a", PIC_Team="PAM"), row("b", PIC_Team="Old = new"), row("c", PIC_Team="Third"))
    choices = {"team": ["PAM", "Old = new", "Third"], "team_to": ["+", "ops", ""]}
    page = upload(content, **choices)
    assert (page["good"], page["report"].created_teams) == (2, ["pam"])
    assert sorted(page["remedies"]) == [("Third", 1, ""), ("old = new", 0, "ops"), ("pam", 0, "+")]
    upload(content, act="import", checked=page["checked"], **choices)
    assert dict(Job.objects.values_list("name", "pic_team__slug")) == {"a": "pam", "b": "ops"}
    assert not PicTeam.objects.filter(slug="third").exists()


def test_a_past_end_date_is_mended_for_all_rows(upload):
    content = file_of(row("a", End_Date="2020-01-01"), row("b", End_Date=""))
    assert upload(content)["good"] == 0
    assert upload(content, end_date=FUTURE)["good"] == 2


def test_rejected_rows_can_be_mended_and_uploaded_again(upload):
    page = upload(file_of(row("a"), row("b", PIC_Team="PAM")))
    table = read_table(rejected(page))
    assert table.ignored_columns == ["Row in the file", "What is wrong"]
    assert [cells.cells["name"] for cells in table.rows] == ["b"]
    assert b"PIC team" in rejected(page)
    assert upload(rejected(page).replace(b"PAM", b"ops"))["good"] == 1


def test_the_template_is_taken_as_it_is(upload, client):
    answer = client.get(UPLOAD, {"template": ""})
    assert answer["Content-Disposition"] == 'attachment; filename="jobs-template.csv"'
    page = upload(answer.content)
    assert (page["good"], page["report"].errors, page["report"].ignored_columns) == (1, [], [])


@pytest.mark.parametrize("content", [b"", b"\x00", b"a,b\r\n1,2", b'Job Name\r\n"open'])
def test_what_is_no_such_file_is_said_in_words(upload, content):
    assert upload(content or b"\n")["error"]


def test_without_a_file_or_with_too_large_a_one_it_says_so(client, settings, upload):
    assert client.post(UPLOAD).context["error"].startswith("Choose a CSV file")
    settings.MAX_UPLOAD_BYTES = 10
    assert "at most 10 bytes" in upload(file_of(row("a")))["error"]


@pytest.mark.parametrize(
    "choice", [{"end_date": "2020-01-01"}, {"end_date": "x"}, {"weekdays": "x"}, {"default_owner": "a/b c"}]
)
def test_a_choice_that_cannot_be_meant_is_refused(upload, choice):
    assert upload(file_of(row("a")), **choice)["error"]


def test_a_user_changes_the_own_jobs_and_creates_no_team(client):
    user = make_user(role="user")
    make_job(name="mine", created_by=user)
    make_job(name="theirs", created_by=make_user())
    client.force_login(user)
    sent = {"file": SimpleUploadedFile("x.csv", file_of(row("mine"), row("theirs"))), "update_existing": "on"}
    page = client.post(UPLOAD, sent).context
    assert [name for _, name, _ in page["left_out"]] == ["theirs"]
    made = {"file": SimpleUploadedFile("x.csv", file_of(row("a"))), "team": "PAM", "team_to": "+"}
    assert "dmin" in client.post(UPLOAD, made).context["error"]


def test_a_viewer_has_no_such_page(client):
    client.force_login(make_user(role="viewer"))
    assert client.get(UPLOAD).status_code == 403
    assert UPLOAD not in client.get(reverse("admin:jobs_job_changelist")).content.decode()


def test_a_file_of_twelve_hundred_rows_costs_as_many_queries_as_one_of_two(upload, django_assert_max_num_queries):
    rows = [row(str(place), PIC_Team="PAM" if place % 30 == 0 else "ops") for place in range(1200)]
    with django_assert_max_num_queries(25):
        upload(file_of(*rows[:2]))
    with django_assert_max_num_queries(25):
        page = upload(file_of(*rows))
    assert page["good"] == 1160
