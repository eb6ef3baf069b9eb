"""POST /jobs/bulk-upload. The rules of rows are in `jobs/tests/importing/test_rows.py`."""

from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.tests.factories import api_client
from jobs.models import Job, JobPause
from jobs.tests.factories import make_job
from taxonomy.tests.factories import make_team

UPLOAD = "/api/v2/jobs/bulk-upload"
HEADER = "Job Name,Cron,URL,Repo,Workflow Name,End Date,PIC Team\n"
GOOD = "A,0 2 * * *,https://hooks.example.com/,,,2099-12-31,ops\n"
BAD = "B,nonsense,https://hooks.example.com/,,,2099-12-31,ops\n"
WORKFLOW = "C,0 2 * * *,,tool,deploy,2099-12-31,ops\n"
KEYS = {
    "message",
    "dry_run",
    "stats",
    "created_count",
    "error_count",
    "created",
    "updated",
    "failed",
    "changed",
    "summary",
    "ignored_columns",
    "undecodable_bytes",
    "created_teams",
    "warnings",
    "errors",
    "jobs",
}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


@pytest.fixture
def client(alice):
    return api_client(alice)


def upload(client, text, **fields):
    file = SimpleUploadedFile("jobs-normalized.bin", text.encode(), content_type="image/png")
    return client.post(UPLOAD, {"file": file, **fields}, format="multipart")


def test_good_rows_become_jobs_of_the_caller(client, alice):
    response = upload(client, HEADER + GOOD + BAD)
    body = response.json()
    assert response.status_code == 200
    assert set(body) == KEYS
    assert (body["created_count"], body["error_count"], body["errors"][0]["row"]) == (1, 1, 3)
    assert Job.objects.get().created_by == alice


def test_only_bad_rows_are_a_400_with_the_whole_report(client):
    response = upload(client, HEADER + BAD)
    body = response.json()
    assert response.status_code == 400
    assert set(body) == KEYS | {"error"}
    assert (body["error"], body["failed"], body["errors"][0]["job_name"]) == ("Bulk upload failed", 1, "B")


def test_a_file_without_rows_is_a_200(client):
    assert upload(client, HEADER).status_code == 200


@pytest.mark.parametrize("word", ["1", "TRUE", " yes ", "y", "on"])
def test_words_for_a_dry_run(client, word):
    response = upload(client, HEADER + GOOD, dry_run=word)
    assert (response.status_code, response.json()["dry_run"]) == (200, True)
    assert not Job.objects.exists()


@pytest.mark.parametrize("word", ["", "0", "false", "t", "2"])
def test_other_words_are_no_dry_run(client, word):
    assert upload(client, HEADER + GOOD, dry_run=word).json()["dry_run"] is False


def test_existing_jobs_are_changed_on_request(client, alice):
    make_job(name="A", created_by=alice)
    assert upload(client, HEADER + GOOD).status_code == 400
    body = upload(client, HEADER + GOOD, update_existing="yes").json()
    assert (body["created"], body["updated"]) == (0, 1)


def test_the_owner_of_workflows_can_be_given(client):
    assert upload(client, HEADER + WORKFLOW).json()["errors"][0]["error"] == "Missing GitHub owner"
    upload(client, HEADER + WORKFLOW, default_github_owner=" acme ")
    assert Job.objects.get().github_owner == "acme"


def test_an_unusable_owner_is_refused(client):
    response = upload(client, HEADER + WORKFLOW, default_github_owner="o" * 256)
    assert (response.status_code, response.json()["error"]) == (400, "Invalid default_github_owner")


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.post(UPLOAD, {}, format="multipart"),
        lambda client: client.post(UPLOAD, {"other": "x"}, format="multipart"),
        lambda client: client.post(UPLOAD, {"file": "x"}),
        lambda client: client.post(UPLOAD, b"name,cron\n", content_type="text/csv"),
        lambda client: client.post(UPLOAD, b"", content_type=""),
        lambda client: client.post(UPLOAD, b"", content_type="multipart/form-data; boundary=x"),
    ],
    ids=["no parts", "other part", "json", "raw csv", "nothing", "empty multipart"],
)
def test_without_a_file_the_caller_is_told_how_to_send_one(client, send):
    response = send(client)
    assert response.status_code == 400
    assert response.json() == {"error": "Missing file", "message": 'Upload a CSV file using form field "file".'}


@pytest.mark.parametrize("disposition", ['name="file"; filename=""', 'name="file"'])
def test_a_file_without_a_name_is_none(client, disposition):
    body = f"--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{HEADER}\r\n--x--\r\n"
    response = client.post(UPLOAD, body.encode(), content_type="multipart/form-data; boundary=x")
    assert response.status_code == 400
    assert response.json() == {"error": "Missing file", "message": "No file selected."}


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\u00fc",
        "Multipart/Form-Data; boundary=a b",
    ],
)
def test_a_form_that_cannot_be_read_is_refused(client, content_type):
    response = client.post(UPLOAD, b"--x\r\nnonsense", content_type=content_type)
    assert response.status_code == 400
    assert response.json()["error"] in {"Bad request", "Missing file"}


