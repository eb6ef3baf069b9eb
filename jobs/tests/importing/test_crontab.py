"""What the lines of a crontab become, and why some become nothing."""

import pytest

from audit.models import AuditEntry
from jobs.definitions.request_options import Secrets
from jobs.importing.crontab import read_crontab
from jobs.models import Job, JobPause
from jobs.tests.importing.legacy.conftest import run
from taxonomy.tests.factories import make_team

CRONTAB = """\
# m h dom mon dow command
SHELL=/bin/sh
BASE=https://hooks.example.com

# Nightly backup
0 2 * * * curl -fsS -H "X-Team: ops" -H "Authorization: Bearer s3cret" -d '{"env": "prod"}' $BASE/backup >/dev/null 2>&1
@daily wget -q -O /dev/null --timeout=60 --tries=3 https://hooks.example.com/daily
CRON_TZ=Europe/Berlin
30 9 * * MON-FRI /usr/bin/curl -sm 20 --retry 2 -u me:pw 'https://hooks.example.com/week?a=1&b=2' || true
0 3 * * * curl -s --data 'a=1' -d b=2 hooks.example.com/form
"""
OPTIONS = ("--default-team", "ops", "--default-end-date", "2099-12-31")


def lines(text, **options):
    return list(read_crontab(text, **options))


@pytest.fixture
def crontab(tmp_path, db):
    make_team(name="Ops")

    def written(text):
        path = tmp_path / "crontab"
        path.write_text(text)
        return path

    return written


@pytest.mark.django_db
def test_curl_and_wget_lines_become_jobs(crontab):
    ran = run("import_crontab", crontab(CRONTAB), *OPTIONS, "--activate", "--json")
    assert ran.code == 0, ran.out
    assert ran.table("crontab") == (4, 4, 0, 0)
    jobs = {job.target_url.rpartition("/")[2]: job for job in Job.objects.all()}
    backup, daily, week, form = (jobs[name] for name in ("backup", "daily", "week?a=1&b=2", "form"))
    assert (backup.name, backup.cron_expression, backup.timezone) == ("Nightly backup", "0 2 * * *", None)
    assert (backup.metadata, backup.timeout_seconds) == ({"env": "prod"}, 300)
    assert backup.request_options["webhook_headers"] == {"X-Team": "ops"}
    assert Secrets.decrypted(backup.encrypted_secrets).headers == {"Authorization": "Bearer s3cret"}
    assert (daily.cron_expression, daily.timeout_seconds, daily.max_attempts) == ("0 0 * * *", 60, 3)
    assert (week.cron_expression, week.timezone, week.timeout_seconds, week.max_attempts) == (
        "30 9 * * MON-FRI",
        "Europe/Berlin",
        20,
        3,
    )
    assert Secrets.decrypted(week.encrypted_secrets).headers == {"Authorization": "Basic bWU6cHc="}
    assert form.target_url == "http://hooks.example.com/form"
    assert form.request_options["webhook_body"] == "a=1&b=2"
    assert form.request_options["webhook_headers"] == {"Content-Type": "application/x-www-form-urlencoded"}
    assert all(job.is_active and job.next_fire_at for job in jobs.values())
    assert set(AuditEntry.objects.values_list("actor_name", "action")) == {("import_crontab", "job.created")}
    assert "s3cret" not in ran.out


@pytest.mark.django_db
def test_jobs_come_in_paused_and_once(crontab):
    path = crontab(CRONTAB)
    assert run("import_crontab", path, *OPTIONS, "--dry-run").code == 0
    assert not Job.objects.exists()
    assert run("import_crontab", path, *OPTIONS).code == 0
    assert (Job.objects.active().count(), JobPause.objects.filter(ended_at=None).count()) == (0, 4)
    Job.objects.filter(name="Nightly backup").update(cron_expression="5 5 * * *")
    ran = run("import_crontab", path, *OPTIONS, "--json")
    assert ran.table("crontab") == (4, 0, 4, 0)
    assert Job.objects.get(name="Nightly backup").cron_expression == "5 5 * * *"


@pytest.mark.parametrize(
    "command, reason",
    [
        ("/usr/local/bin/backup.sh", "The command is backup.sh, not curl or wget."),
        ("curl https://a.example.com/ | jq .", "It needs a shell for '|'."),
        ("curl https://a.example.com/ && touch flag", "It needs a shell for '&&'."),
        ("curl https://a.example.com/ >> /var/log/x.log", "It needs a shell for '>>'."),
        ("curl https://a.example.com/$(date +\\%F)", "It runs another command to put this one together."),
        ("curl https://a.example.com/?t=$TOKEN", "It needs the variable TOKEN, which the crontab does not set."),
        ("curl https://a.example.com/ -d @body.json", "Its body stands in the file body.json."),
        ("curl -L https://a.example.com/", "The option -L has no counterpart here."),
        ("curl -k https://a.example.com/", "The option -k has no counterpart here."),
        ("curl -o /srv/page.html https://a.example.com/", "It writes what comes back into /srv/page.html."),
        ("curl https://a.example.com/ https://b.example.com/", "It calls more than one address."),
        ("curl -s", "It calls no address."),
        ("curl https://a.example.com/%body", "A % begins the command's input, which a job does not have."),
        ("curl 'https://a.example.com/", "The command cannot be read: No closing quotation."),
        ("curl -m soon https://a.example.com/", "The time 'soon' is no number of seconds."),
    ],
)
def test_a_command_that_cannot_become_a_job_says_why(command, reason):
    (line,) = lines(f"0 2 * * * {command}\n")
    assert (line.problem, line.call) == (reason, None)


@pytest.mark.parametrize(
    "text, reason",
    [("@reboot curl https://a.example.com/", "@reboot is no time of day."), ("0 2 * * *", "There is no command")],
)
def test_a_line_without_a_time_or_a_command(text, reason):
    (line,) = lines(text)
    assert line.problem.startswith(reason)


def test_names_quotes_and_percents_are_read_as_cron_does():
    text = "A='one two'\n0 2 * * * root curl 'https://a.example.com/$A' -H \"X: $A\" -d '100\\%'\n"
    (line,) = lines(text, has_users=True)
    assert (line.call.url, line.call.headers["X"], line.call.body) == ("https://a.example.com/$A", "one two", "100%")


@pytest.mark.django_db
def test_what_the_rules_of_jobs_refuse_is_listed_and_the_rest_comes_in(crontab):
    path = crontab("61 2 * * * curl https://a.example.com/\n0 2 * * * curl https://b.example.com/\n")
    ran = run("import_crontab", path, *OPTIONS)
    assert (ran.code, ran.complaint) == (1, "Lines left out: 1.")
    assert "line 1" in ran.out
    assert Job.objects.get().target_url == "https://b.example.com/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content, options, told",
    [
        (b"\x00\x01", OPTIONS, "is no crontab."),
        (b"\xff\xfe", OPTIONS, "is no text in UTF-8."),
        (b"", (*OPTIONS[:3], "2020-01-01"), "--default-end-date must be today or in the future."),
        (b"", (*OPTIONS[:3], "soon"), "--default-end-date must be YYYY-MM-DD."),
    ],
)
def test_a_file_or_an_option_that_cannot_be_used(tmp_path, content, options, told):
    (tmp_path / "crontab").write_bytes(content)
    ran = run("import_crontab", tmp_path / "crontab", *options)
    assert (ran.code, ran.complaint.endswith(told)) == (2, True)
