"""Trace ids that follow from the execution; spans and error reports only where their packages are."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from cronsched import error_reports, tracing
from cronsched.checks import check_error_reports
from cronsched.lib import traces

EXECUTION = UUID("0190a6b2-1c3d-7e4f-8a5b-6c7d8e9f0a1b")


def test_the_header_follows_from_the_execution():
    first, again, second = (traces.traceparent(EXECUTION, attempt) for attempt in (1, 1, 2))
    assert first == again
    version, trace, span, flags = first.split("-")
    assert (version, trace, flags) == ("00", EXECUTION.hex, "01")
    assert len(span) == 16
    assert int(span, 16)
    assert second.split("-")[1] == trace
    assert second.split("-")[2] != span


def test_without_the_package_a_span_is_nothing(monkeypatch):
    monkeypatch.setattr(tracing, "is_installed", lambda: False)
    tracing.begin("execution webhook", EXECUTION, 1)({"cronsched.attempt": 1}, "")
    assert "opentelemetry" not in sys.modules


class Recorder:
    """What the API of OpenTelemetry is asked for, as far as it is used."""

    def __init__(self) -> None:
        self.attributes: dict[str, object] = {}
        self.status: tuple[object, ...] = ()
        self.ended = False
        self.started: dict[str, Any] = {}
        self.trace = SimpleNamespace(
            SpanContext=lambda trace_id, span_id, **more: SimpleNamespace(trace_id=trace_id, span_id=span_id, **more),
            TraceFlags=type("TraceFlags", (int,), {"SAMPLED": 1}),
            NonRecordingSpan=lambda context: context,
            set_span_in_context=lambda span: {"span": span},
            SpanKind=SimpleNamespace(CLIENT="client"),
            StatusCode=SimpleNamespace(ERROR="error"),
            get_tracer=lambda name: self,
        )

    def start_span(self, name, **more):
        self.started = {"name": name, **more}
        return self

    def set_attributes(self, attributes):
        self.attributes = attributes

    def set_status(self, *status):
        self.status = status

    def end(self):
        self.ended = True


def test_with_it_a_span_lies_under_the_id_that_the_target_was_told(monkeypatch):
    recorder, package = Recorder(), ModuleType("opentelemetry")
    vars(package)["trace"] = recorder.trace
    monkeypatch.setitem(sys.modules, "opentelemetry", package)
    monkeypatch.setattr(tracing, "is_installed", lambda: True)
    tracing.begin("execution webhook", EXECUTION, 2)({"http.response.status_code": 500, "url.full": None}, "500")
    parent = recorder.started["context"]["span"]
    header = f"00-{parent.trace_id:032x}-{parent.span_id:016x}-01"
    assert header == traces.traceparent(EXECUTION, 2)
    assert recorder.attributes == {"http.response.status_code": 500}
    assert (recorder.status, recorder.ended) == (("error", "500"), True)


# --- Reports of errors -----------------------------------------------------------------------------------------------


def test_an_address_without_the_package_is_an_error_of_the_checks(settings, monkeypatch):
    settings.SENTRY_DSN = "https://key@sentry.example.com/1"
    monkeypatch.setattr(error_reports, "is_installed", lambda: False)
    (message,) = check_error_reports()
    assert (message.id, "pip install sentry-sdk" in message.hint) == ("cronsched.E008", True)
    settings.SENTRY_DSN = ""
    assert check_error_reports() == []


def test_reports_begin_where_there_is_an_address(settings, monkeypatch):
    asked: list[dict[str, object]] = []
    package = ModuleType("sentry_sdk")
    vars(package)["init"] = lambda **options: asked.append(options)
    monkeypatch.setitem(sys.modules, "sentry_sdk", package)
    monkeypatch.setattr(error_reports, "is_installed", lambda: True)
    error_reports.start()
    settings.SENTRY_DSN = "https://key@sentry.example.com/1"
    error_reports.start()
    (options,) = asked
    assert (options["send_default_pii"], options["include_local_variables"]) == (False, False)


@pytest.mark.parametrize("place", ["exception", "threads"])
def test_a_report_leaves_without_what_could_be_a_secret(place):
    event = {
        "request": {
            "method": "POST",
            "url": "https://cron.example.com/api/v2/jobs?token=SECRET",
            "headers": {"Authorization": "Bearer SECRET"},
            "cookies": {"sessionid": "SECRET"},
            "data": "SECRET",
            "query_string": "SECRET",
        },
        "breadcrumbs": {"values": [{"message": "SECRET"}]},
        "user": {"ip_address": "SECRET"},
        "extra": {"sys.argv": "SECRET"},
        place: {"values": [{"type": "ValueError", "stacktrace": {"frames": [{"vars": {"x": "SECRET"}, "lineno": 7}]}}]},
    }
    sent = error_reports.scrubbed(event, {})
    assert "SECRET" not in str(sent)
    assert sent["request"] == {"method": "POST", "url": "https://cron.example.com/api/v2/jobs"}
    assert sent[place]["values"][0]["stacktrace"]["frames"] == [{"lineno": 7}]


def test_a_report_of_something_else_than_a_request_goes_through():
    assert error_reports.scrubbed({"message": "x"}, {}) == {"message": "x", "request": {}}
