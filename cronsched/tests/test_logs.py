"""What the lines of the log say and leave away."""

import json
import logging
import os
import subprocess
import sys
from uuid import uuid4

import pytest
from django.test import override_settings

from cronsched.lib import log_context, request_ids
from cronsched.logs import JSONLine, Line, RefusalsInOneLine
from cronsched.tests.processes import ROOT


def test_times_are_in_utc_and_say_so():
    (line,) = [handler.formatter for handler in logging.getLogger().handlers if isinstance(handler.formatter, Line)]
    record = logging.makeLogRecord({"created": 1_795_870_796.83, "msecs": 830.0, "name": "jobs", "msg": "Fired"})
    assert line.format(record) == "2026-11-28T12:59:56.830Z Level None jobs: Fired"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Fired a\n2026-11-30T00:00:00.000Z INFO jobs: forged", r"Fired a\n2026-11-30T00:00:00.000Z INFO jobs: forged"),
        ("a\r\tb\x1b[31m", r"a\r\tb\x1b[31m"),
        ("a\u2028b", r"a\u2028b"),
        ("größe", "größe"),
    ],
)
def test_nobody_forges_a_line_by_a_name(said, shown):
    assert Line("{message}", style="{").format(logging.makeLogRecord({"msg": said})) == shown


def test_a_traceback_keeps_its_lines():
    try:
        raise ValueError("wrong")
    except ValueError:
        record = logging.makeLogRecord({"msg": "Failed", "exc_info": sys.exc_info()})
    lines = Line("{message}", style="{").format(record).splitlines()
    assert (lines[0], lines[-1]) == ("Failed", "ValueError: wrong")


def test_a_request_to_another_hosts_name_is_one_line(client, caplog):
    with override_settings(ALLOWED_HOSTS=["cron.example.com"]):
        client.get("/healthz", headers={"Host": "evil.example.com"})
    (record,) = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "'evil.example.com'" in record.getMessage()


def test_what_the_console_does_not_allow_is_one_line(client, charlie, caplog):
    client.force_login(charlie)
    assert client.get("/admin/jobs/job/add/").status_code == 403
    (record,) = [record for record in caplog.records if record.name == "django.request"]
    assert (record.levelname, record.exc_info) == ("WARNING", None)


def test_what_goes_wrong_on_our_side_keeps_its_traceback():
    record = logging.makeLogRecord({"name": "django.request", "exc_info": (ValueError, ValueError(), None)})
    record.__dict__["status_code"] = 500
    assert RefusalsInOneLine().filter(record)
    assert record.exc_info


# --- JSON ------------------------------------------------------------------------------------------------------------


def json_line(**fields):
    line = JSONLine().format(logging.makeLogRecord({"levelname": "INFO", "name": "jobs", "msg": "Fired", **fields}))
    assert "\n" not in line
    assert line.isascii()
    return json.loads(line)


def test_a_json_line_says_what_it_is_about():
    execution_id = uuid4()
    with request_ids.answering("abc"), log_context.handling(execution_id):
        found = json_line(created=1_795_870_796.83, msg="Fired %s", args=("größe",))
    assert found == {
        "time": "2026-11-28T12:59:56.830Z",
        "level": "INFO",
        "logger": "jobs",
        "message": "Fired größe",
        "request_id": "abc",
        "execution_id": str(execution_id),
    }
    assert "execution_id" not in json_line()


def test_a_json_line_names_the_process_that_sends(monkeypatch):
    monkeypatch.setattr(log_context, "_sender", "")
    log_context.set_sender("token")
    assert json_line()["sender"] == "token"


def test_a_json_line_holds_a_traceback_and_no_line_break():
    try:
        raise ValueError("wrong")
    except ValueError:
        found = json_line(exc_info=sys.exc_info(), msg="a\nb\u2028c\x1b[31m")
    assert found["exc_info"].splitlines()[-1] == "ValueError: wrong"
    assert found["message"] == "a\nb\u2028c\x1b[31m"


def test_a_json_line_leaves_away_what_is_no_plain_value(rf):
    found = json_line(request=rf.get("/"), status_code=500)
    assert (found["status_code"], "request" in found) == (500, False)


@pytest.mark.parametrize(("chosen", "kind"), [("json", JSONLine), ("console", Line)])
def test_the_format_is_a_setting(chosen, kind):
    code = "import cronsched.settings as s; print(s.LOGGING['handlers']['console']['formatter'])"
    environment = {**os.environ, "LOG_FORMAT": chosen, "ENV_FILE": os.devnull}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == {JSONLine: "json", Line: "line"}[kind]
