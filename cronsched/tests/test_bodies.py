"""Bodies that cannot be read: refused by every endpoint alike, quickly, and without a trace in the database."""

import gzip
import time

import pytest
from django.apps import apps
from django.test import override_settings

from cronsched.tests.test_roles import ADMIN, TABLE, World

# These two answer everything that is wrong with a body by 422 (contract, section 1).
SCHEMA_ERRORS = {"auth/login", "auth/register"}
# A body they do not use is ignored, whatever it holds.
IGNORING = {"auth/refresh", "notifications/read-all", "notifications/{notification_id}/read", "auth/logout"}
# An empty body of any type says what `{}` says.
EMPTY_IS_ENOUGH = {
    "jobs/{job_id}/execute",
    "jobs/{job_id}/pause",
    "jobs/{job_id}/resume",
    "jobs/{job_id}/revisions/{number}/restore",
    "jobs/{job_id}/signing-secret",
}
# Its signature is judged first; what holds for a signed body stands in the tests of the endpoint itself.
SIGNED = {"github/webhook"}
READING = [
    row
    for row in TABLE
    if row.method in ("POST", "PUT") and row.form == "json" and row.body is not None
    if row.path not in IGNORING | SIGNED
]
JSON = "application/json"

WRONG_TYPE = "Content-Type must be application/json"
NO_JSON = "Invalid JSON"
NO_OBJECT = "Invalid payload"

BODIES = {
    "no content type": (b"{}", "", WRONG_TYPE),
    "a form": (b"name=a", "application/x-www-form-urlencoded", WRONG_TYPE),
    "text": (b"{}", "text/plain", WRONG_TYPE),
    "nothing": (b"", JSON, NO_JSON),
    "half an object": (b'{"name": ', JSON, NO_JSON),
    "two objects": (b"{}{}", JSON, NO_JSON),
    "other quotes": (b"{'name': 1}", JSON, NO_JSON),
    "a comma too many": (b'{"name": 1,}', JSON, NO_JSON),
    "Latin-1": ('{"name": "Über"}'.encode("latin-1"), JSON, NO_JSON),
    "gzip": (gzip.compress(b"{}"), JSON, NO_JSON),
    "UTF-16": ('{"name": "a"}'.encode("utf-16"), JSON, NO_JSON),
    "the same key twice": (b'{"name": "a", "name": "b"}', JSON, NO_JSON),
    "NaN": (b'{"name": NaN}', JSON, NO_JSON),
    "Infinity": (b'{"name": -Infinity}', JSON, NO_JSON),
    "a number beyond all numbers": (b'{"name": 1e999}', JSON, NO_JSON),
    "a number of many digits": (b'{"name": ' + b"9" * 100_000 + b"}", JSON, NO_JSON),
    "brackets without end": (b"[" * 200_000, JSON, NO_JSON),
    "a list": (b"[]", JSON, NO_OBJECT),
    "a text": (b'"a"', JSON, NO_OBJECT),
    "a number": (b"1", JSON, NO_OBJECT),
    "null": (b"null", JSON, NO_OBJECT),
    "NUL in a text": (b'{"name": "a\\u0000"}', JSON, NO_OBJECT),
    "NUL in a key": (b'{"a\\u0000": 1}', JSON, NO_OBJECT),
    "half a character": (b'{"name": "\\ud800"}', JSON, NO_OBJECT),
    "a deep object": (b'{"a":' * 500 + b"1" + b"}" * 500, JSON, NO_OBJECT),
}
SECONDS = 1.0


def rows_of_everything():
    """Return how many rows each table of ours has."""
    ours = ("accounts", "taxonomy", "jobs", "notifications")
    return {model: model._default_manager.count() for app in ours for model in apps.get_app_config(app).get_models()}


def send(world, row, raw, content_type):
    path = "/api/v2/" + row.path.format_map({name: str(value) for name, value in world.names.items()})
    return world.clients[ADMIN].generic(row.method, path, raw, content_type=content_type)


@pytest.mark.parametrize("row", READING, ids=str)
@pytest.mark.django_db
def test_a_body_that_cannot_be_read_is_refused(row):
    world = World()
    before = rows_of_everything()
    for name, (raw, content_type, error) in BODIES.items():
        if row.path in EMPTY_IS_ENOUGH and not raw:
            continue
        # The processor's time: a busy machine is no fault of the parser.
        start = time.thread_time()
        response = send(world, row, raw, content_type)
        assert time.thread_time() - start < SECONDS, name
        if row.path in SCHEMA_ERRORS:
            assert (response.status_code, response.json()["error"]) == (422, "Validation error"), name
        else:
            assert (response.status_code, response.json()["error"]) == (400, error), name
    assert rows_of_everything() == before


@pytest.mark.parametrize("row", READING, ids=str)
@pytest.mark.django_db
def test_a_body_that_is_too_large_is_413(row):
    world = World()
    before = rows_of_everything()
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10_000):
        response = send(world, row, b'{"name": "' + b"a" * 20_000 + b'"}', JSON)
    assert (response.status_code, response.json()["error"]) == (413, "Payload too large")
    assert rows_of_everything() == before


@pytest.mark.parametrize("row", [row for row in TABLE if row.path in IGNORING and row.method != "GET"], ids=str)
@pytest.mark.django_db
def test_a_body_that_is_not_used_is_ignored_whatever_it_holds(row):
    world = World()
    # The existing frontend posts the JSON text null to some of them.
    for raw, content_type in ((b"null", JSON), (b"{", JSON), (b"\xff", "text/plain"), (b"a=b", "multipart/form-data")):
        response = send(world, row, raw, content_type)
        assert response.status_code in (200, 401, 403), response.content


@pytest.mark.django_db
def test_what_is_wrong_with_a_body_is_said_in_plain_words():
    row = next(row for row in READING if row.path == "jobs/validate-cron")
    world = World()
    assert [send(world, row, raw, JSON).json()["message"] for raw in (gzip.compress(b"{}"), b'{"a": 1 2}')] == [
        "The body is compressed (gzip). Send it uncompressed.",
        "Not JSON at line 1, column 9: Expecting ',' delimiter.",
    ]


@pytest.mark.django_db
def test_a_byte_order_mark_before_the_object_is_left_out():
    row = next(row for row in READING if row.path == "jobs/validate-cron")
    response = send(World(), row, b'\xef\xbb\xbf{"expression": "0 2 * * *"}', JSON)
    assert response.json()["valid"] is True
