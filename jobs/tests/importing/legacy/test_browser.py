"""A browser that the older service signed in, in earnest: a page that behaves as the contract says of the client
(contract, client.md) asks a served instance with an imported database.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import BrowserContext, Page, Response
from pytest_httpserver import HTTPServer

from cronsched.tests.browser import opened_page
from cronsched.tests.processes import manage, web_process
from jobs.tests.importing.legacy import older
from jobs.tests.importing.legacy.older import PASSWORD, token
from jobs.tests.importing.legacy.test_signed_in_before import POLLED

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

REFRESH = "/api/v2/auth/refresh"
OLD_KEY = "the-key-of-the-older-service-0123456789-abcdefghij"
# One refresh token for ever, a refresh of its own for each call that 401 or 422 answers, then everything wiped.
PAGE = """<!doctype html><title>client</title><link rel=icon href=data:,>
<form hidden><input name=username><input name=password type=password><button>Sign in</button></form><p></p>
<script>
const service = new URLSearchParams(location.search).get("service"), stored = localStorage;
const paths = POLLED, said = text => { document.querySelector("p").textContent = text };
const ask = (path, token, more = {}) => fetch(service + path, {
    ...more, headers: {"Content-Type": "application/json", ...(token && {Authorization: "Bearer " + token})}});
const isBad = answer => [401, 422].includes(answer.status);
async function call(path) {
    let answer = await ask(path, stored.access);
    if (!isBad(answer)) return answer.json();
    const refreshed = await ask("/api/v2/auth/refresh", stored.refresh, {method: "POST", body: "null"});
    if (refreshed.ok) {
        stored.access = (await refreshed.json()).access_token;
        answer = await ask(path, stored.access);
    }
    if (!refreshed.ok || isBad(answer)) {
        const body = await (refreshed.ok ? answer : refreshed).json();
        sessionStorage.told = body.message || body.error || body.detail;
        stored.clear();
        if (location.pathname != "/login") location = "/login" + location.search;
        throw new Error("session bad");
    }
    return answer.json();
}
const form = document.querySelector("form");
form.onsubmit = async event => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    const answer = await ask("/api/v2/auth/login", null, {method: "POST", body: JSON.stringify(given)});
    const body = await answer.json();
    if (!answer.ok) return said(body.message || body.error || body.detail);
    [stored.access, stored.refresh] = [body.access_token, body.refresh_token];
    location = "/" + location.search;
};
let rounds = 0;
const poll = () => Promise.all(paths.map(call)).then(
    ([unread, {jobs}]) => { said(`${jobs.map(job => job.name)} round ${++rounds}`); setTimeout(poll, 100) }, () => {});
location.pathname == "/login" ? (form.hidden = false, said(sessionStorage.told)) : poll();
</script>"""


@pytest.fixture
def imported(tmp_path: Path, migrated_file: Path) -> Iterator[tuple[str, UUID]]:
    """Serve an imported database; yield the address and the id of the account `ann`."""
    (tmp_path / "new.sqlite3").write_bytes(migrated_file.read_bytes())
    database = f"sqlite:///{tmp_path}/new.sqlite3"
    with older.in_file(tmp_path) as there, closing(there.raw):
        ann = there.user("ann", role="admin")
        there.label("pic_teams", "ops")
        there.job(name="Daily", created_by=str(ann))
        manage("import_legacy", there.url, DATABASE_URL=database)
    log = tmp_path / "web.log"
    with web_process(log, DATABASE_URL=database, JWT_SECRET_KEY=OLD_KEY) as address:
        yield address, ann
    assert "Traceback" not in log.read_text()


@pytest.fixture
def client(httpserver: HTTPServer) -> str:
    """Serve the page from an origin of its own, as the frontend is; return its address."""
    page = PAGE.replace("POLLED", str(list(POLLED)))
    for path in ("/", "/login"):
        httpserver.expect_request(path).respond_with_data(page, content_type="text/html")
    return httpserver.url_for("").rstrip("/")


def watched(page: Page, address: str) -> tuple[list[tuple[str, int]], list[str]]:
    """Return lists that fill with what the service answers, and with the pages that are opened."""
    answers: list[tuple[str, int]] = []
    opened: list[str] = []

    def answered(response: Response) -> None:
        if response.url.startswith(address) and response.request.method != "OPTIONS":
            answers.append((response.url.removeprefix(address), response.status))

    page.on("response", answered)
    page.on("framenavigated", lambda frame: opened.append(frame.url))
    return answers, opened


def remember(context: BrowserContext, address: str) -> None:
    """Give the browser the cookies that the older service and other programs of the host have left."""
    old = {"session": "eyJfdXNlcl9pZCI6IjEifQ.ZzZzZz.c2lnbmF0dXJl", "sessionid": "0" * 32, "csrftoken": "x"}
    context.add_cookies([{"name": name, "value": value, "url": address} for name, value in old.items()])


@pytest.mark.parametrize("key", [OLD_KEY, "a key that nobody took along to here, 0123456789"], ids=["same", "other"])
def test_the_page_for_signing_in_is_shown_once(imported: tuple[str, UUID], client: str, key: str) -> None:
    address, ann = imported
    access, refresh = token(ann, "access", key), token(ann, "refresh", key)
    with opened_page() as page:
        remember(page.context, address)
        page.add_init_script(
            f"sessionStorage.begun || (sessionStorage.begun = 1, localStorage.access = '{access}',"
            f" localStorage.refresh = '{refresh}')"
        )
        answers, opened = watched(page, address)
        page.goto(f"{client}/?service={address}")
        page.wait_for_selector("form:not([hidden])")
        # A call that was about to be made when another had its token refused goes without one.
        assert page.inner_text("p") in {"Invalid token", "Not authenticated"}
        assert page.evaluate("localStorage.length") == 0
        # Each call was made once and refreshed once, in vain; the first that is done with that ends the others.
        made = Counter(answers)
        refreshed = made.pop((REFRESH, 401))
        assert 1 <= refreshed <= len(POLLED)
        assert set(made) <= {(path, 401) for path in POLLED}
        assert set(made.values()) == {1}
        page.fill("[name=username]", "ann")
        page.fill("[name=password]", "another one")
        page.click("button")
        page.wait_for_function("document.querySelector('p').textContent.startsWith('Invalid email')")
        answers.clear()
        page.fill("[name=password]", PASSWORD)
        page.click("button")
        page.wait_for_function("/^Daily round ([3-9]|[0-9]{2})/.test(document.querySelector('p').textContent)")
        assert answers[0] == ("/api/v2/auth/login", 200)
        assert {status for _, status in answers} == {200}
        assert [re.sub(r"\?.*", "", url).removeprefix(client) for url in opened] == ["/", "/login", "/"]


def test_the_console_asks_once_with_an_old_cookie(imported: tuple[str, UUID]) -> None:
    address, _ = imported
    with opened_page() as page:
        remember(page.context, address)
        answers, _ = watched(page, address)
        page.goto(f"{address}/admin/")
        assert page.url.startswith(f"{address}/admin/login/")
        page.fill("[name=username]", "ann")
        page.fill("[name=password]", PASSWORD)
        page.click("[type=submit]")
        page.wait_for_url(f"{address}/admin/")
        pages = [answer for answer in answers if answer[0].startswith("/admin/")]
        assert [status for _, status in pages if status >= 400] == []
        assert len([path for path, _ in pages if path.startswith("/admin/login/")]) <= 3
