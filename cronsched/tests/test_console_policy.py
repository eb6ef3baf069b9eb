"""The console works under its own content security policy."""

from pathlib import Path

import pytest

from cronsched.tests.browser import opened_page
from cronsched.tests.fixtures import ADMIN_PASSWORD
from cronsched.tests.processes import web_process

pytestmark = pytest.mark.slow

PAGES = (
    "",
    "jobs/job/",
    "jobs/job/add/",
    "jobs/jobexecution/",
    "taxonomy/picteam/add/",
    "notifications/notification/",
    "accounts/user/",
    "accounts/user/add/",
    "account/",
    "password_change/",
)


@pytest.mark.browser
def test_no_page_of_the_console_breaks_its_policy(tmp_path: Path, first_file: Path) -> None:
    file = tmp_path / "web.sqlite3"
    file.write_bytes(first_file.read_bytes())
    log = tmp_path / "web.log"
    with web_process(log, DATABASE_URL=f"sqlite:///{file}") as address, opened_page() as page:
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(f"{page.url}: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        page.goto(f"{address}/admin/login/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", ADMIN_PASSWORD)
        page.click("[type=submit]")
        page.wait_for_url(f"{address}/admin/")
        for path in PAGES:
            answer = page.goto(f"{address}/admin/{path}")
            assert answer is not None
            assert answer.ok, path
            page.wait_for_load_state("networkidle")
            # Alpine evaluates the expressions in the page: the policy lets it.
            assert page.evaluate("Boolean(window.Alpine)"), path
    assert wrong == []
