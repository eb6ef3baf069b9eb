"""What the lines of the log say and leave away."""

import logging
import sys

import pytest
from django.test import override_settings

from cronsched.logs import Line, RefusalsInOneLine


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
