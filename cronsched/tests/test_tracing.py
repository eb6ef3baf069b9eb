"""Trace ids that follow from the execution; spans and error reports only where their packages are."""

import gzip
import json
import os
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest

from cronsched import error_reports
from cronsched.checks import check_error_reports
from cronsched.lib import traces
from cronsched.tests.processes import ROOT

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


SPANS = """
import json, sys
from uuid import UUID
from cronsched import tracing

attributes, id = {"http.response.status_code": 500, "url.full": None}, UUID("%s")
assert not tracing.is_on()
assert "opentelemetry" not in sys.modules
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracing.begin("execution webhook", id, 2)(attributes, "500")
print(json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()]))
"""


def run(code: str, **environment: str) -> str:
    """Run `code` in a process of its own: what is set up there stays for the whole process."""
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    settings = {**os.environ, "DEBUG": "true", "SECRET_KEY": "x" * 40, **environment}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_span_lies_under_the_id_that_the_target_was_told():
    (span,) = json.loads(run(SPANS % EXECUTION))
    header = f"00-{span['context']['trace_id'][2:]}-{span['parent_id'][2:]}-01"
    assert header == traces.traceparent(EXECUTION, 2)
    assert (span["name"], span["kind"]) == ("execution webhook", "SpanKind.CLIENT")
    assert span["attributes"] == {"http.response.status_code": 500}
    assert span["status"] == {"status_code": "ERROR", "description": "500"}


# --- Reports of errors -----------------------------------------------------------------------------------------------


def test_an_address_without_the_package_is_an_error_of_the_checks(settings, monkeypatch):
    settings.SENTRY_DSN = "https://key@sentry.example.com/1"
    monkeypatch.setattr(error_reports, "is_installed", lambda: False)
    (message,) = check_error_reports()
    assert (message.id, "pip install sentry-sdk" in message.hint) == ("cronsched.E008", True)
    settings.SENTRY_DSN = ""
    assert check_error_reports() == []


BREAKS = """
import logging, sys, types
import sentry_sdk
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

def view(request):
    secret = "SECRET"
    raise RuntimeError("it broke")

module = sys.modules["breaking_urls"] = types.ModuleType("breaking_urls")
module.urlpatterns = [path("api/v2/breaks", csrf_exempt(view))]
module.handler500 = "cronsched.console.error_pages.server_error"
settings.ROOT_URLCONF = "breaking_urls"
headers = {"Authorization": "Bearer SECRET", "Host": "localhost", "Cookie": "sessionid=SECRET"}
sent = {"data": {"secret": "SECRET"}, "content_type": "application/json", "headers": headers}
environ = RequestFactory().post("/api/v2/breaks?token=SECRET", **sent).environ
statuses = []
answer = b"".join(get_wsgi_application()(environ, lambda status, headers, problem=None: statuses.append(status)))
assert statuses == ["500 Internal Server Error"], statuses
sentry_sdk.flush(30)
"""


def test_a_real_report_arrives_and_holds_no_secret(httpserver):
    httpserver.expect_request("/api/1/envelope/", method="POST").respond_with_json({})
    run(BREAKS, SENTRY_DSN=f"http://key@{httpserver.host}:{httpserver.port}/1")
    texts = [_unpacked(request) for request, _ in httpserver.log]
    assert not [text for text in texts if "SECRET" in text]
    (event,) = [
        json.loads(line) for text in texts for line in text.splitlines() if '"exception"' in line and "it broke" in line
    ]
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "it broke")
    assert event["request"] == {"method": "POST", "url": "http://localhost/api/v2/breaks"}
    assert error["stacktrace"]["frames"][-1]["function"] == "view"


def _unpacked(request: Any) -> str:
    raw = request.get_data()
    return (gzip.decompress(raw) if request.headers.get("Content-Encoding") == "gzip" else raw).decode()


def test_without_an_address_nothing_is_imported():
    run("import sys; assert 'sentry_sdk' not in sys.modules")


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
