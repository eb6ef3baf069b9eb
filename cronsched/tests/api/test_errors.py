"""Refusals that no endpoint words: unknown paths, wrong methods, hosts, sizes, and unexpected errors."""

import json
import logging
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.wsgi import get_wsgi_application
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from rest_framework.permissions import AllowAny

from accounts.tests.factories import api_client
from cronsched.api.bodies import json_object
from cronsched.api.viewsets import APIViewSet
from cronsched.urls import handler400, handler404, handler500
from cronsched.urls import urlpatterns as real_urlpatterns

NOT_FOUND = {"error": "Not found", "message": "Not Found", "detail": "Not Found"}
NOT_ALLOWED = {"error": "Method not allowed", "message": "Method Not Allowed", "detail": "Method Not Allowed"}
TOO_LARGE = {"error": "Payload too large", "message": "The body is larger than this endpoint accepts."}
SECRET = "the password is swordfish"

__all__ = ["handler400", "handler404", "handler500"]


class BrokenViewSet(APIViewSet):
    permission_classes = [AllowAny]

    def list(self, request):
        raise RuntimeError(SECRET)


class AwayViewSet(APIViewSet):
    permission_classes = [AllowAny]

    def list(self, request):
        raise OperationalError(SECRET)


class EchoViewSet(APIViewSet):
    permission_classes = [AllowAny]

    def create(self, request):
        return json_object(request)


def broken_page(request):
    raise ValueError(SECRET)


def away_page(request):
    raise OperationalError(SECRET)


def greedy_page(request):
    raise RequestDataTooBig("too big")


def session_page(request):
    request.session["seen"] = True
    return HttpResponse("fine")


def forbidden_page(request):
    raise PermissionDenied


# This module is also a URL configuration: the real one, with endpoints that fail in all the ways they can.
urlpatterns = [
    path("api/v2/broken", BrokenViewSet.as_view({"get": "list"})),
    path("api/v2/echo", EchoViewSet.as_view({"post": "create"})),
    path("api/v2/away", AwayViewSet.as_view({"get": "list"})),
    path("api/v2/away-page", away_page),
    path("links/away", away_page),
    path("api/v2/page", broken_page),
    path("api/v2/greedy", greedy_page),
    path("api/v2/forbidden", forbidden_page),
    path("links/page", broken_page),
    path("links/touches-the-session", session_page),
    path("links/greedy", greedy_page),
    path("links/forbidden", forbidden_page),
    *real_urlpatterns,
]

# In development Django has pages of its own for every error; they must not come through either.
both_modes = pytest.mark.parametrize("debug", [False, True], ids=["production", "development"])


@pytest.fixture
def client():
    client = Client(raise_request_exception=False)
    with override_settings(ROOT_URLCONF=__name__):
        yield client


def warnings(caplog):
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def answer(response):
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, response.json()


# --- Unknown paths ---------------------------------------------------------------------------------------------------


@both_modes
@pytest.mark.parametrize(
    "unknown",
    [
        "/nothing",
        "/api",
        "/api/",
        "/api/v2",
        "/api/v3/jobs",
        "/api/v2/nothing/",
        "/api/v2//jobs",
        "/api/v2/jobs/x/y/z",
        "/api/v2/%00",
        "/docs/x",
        "/%E0%A4%A",
    ],
)
def test_unknown_paths_are_404_in_json(client, unknown, debug):
    with override_settings(DEBUG=debug):
        for method in ("get", "post", "put", "delete", "options"):
            assert answer(getattr(client, method)(unknown)) == (404, NOT_FOUND)


def test_unknown_paths_are_404_with_any_token(client, charlie):
    for header in (f"Bearer {'x' * 20}", "Basic abc"):
        assert answer(client.get("/api/v2/nothing", headers={"Authorization": header})) == (404, NOT_FOUND)
    assert answer(api_client(charlie).get("/api/v2/nothing")) == (404, NOT_FOUND)


def test_the_admin_site_keeps_pages_for_people(client):
    response = client.get("/admin/nothing/")
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/admin/login/")


def test_the_admin_site_is_found_without_its_slash(client):
    response = client.get("/admin")
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")


