"""The console's screens in a real browser: no error, no request to anywhere else, nothing for axe to find."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page

from accounts.tests.factories import make_user
from cronsched.tests.browser import opened_page
from jobs import services
from jobs.admin.jobs.filters import JOB_TABS
from jobs.models import ExecutionType, GitHubRun, Job, JobExecution, SchedulerLease, Status, Tracking
from jobs.tests.factories import make_execution, make_job

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(1800)]

# Leads a page to what is to be looked at.
Step = Callable[[Page, Any, dict[str, Any]], None]
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.fixture
def world(transactional_db):
    """Jobs of several states with a history, and somebody of each role."""
    now = timezone.now()
    users = {role: make_user(f"{role}.of-the-screens", role=role) for role in ("admin", "user", "viewer")}
    SchedulerLease.objects.update_or_create(pk=1, defaults={"holder": "host-1", "renewed_at": now})
    names = ("verify-invoices-of-all-customers-in-all-regions-and-all-currencies", "b", "c")
    jobs = [make_job(name=name, created_by=users["user"], next_fire_at=now + timedelta(hours=1)) for name in names]
    Job.objects.filter(pk=jobs[0].pk).update(consecutive_failures=2)
    make_job(name="paused", is_active=False)
    make_job(name="broken", schedule_error="Unknown time zone: Mars/Olympus")
    for number in range(12):
        status = list(Status.values)[number % 7]
        make_execution(jobs[0], status=status, started_at=now - timedelta(minutes=number), duration_seconds=1.5)
    run = make_execution(jobs[1], execution_type=ExecutionType.GITHUB_ACTIONS, started_at=now)
    JobExecution.objects.filter(pk=run.pk).update(request_snapshot={"owner": "a"}, output="x" * 400)
    GitHubRun.objects.create(
        execution=run, repository="a/b", conclusion="failure", tracking=Tracking.CONCLUDED, created_at=now
    )
    return {"users": users, "job": jobs[0], "execution": run}


def screens(world, role: str) -> list[str]:
    shown = [
        reverse("admin:index"),
        reverse("admin:jobs_job_changelist"),
        *(f"{reverse('admin:jobs_job_change', args=[world['job'].pk])}#{tab}" for tab in JOB_TABS),
        reverse("admin:jobs_jobexecution_changelist"),
        reverse("admin:jobs_jobexecution_change", args=[world["execution"].pk]),
        reverse("admin:jobs_calendar"),
        reverse("admin:jobs_why"),
        f"{reverse('admin:jobs_why')}?job={world['job'].pk}",
        reverse("admin:audit_auditentry_changelist"),
        reverse("admin:taxonomy_picteam_changelist"),
        reverse("admin:taxonomy_jobcategory_changelist"),
        reverse("admin:accounts_apitoken_changelist"),
        reverse("admin:accounts_apitoken_add"),
        reverse("admin:accounts_user_changelist"),
        reverse("account"),
        reverse("add_app"),
        reverse("add_passkey"),
    ]
    writers = [reverse("admin:jobs_upload"), reverse("admin:jobs_job_add")]
    admins = [
        reverse("admin:jobs_schedulerlease_changelist"),
        reverse("admin:notifications_delivery_changelist"),
        reverse("admin:notifications_slacksettings_changelist"),
        reverse("admin:taxonomy_picteam_add"),
        reverse("admin:taxonomy_jobcategory_add"),
        reverse("admin:accounts_user_add"),
        reverse("admin:accounts_user_change", args=[world["users"]["user"].pk]),
    ]
    return [*shown, *(writers if role != "viewer" else []), *(admins if role == "admin" else [])]


def faults(page: Page, width: int) -> list[str]:
    """Return what is wrong with a page as it is shown now."""
    violations = Axe().run(page, options=RULES).response["violations"]
    told = [f"{item['id']}: {item['nodes'][0]['html'][:200]}" for item in violations]
    wide = page.evaluate("document.documentElement.scrollWidth")
    return [*told, *([f"{wide} pixels wide"] if wide > width else [])]


@contextmanager
def signed_in(server, user, *, width: int = 1400, mode: str = "light") -> Iterator[tuple[Page, list[str]]]:
    """Open a browser as `user`; the list holds what went wrong in it."""
    client = Client()
    client.force_login(user)
    cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": server.url}
    with opened_page() as page:
        wrong: list[str] = []
        # A machine that is busy otherwise is slow, not wrong.
        page.context.set_default_timeout(180_000)
        page.context.add_cookies([cookie])  # type: ignore[list-item]
        page.emulate_media(color_scheme=mode)  # type: ignore[arg-type]
        # High enough for the bar in the foot to cover nothing.
        page.set_viewport_size({"width": width, "height": 2800})
        page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        inside = (server.url, "data:", "blob:")
        page.on("request", lambda asked: None if asked.url.startswith(inside) else wrong.append(asked.url))
        yield page, wrong


@pytest.mark.parametrize(
    "role, width, mode",
    [("admin", 1400, "light"), ("user", 390, "dark"), ("viewer", 1400, "dark"), ("admin", 390, "light")],
)
def test_every_screen_is_sound(live_server, world, role, width, mode):
    addresses = screens(world, role)
    found: dict[str, object] = {}
    with signed_in(live_server, world["users"][role], width=width, mode=mode) as (page, wrong):
        for address in addresses:
            # Another part of the page that is open would not be asked for.
            page.goto("about:blank")
            wrong.clear()
            answer = page.goto(live_server.url + address)
            page.wait_for_load_state("networkidle")
            told = faults(page, width)
            if answer is None or answer.status != 200 or told or wrong:
                found[address] = (answer and answer.status, told, list(wrong))
    assert found == {}


FAULTY = """Job Name,Cron Expression,PIC Team,Category,Target URL,End Date
Good,0 2 * * *,Ops,General,https://example.com/,2099-12-31
Bad,99 * * * *,Nobody knows,General,ftp://example.com/,2001-01-01
"""


def upload(page: Page, server, world) -> None:
    page.goto(server.url + reverse("admin:jobs_upload"))
    page.locator("input[type=file]").set_input_files(
        {"name": "jobs.csv", "mimeType": "text/csv", "buffer": FAULTY.encode()}
    )
    page.get_by_role("button", name="Check the file").click()
    page.locator("#report .verdict").wait_for()
    assert page.locator("[name=default_owner]").input_value() == ""


def make_token(page: Page, server, world) -> None:
    page.goto(server.url + reverse("admin:accounts_apitoken_add"))
    page.locator("#id_name").fill("of the screens")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#secret").wait_for()


def try_target(page: Page, server, world) -> None:
    page.goto(server.url + reverse("admin:jobs_job_test_job", args=[world["job"].pk]))
    page.locator("#id_metadata").fill('{"a": 1}')
    page.get_by_role("button", name="Test", exact=True).click()
    page.get_by_text("Headers of the answer").wait_for()


def select_many(act: str) -> Step:
    def step(page: Page, server, world) -> None:
        page.goto(server.url + reverse("admin:jobs_job_changelist"))
        for box in page.locator("input.action-select").all()[:3]:
            box.check()
        page.locator("select[name=action]").select_option(act)
        page.locator("#changelist-actions button[type=submit]").click()
        page.locator("input[name=action][type=hidden]").wait_for(state="attached")

    return step


def ask_why(page: Page, server, world) -> None:
    page.goto(server.url + reverse("admin:jobs_job_change", args=[world["job"].pk]))
    page.get_by_role("link", name="Why", exact=True).last.click()
    page.get_by_text("Verdicts").wait_for()


def edit_schedule(page: Page, server, world) -> None:
    page.goto(f"{server.url}{reverse('admin:jobs_job_change', args=[world['job'].pk])}#definition")
    page.locator("#id_cron_expression").fill("30 2 * * *")
    page.get_by_text("As it is stored:").wait_for()


def question(name: str) -> Step:
    def step(page: Page, server, world) -> None:
        page.goto(f"{server.url}{reverse('admin:jobs_job_change', args=[world['job'].pk])}#changes")
        page.get_by_role("link", name=name).first.click()
        page.locator("#modal-content[role=dialog]").wait_for()

    return step


def search(page: Page, server, world) -> None:
    page.goto(server.url + reverse("admin:index"))
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").press_sequentially("test INVO")
    page.locator("#command-results-list a").first.wait_for()


STEPS: dict[str, Step] = {
    "a faulty file": upload,
    "a new token": make_token,
    "a test with its answer": try_target,
    "before a pause of many": select_many("pause_selected"),
    "before a hand-over of many": select_many("hand_over_selected"),
    "before a deletion of many": select_many("delete_selected"),
    "why, with an answer": ask_why,
    "the palette": search,
    "an edited schedule": edit_schedule,
    "before a run": question("Run now"),
    "before a pause": question("Pause"),
    "before a restore": question("Restore revision"),
}


@pytest.mark.parametrize("width, mode", [(1400, "light"), (390, "dark"), (1400, "dark"), (390, "light")])
def test_what_comes_after_a_press_is_sound(live_server, world, settings, width, mode):
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = True
    world["job"].target_url = f"{live_server.url}/livez"
    world["job"].save()
    for expression in ("0 3 * * *", "0 4 * * *"):
        services.update_job(
            world["job"].pk, {"cron_expression": expression}, by=world["users"]["admin"], now=timezone.now()
        )
    found: dict[str, object] = {}
    with signed_in(live_server, world["users"]["admin"], width=width, mode=mode) as (page, wrong):
        for name, step in STEPS.items():
            page.goto("about:blank")
            wrong.clear()
            step(page, live_server, world)
            page.wait_for_load_state("networkidle")
            if (told := faults(page, width)) or wrong:
                found[name] = (told, list(wrong))
    assert found == {}


def test_a_dialog_holds_the_focus_and_gives_it_back(live_server, world):
    address = live_server.url + reverse("admin:jobs_job_change", args=[world["job"].pk])
    with signed_in(live_server, world["users"]["admin"]) as (page, wrong):
        page.goto(address)
        page.get_by_role("link", name="Pause").click()
        page.wait_for_selector("#modal-content[role=dialog] textarea[name=reason]")
        page.wait_for_function("document.activeElement.name === 'reason'")
        assert page.evaluate("document.getElementById('page').inert")
        page.keyboard.press("Escape")
        page.wait_for_function("!document.getElementById('page').inert")
        assert wrong == []


def test_the_palette_holds_the_focus_and_does_an_act_by_keys_alone(live_server, world):
    job = world["job"]
    with signed_in(live_server, world["users"]["user"]) as (page, wrong):
        page.goto(live_server.url + reverse("admin:jobs_job_changelist"))
        page.locator("#searchbar-submit").focus()
        page.keyboard.press("Control+k")
        page.wait_for_function("document.activeElement.id === 'search-input-command'")
        for _ in range(12):
            page.keyboard.press("Tab")
            assert page.evaluate("document.getElementById('page').contains(document.activeElement)") is False
        page.locator("#search-input-command").focus()
        page.keyboard.press("Escape")
        page.wait_for_function("document.activeElement.id === 'searchbar-submit'")
        page.keyboard.press("Control+k")
        page.wait_for_function("document.activeElement.id === 'search-input-command'")
        page.keyboard.type("why INVOICES")
        page.locator("#command-results-list a").first.wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/jobs/job/why/?job={job.pk}")
        assert wrong == []


def test_the_palette_opens_by_keyboard_and_leads_to_a_job(live_server, world):
    with signed_in(live_server, world["users"]["viewer"]) as (page, wrong):
        page.goto(live_server.url + reverse("admin:index"))
        page.keyboard.press("Control+k")
        page.locator("#search-input-command").press_sequentially("INVOICES")
        page.locator("#command-results-list a").first.click()
        page.wait_for_url("**/jobs/job/*/change/")
        assert wrong == []


def test_an_error_in_a_closed_section_opens_it_and_is_named_at_the_top(live_server, world):
    with signed_in(live_server, world["users"]["admin"]) as (page, _):
        page.goto(f"{live_server.url}{reverse('admin:jobs_job_change', args=[world['job'].pk])}#definition")
        page.get_by_text("Request", exact=True).click()
        page.locator("#id_webhook_headers").fill("{oops")
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_selector("#errornote a")
        assert page.locator("#errornote a").inner_text() == "Headers"
        assert page.locator("#id_webhook_headers").is_visible()


def test_the_tabs_of_a_job_open_by_their_names_by_the_address_and_by_the_browsers_back(live_server, world):
    address = live_server.url + reverse("admin:jobs_job_change", args=[world["job"].pk])
    with signed_in(live_server, world["users"]["user"]) as (page, wrong):
        page.goto(address)
        groups = {title: page.locator(f"#{title.lower()}-group") for title in JOB_TABS.values()}
        save = page.get_by_role("button", name="Save", exact=True)
        assert groups["Overview"].is_visible()
        for title, group in groups.items():
            page.locator("#tabs-items").get_by_text(title, exact=True).click()
            group.wait_for(state="visible")
            assert [name for name, other in groups.items() if other.is_visible()] == [title]
            assert save.is_visible() == (title == "Definition")
        page.go_back()
        groups["Definition"].wait_for(state="visible")
        page.reload()
        groups["Definition"].wait_for(state="visible")
        page.locator("#id_name").fill("renamed")
        page.get_by_role("button", name="Save and continue editing").click()
        page.wait_for_load_state("networkidle")
        assert (groups["Definition"].is_visible(), page.locator("#id_name").input_value()) == (True, "renamed")
        assert wrong == []