def test_a_form_with_countless_fields_is_refused(client):
    part = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    response = client.post(UPLOAD, (part * 1100 + "--x--\r\n").encode(), content_type="multipart/form-data; boundary=x")
    assert (response.status_code, response.json()["error"]) == (400, "Bad request")


def test_a_file_that_cannot_be_read_is_refused(client):
    response = upload(client, "name;cron\n")
    assert (response.status_code, response.json()["error"]) == (400, "Invalid CSV")


def test_a_file_that_is_too_large_is_refused(client, settings):
    settings.MAX_UPLOAD_BYTES = 2000
    response = upload(client, HEADER + GOOD * 100)
    assert (response.status_code, response.json()["error"]) == (413, "Payload too large")


def test_a_body_that_says_it_is_too_large_is_refused_unread(client):
    class Unread(BytesIO):
        def read(self, *args):
            raise AssertionError("the body was read")

    response = client.post(
        UPLOAD,
        b"",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=50 * 1024 * 1024,
        **{"wsgi.input": Unread()},
    )
    assert (response.status_code, response.json()["error"]) == (413, "Payload too large")


def test_both_prefixes_and_slash_forms_take_files(client):
    for number, path in enumerate(["/api/jobs/bulk-upload", "/api/v2/jobs/bulk-upload/"]):
        file = SimpleUploadedFile("jobs.csv", (HEADER + GOOD.replace("A,", f"A{number},")).encode())
        assert client.post(path, {"file": file}, format="multipart").status_code == 200


def test_viewers_are_refused_before_the_file_is_read(charlie):
    assert upload(api_client(charlie), HEADER + GOOD).status_code == 403


def test_without_a_token_nothing_is_uploaded(db):
    assert upload(api_client(), HEADER + GOOD).status_code == 401


def test_all_faults_of_all_rows_come_at_once(client):
    rows = "A,x,ftp://host,2020-01-01,PAM\nB,0 2 * * *,https://hooks.example.com/,2099-12-31,PAM\n"
    body = upload(client, "Job Name,Cron,URL,End Date,PIC Team\n" + rows).json()
    assert [fault["field"] for fault in body["errors"][0]["faults"]] == [
        "end_date",
        "pic_team",
        "cron_expression",
        "target_url",
    ]
    assert body["summary"][0] == 'unknown PIC team "PAM": 2 rows'
    assert 'end date in the past "2020-01-01": 1 row' in body["summary"]


def test_columns_nobody_read_are_named(client):
    body = upload(client, "TZ,Retry Count," + HEADER + "Asia/Tokyo,3," + GOOD).json()
    assert body["ignored_columns"] == ["TZ", "Retry Count"]


def test_options_hold_for_the_whole_file(client, admin):
    rows = HEADER + GOOD.replace("2099-12-31", "").replace("ops", "PAM")
    assert upload(client, rows).status_code == 400
    body = upload(client, rows, end_date="2098-12-31", map_team="PAM=ops").json()
    assert body["created"] == 1
    assert str(Job.objects.get().end_date) == "2098-12-31"


def test_teams_are_created_for_admins_only(client, admin):
    rows = HEADER + GOOD.replace("ops", "Payments & Money")
    response = upload(client, rows, create_teams="true")
    assert response.status_code == 403
    assert response.json()["message"] == "Admin access required"
    body = upload(api_client(admin), rows, create_teams="true").json()
    assert body["created_teams"] == ["payments-money"]
    assert Job.objects.get().pic_team.slack_handle == "@payments-money"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"end_date": "soon"}, "Invalid end_date"),
        ({"end_date": "2020-01-01"}, "Invalid end_date"),
        ({"map_team": "PAM"}, "Invalid map_team"),
        ({"map_team": "PAM="}, "Invalid map_team"),
        ({"weekdays": "monday"}, "Invalid weekdays"),
    ],
)
def test_an_option_that_means_nothing_is_refused(client, fields, error):
    response = upload(client, HEADER + GOOD, **fields)
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert not Job.objects.exists()


def test_weekdays_of_the_older_service_keep_their_fire_times(client):
    rows = GOOD.replace("0 2 * * *", "0 9 * * 0") + GOOD.replace("0 2 * * *", "0 9 13 * 4").replace("A,", "B,", 1)
    body = upload(client, HEADER + rows, weekdays="as-fired").json()
    assert body["created"] == 2
    job, paused = Job.objects.order_by("name")
    assert (job.cron_expression, job.is_active) == ("0 9 * * MON", True)
    assert (paused.cron_expression, paused.is_active) == ("0 9 13 * FRI", False)
    assert JobPause.objects.get().reason.startswith("In the older service")
    (doubt,) = body["warnings"]
    assert doubt["row"] == 3
    assert doubt["warnings"][0].startswith("In the older service day of month and weekday both had to match")
