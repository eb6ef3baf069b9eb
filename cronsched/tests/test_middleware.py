"""What every answer carries, and what is believed of a request's headers."""

import logging
from ipaddress import ip_network

import pytest
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.test import RequestFactory

from accounts.tests.factories import api_client
from cronsched.lib import request_ids
from cronsched.logs import Line
from cronsched.middleware import RequestIds, TrustedProxies

POLLED = ("jobs", "executions", "executions/statistics")
FORWARDED = {"HTTP_X_FORWARDED_FOR": "192.0.2.7", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_FORWARDED": "for=192.0.2.7"}


# --- Ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v2/health", "/healthz", "/", "/api/v2/nothing", "/static/nothing", "/docs"])
def test_every_answer_has_an_id(client, db, path):
    first, second = (client.get(path).headers["X-Request-Id"] for _ in range(2))
    assert first != second


def test_the_clients_own_id_is_taken_over(client, db):
    assert client.get("/healthz", headers={"X-Request-Id": "trace-1/2:3"}).headers["X-Request-Id"] == "trace-1/2:3"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 129, "ü", "<script>", "a\tb"])
def test_an_id_that_could_do_harm_is_not(client, db, sent):
    assert client.get("/healthz", headers={"X-Request-Id": sent}).headers["X-Request-Id"] not in ("", sent)


def test_the_id_is_known_while_the_request_is_answered_and_stands_in_its_lines():
    seen: list[str] = []

    def view(request):
        record = logging.makeLogRecord({"name": "jobs", "msg": "Fired", "levelname": "INFO"})
        seen.extend([request_ids.current(), Line("{message}", style="{").format(record)])
        return HttpResponse()

    RequestIds(view)(RequestFactory().get("/", headers={"X-Request-Id": "r-1"}))
    assert seen == ["r-1", "Fired [r-1]"]
    assert request_ids.current() == ""


# --- Proxies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "peer", "counts"),
    [
        ([], "127.0.0.1", False),
        (["127.0.0.0/8"], "127.0.0.1", True),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "192.0.2.1", False),
        (["0.0.0.0/0", "::/0"], "2001:db8::1", True),
        (["10.0.0.0/8"], "", False),
    ],
)
def test_only_proxies_of_ours_say_where_a_request_comes_from(settings, trusted, peer, counts):
    settings.TRUSTED_PROXIES = [ip_network(text) for text in trusted]
    request = RequestFactory().get("/")
    request.META |= {"REMOTE_ADDR": peer, **FORWARDED}
    TrustedProxies(lambda _: HttpResponse())(request)
    assert {name: request.META[name] for name in FORWARDED if name in request.META} == (FORWARDED if counts else {})


# --- What is kept, and by whom ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", POLLED)
def test_what_is_polled_can_be_compared(admin, path):
    admin_api = api_client(admin)
    first = admin_api.get(f"/api/v2/{path}")
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = admin_api.get(f"/api/v2/{path}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["auth/me", "auth/users", "settings/slack", "health", "nothing"])
def test_all_else_is_kept_by_nobody(admin, path):
    assert api_client(admin).get(f"/api/v2/{path}").headers["Cache-Control"] == "no-store"


def test_tokens_are_kept_by_nobody(client, db):
    response = client.post("/api/v2/auth/login", {"username": "nobody", "password": "wrong1"}, "application/json")
    assert (response.status_code, response.headers["Cache-Control"]) == (401, "no-store")


@pytest.mark.parametrize("path", ["/admin/login/", "/links/renew/x"])
def test_pages_for_people_load_nothing_from_elsewhere(client, db, path):
    policy = client.get(path).headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert "frame-ancestors 'none'" in policy


def test_no_other_origin_reads_pages_for_people(client, db, settings):
    settings.CORS_ALLOW_ALL_ORIGINS, settings.CORS_ALLOWED_ORIGINS = False, ["https://app.example.com"]
    settings.CORS_ALLOW_CREDENTIALS = True
    origin = {"Origin": "https://app.example.com"}
    for path, allowed in (("/api/v2/health", True), ("/admin/login/", False), ("/links/renew/x", False)):
        headers = client.get(path, headers=origin).headers
        assert ("Access-Control-Allow-Origin" in headers) is allowed
        assert ("Access-Control-Allow-Credentials" in headers) is allowed


def test_pages_of_other_origins_may_send_and_read_our_own_headers(client, db):
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "idempotency-key,x-change-reason,if-match,authorization,content-type",
    }
    allowed = client.options("/api/v2/jobs", headers=asked).headers["Access-Control-Allow-Headers"].split(", ")
    assert {"idempotency-key", "x-change-reason", "if-match", "authorization", "content-type"} <= set(allowed)
    exposed = client.get("/api/v2/health", headers=asked).headers["Access-Control-Expose-Headers"].split(", ")
    assert {"X-Request-Id", "Retry-After", "ETag"} <= set(exposed)


# --- Files -----------------------------------------------------------------------------------------------------------


def test_no_file_is_served_that_no_page_asks_for():
    served = [path for finder in finders.get_finders() for path, _ in finder.list([])]
    assert "cronsched/console.css" in served
    assert [path for path in served if path.endswith(".map") or path.startswith("rest_framework/")] == []
    unused = "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js.map"
    assert (finders.find(unused), finders.find(unused.removesuffix(".map")) is not None) == (None, True)


# --- The root --------------------------------------------------------------------------------------------------------


def test_the_root_says_where_everything_is(client, db):
    body = client.get("/").json()
    assert {name: body[name] for name in ("docs", "redoc", "health")} == {
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/api/v2/health",
    }
    assert body["console"] == "/admin/"
    assert client.get(body["openapi"]).json()["openapi"].startswith("3.")


def test_the_description_is_where_tools_look_for_it(client):
    assert client.get("/openapi.json").json() == client.get("/api/v2/openapi.json").json()