# --- Methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "patch", "put", "delete", "options", "trace", "head"])
def test_a_method_the_path_does_not_have_is_405(client, method):
    response = getattr(client, method)("/api/v2/echo")
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    if method != "head":
        assert answer(response) == (405, NOT_ALLOWED)


@pytest.mark.parametrize("role", ["admin", "alice", "charlie"])
def test_a_wrong_method_is_405_for_every_role(request, role):
    client = api_client(request.getfixturevalue(role))
    for known in ("/api/v2/job-categories", "/api/v2/executions", "/api/health"):
        response = client.patch(known, {})
        assert answer(response) == (405, NOT_ALLOWED)
        assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize("page", ["/", "/docs", "/redoc", "/api/v2/openapi.json", "/healthz", "/readyz"])
def test_pages_can_only_be_read(client, page):
    response = client.post(page)
    assert answer(response) == (405, NOT_ALLOWED)
    assert response.headers["Allow"] == "GET, HEAD"


# --- Writing without the cookie of a form, which the test client would otherwise be taken to have ---------------------


@pytest.fixture
def script():
    """A caller like any outside a browser: Django's guard of forms is on."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@both_modes
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_writing_to_an_unknown_path_is_404_for_scripts_too(script, method, debug):
    with override_settings(DEBUG=debug):
        for unknown in ("/nothing", "/api/v2/nothing", "/api/v2/jobs/x/trigger"):
            assert answer(getattr(script, method)(unknown)) == (404, NOT_FOUND)


@pytest.mark.parametrize("page", ["/", "/docs", "/redoc", "/api/v2/openapi.json", "/healthz", "/readyz"])
def test_writing_to_a_page_is_405_for_scripts_too(script, page):
    assert answer(script.post(page)) == (405, NOT_ALLOWED)


def test_a_refusal_nobody_words_is_not_called_our_error(client):
    assert answer(client.get("/api/v2/forbidden")) == (403, {"error": "Forbidden", "message": "Forbidden"})


# --- Unexpected errors -----------------------------------------------------------------------------------------------


@both_modes
@pytest.mark.parametrize("broken", ["/api/v2/broken", "/api/v2/page"])
@pytest.mark.parametrize("exposed, message", [(True, SECRET), (False, "Internal server error")])
def test_an_unexpected_error_shows_no_more_than_its_text(client, caplog, broken, exposed, message, debug):
    with override_settings(EXPOSE_ERROR_DETAILS=exposed, DEBUG=debug):
        response = client.get(broken)
    if debug and broken.endswith("page"):
        # Django has made its own page of it by then; the text is lost, which is the safe side.
        message = "Internal server error"
    assert answer(response) == (500, {"error": "Internal server error", "message": message})
    assert SECRET in caplog.text, "an operator finds it in the log"


@both_modes
@pytest.mark.parametrize("asked", ["/api/v2/away", "/api/v2/away-page"])
def test_a_database_that_is_away_is_503_with_one_line(client, caplog, asked, debug):
    with override_settings(EXPOSE_ERROR_DETAILS=True, DEBUG=debug):
        response = client.get(asked)
    status, body = answer(response)
    assert (status, body["error"], response.headers["Retry-After"]) == (503, "Service unavailable", "5")
    assert SECRET not in json.dumps(body), "callers learn nothing of the database"
    (record,) = warnings(caplog)
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.getMessage() == f"GET {asked.removeprefix('/')}: the database cannot be used: {SECRET}"


@both_modes
def test_people_are_told_on_a_page_that_the_database_is_away(client, caplog, debug):
    with override_settings(DEBUG=debug):
        response = client.get("/links/away")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "Please try again in a moment" in response.content.decode()
    assert len(warnings(caplog)) == 1


def test_a_session_that_cannot_be_stored_is_503_too(client, admin, caplog, monkeypatch):
    def away(*_: object) -> None:
        raise OperationalError(SECRET)

    client.force_login(admin)
    monkeypatch.setattr(SessionStore, "save", away)
    response = client.get("/links/touches-the-session")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    (record,) = warnings(caplog)
    assert record.exc_info is None


@both_modes
def test_an_unknown_host_is_400_in_json(client, caplog, debug):
    with override_settings(DEBUG=debug, ALLOWED_HOSTS=["cron.example.com"]):
        status, body = answer(client.get("/api/v2/health", headers={"Host": "evil.example.com"}))
    assert (status, body["error"]) == (400, "Bad request")
    assert "Traceback" not in json.dumps(body)


# --- Sizes -----------------------------------------------------------------------------------------------------------


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1000)
def test_a_body_that_is_too_large_is_413(client):
    body = json.dumps({"name": "x" * 2000})
    response = client.post("/api/v2/echo", body, content_type="application/json")
    assert answer(response) == (413, TOO_LARGE)


def test_a_body_that_is_too_large_outside_the_endpoints_is_413(client, caplog):
    assert answer(client.get("/api/v2/greedy")) == (413, TOO_LARGE)


# --- Other origins ---------------------------------------------------------------------------------------------------


@both_modes
@pytest.mark.parametrize(
    "asked, status",
    [
        ("/api/v2/broken", 500),
        ("/api/v2/page", 500),
        ("/api/v2/nothing", 404),
        ("/api/v2/echo", 405),
        ("/api/v2/executions", 401),
    ],
)
def test_errors_can_be_read_by_pages_of_other_origins(client, caplog, asked, status, debug):
    with override_settings(DEBUG=debug):
        response = client.get(asked, headers={"Origin": "https://app.example.com"})
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_listed_origins_are_echoed_and_may_send_credentials(client):
    origin = "https://app.example.com"
    listed = {"CORS_ALLOW_ALL_ORIGINS": False, "CORS_ALLOWED_ORIGINS": [origin], "CORS_ALLOW_CREDENTIALS": True}
    with override_settings(**listed):
        response = client.get("/api/v2/nothing", headers={"Origin": origin})
        other = client.get("/api/v2/nothing", headers={"Origin": "https://evil.example.com"})
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_preflights_need_no_token(client, method):
    response = client.options(
        "/api/v2/jobs",
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert response.status_code == 200
    assert method in response.headers["Access-Control-Allow-Methods"].split(", ")
    assert {"authorization", "content-type"} <= set(response.headers["Access-Control-Allow-Headers"].split(", "))


# --- Slashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", ["/api/v2/health/", "/api/health/", "/docs/", "/redoc/"])
@pytest.mark.django_db
def test_the_slash_form_is_served_without_a_redirect(client, known):
    assert client.get(known).status_code == 200


@pytest.mark.django_db
def test_the_slash_form_keeps_the_body(client, admin):
    response = api_client(admin).post("/api/job-categories/", {"name": "Night"})
    assert (response.status_code, response.json()["category"]["slug"]) == (201, "night")


# --- People ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/links/nothing", 404, "There is nothing here"),
        ("/links/page", 500, "This went wrong"),
        ("/links/greedy", 400, "This cannot be done"),
        ("/links/forbidden", 403, "This is not for your role"),
    ],
)
def test_people_get_a_page_that_leads_on(client, address, status, words):
    response = client.get(address)
    assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    page = response.content.decode()
    assert words in page
    assert 'href="/admin/"' in page
    assert SECRET not in page


def test_an_unknown_page_of_the_console_is_told_on_a_page(client, charlie):
    client.force_login(charlie)
    response = client.get("/admin/nothing/")
    assert (response.status_code, response.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing here" in response.content.decode()


def test_a_form_without_its_cookie_is_asked_for_again(script):
    response = script.post("/admin/login/", {"username": "alice"})
    assert response.status_code == 403
    assert "Please send it again" in response.content.decode()


# --- HEAD ------------------------------------------------------------------------------------------------------------


def served(method, asked):
    """Return status, length by the header, and body. Django's client would itself leave a body away."""
    head: dict[str, str] = {}

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        head.update(headers, status=status)

    answer: Any = get_wsgi_application()(RequestFactory().generic(method, asked).environ, start_response)
    body = b"".join(answer)
    answer.close()
    return head["status"], int(head["Content-Length"]), body


@pytest.mark.parametrize("asked", ["/api/v2/health", "/readyz", "/nowhere", "/admin/login/", "/favicon.ico"])
@pytest.mark.django_db
def test_an_answer_to_head_is_that_to_get_without_its_body(asked):
    status, length, body = served("GET", asked)
    assert len(body) == length
    assert served("HEAD", asked) == (status, length, b"")
