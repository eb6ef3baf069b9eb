"""The description of the API, and the pages that show it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from cronsched.api import documents
from cronsched.api.documents import description
from cronsched.tests.browser import opened_page

PAGES = ("/docs", "/redoc")


@pytest.fixture
def client():
    return Client()


@pytest.mark.django_db
def test_the_root_says_where_to_go_on(client):
    body = client.get("/").json()
    assert {key: body[key] for key in ("docs", "redoc", "health")} == {
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/api/v2/health",
    }
    for address in (body["docs"], body["redoc"], body["health"]):
        assert client.get(address).status_code == 200


def test_a_browser_that_asks_for_the_icon_gets_it(client):
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/static/cronsched/icon.svg")
    assert finders.find("cronsched/icon.svg")


@pytest.mark.parametrize("address", ["/api/v2/openapi.json", "/api/openapi.json"])
def test_the_description_is_open_to_everybody(client, address):
    body = client.get(address).json()
    assert body["openapi"].startswith("3.")
    assert body["paths"] == description()["paths"]


@pytest.mark.parametrize("address", PAGES)
def test_the_pages_allow_nothing_from_elsewhere(client, address):
    response = client.get(address)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert not any("http" in sources for sources in policy.values())
    assert b"http" not in response.content


@pytest.mark.browser
def test_the_pages_render_without_asking_anybody_else(live_server):
    with opened_page() as page:
        asked, broken = set(), []
        page.on("request", lambda request: asked.add(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on("console", lambda said: broken.append(said.text) if said.type == "error" else None)
        for address in PAGES:
            page.goto(live_server.url + address)
            page.locator("text='List executions' >> visible=true").first.wait_for()
    # Not even one that the policy keeps from leaving: it would be an error in the browser's console.
    assert [url for url in asked if not url.startswith((live_server.url, "data:", "blob:"))] == []
    assert broken == []


def test_the_description_is_made_once_however_many_ask_for_it_first(monkeypatch):
    made, begun, go_on = list[int](), threading.Event(), threading.Event()

    class Generator:
        def get_schema(self, **_: object) -> dict[str, str]:
            made.append(threading.get_ident())
            begun.set()
            assert go_on.wait(10)
            return {"openapi": "3"}

    monkeypatch.setattr(documents, "SchemaGenerator", Generator)
    documents._description.cache_clear()
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(documents.description) for _ in range(4)]
            assert begun.wait(10)
            # The others wait for the lock, or would have begun as well.
            assert not [one for one in asked if one.done()]
            go_on.set()
            assert [one.result(10) for one in asked] == [{"openapi": "3"}] * 4
    finally:
        documents._description.cache_clear()
    assert len(made) == 1
