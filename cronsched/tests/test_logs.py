"""What the lines of the log say and leave away."""

import logging

from django.test import override_settings

from cronsched.logs import Line


def test_times_are_in_utc_and_say_so():
    (line,) = [handler.formatter for handler in logging.getLogger().handlers if isinstance(handler.formatter, Line)]
    record = logging.makeLogRecord({"created": 1_795_870_796.83, "msecs": 830.0, "name": "jobs", "msg": "Fired"})
    assert line.format(record) == "2026-11-28T12:59:56.830Z Level None jobs: Fired"


def test_a_request_to_another_hosts_name_is_one_line(client, caplog):
    with override_settings(ALLOWED_HOSTS=["cron.example.com"]):
        client.get("/healthz", headers={"Host": "evil.example.com"})
    (record,) = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "'evil.example.com'" in record.getMessage()
