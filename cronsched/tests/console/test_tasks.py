"""The sixteen tasks in a real browser. With PICTURES=1 what was done is written down, in words and pictures."""

import io
import json
import os
import re
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from django.db import connections
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page

from accounts.models import User
from cronsched.tests.browser import opened_browser
from cronsched.tests.console.hand import Hand
from cronsched.tests.console.tasks import TASKS, Task, World
from cronsched.tests.processes import ROOT
from jobs.management import demo
from jobs.tests.scheduler.processes import scheduler
from notifications.models import SlackSettings
from notifications.tests.slack_like import slack_like

PAGE = ROOT / "docs" / "console.md"
PICTURES = PAGE.parent / "pictures" / "console"
WRITE = os.environ.get("PICTURES") == "1"
# One or some of them alone, by their names.
ONLY = os.environ.get("TASKS", "").split()
# Also written: what the hand did.
WAYS = Path(__file__).with_name("ways.json")
PLACE = re.compile(r"(<!-- tasks -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH, HEIGHT = 1400, 900
COLOURS = 256
MOST_BYTES, MOST_BYTES_IN_ALL = 120_000, 2_000_000
ROLES = dict(demo.PEOPLE)


class Way(NamedTuple):
    clicks: int
    steps: list[str]


@pytest.fixture
def world(live_server: Any, tmp_path: Path, settings: Any) -> Iterator[World]:
    """The demo with a scheduler at work, and a stand-in for Slack."""
    demo.seed(base_url=live_server.url, password="a-password-of-the-demo", now=timezone.now())
    settings.EXTRA_CA_FILE, settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = str(tmp_path / "ca.pem"), True
    with slack_like(vouched_for(tmp_path / "ca.pem")) as slack, scheduler() as leader:
        SlackSettings.objects.create(is_enabled=True, webhook_url=slack.url, channel="#jobs")
        leader.wait_for("leads", timeout=300)
        yield World(live_server.url, slack, tmp_path)


def vouched_for(file: Path) -> ssl.SSLContext:
    """Make an authority, write it to `file`, and return what a server shows that it vouches for."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(file)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def known() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Ask the database from another thread than the browser's."""
    with ThreadPoolExecutor(1) as thread:
        yield lambda ask: thread.submit(ask).result()
        thread.submit(connections.close_all)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(1200)
@pytest.mark.django_db(transaction=True)
def test_every_task_is_done_with_few_clicks(world, known, subtests):
    """The ways are those on record: what is told of them is true as long as this passes."""
    sessions = {name: session_of(name) for name in ROLES}
    with opened_browser() as browser:
        for task in TASKS:
            if ONLY and task.name not in ONLY:
                continue
            with subtests.test(task.name):
                hand = carry_out(task, browser, sessions[task.by], world, known)
                assert hand.clicks <= task.most
                if WRITE:
                    write_down(task, Way(hand.clicks, hand.way))
                assert ways()[task.name] == (hand.clicks, hand.way), "make pictures writes it down anew"


def ways() -> dict[str, Way]:
    """Return the ways on record, by the names of the tasks."""
    return {name: Way(**way) for name, way in json.loads(WAYS.read_text()).items()} if WAYS.exists() else {}


def write_down(task: Task, way: Way) -> None:
    """Put a way on record, and what the page tells of all of them once all are."""
    known = {**ways(), task.name: way}
    WAYS.write_text(json.dumps({name: way._asdict() for name, way in sorted(known.items())}, indent=1) + "\n")
    if known.keys() >= {task.name for task in TASKS}:
        PAGE.write_text(PLACE.sub(lambda found: f"{found[1]}{words_of(known)}\n{found[2]}", PAGE.read_text()))


def session_of(name: str) -> str:
    client = Client()
    client.force_login(User.objects.get(username=name))
    return client.cookies["sessionid"].value


def carry_out(task: Task, browser: Browser, session: str, world: World, known: Any) -> Hand:
    """Do a task from the first page on. What the browser complains of meanwhile fails it."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB")
    context.set_default_timeout(60_000)
    context.add_cookies([{"name": "sessionid", "value": session, "url": world.url}])
    wrong: list[str] = []
    page = context.new_page()
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{world.url}/admin/")
    hand = Hand(page, known, lambda page: take_picture(page, task.name) if WRITE else None)
    try:
        task.do(hand, world)
    except Exception:
        page.screenshot(path=world.folder / f"{task.name}.png")
        raise
    finally:
        context.close()
    assert wrong == []
    return hand


def words_of(known: dict[str, Way]) -> str:
    """Return what the page says of the tasks."""
    lines = ["| | task | by | clicks |", "| --- | --- | --- | --- |"]
    for number, task in enumerate(TASKS, 1):
        title = f"[{task.question}](#{anchor(number, task)})"
        lines.append(f"| {number} | {title} | {ROLES[task.by].label.lower()} | {known[task.name].clicks} |")
    for number, task in enumerate(TASKS, 1):
        way = known[task.name]
        clicks = f"{way.clicks} click{'' if way.clicks == 1 else 's'}"
        lines += ["", f"### {number}. {task.question}", "", task.told, ""]
        lines += [
            f"{clicks.capitalize()}: {', '.join(way.steps)}.",
            "",
            f"![{task.question}](pictures/console/{task.name}.png)",
        ]
    return "\n".join(lines)


def anchor(number: int, task: Task) -> str:
    """Return the address of a heading within its page, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", f"{number}. {task.question}".lower()).replace(" ", "-")


# --- Pictures --------------------------------------------------------------------------------------------------------


def take_picture(page: Page, name: str) -> None:
    """Write what is seen, in few colours."""
    from PIL import Image

    page.wait_for_load_state("networkidle")
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    few = shot.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    PICTURES.mkdir(parents=True, exist_ok=True)
    few.save(PICTURES / f"{name}.png", optimize=True)


def test_the_pictures_are_small():
    found = {path.stem: path.read_bytes() for path in PICTURES.glob("*.png")}
    assert found.keys() >= {task.name for task in TASKS}
    for name, content in found.items():
        width, colour_type = int.from_bytes(content[16:20]), content[25]
        assert (width <= WIDTH, colour_type) == (True, 3), f"{name}: {width} wide, of colour type {colour_type}"
        assert len(content) <= MOST_BYTES, f"{name}: {len(content)} bytes"
    assert sum(map(len, found.values())) <= MOST_BYTES_IN_ALL


def test_the_page_tells_the_ways_on_record():
    assert list(ways()) == sorted(task.name for task in TASKS)
    assert len(TASKS) == 16
    assert PLACE.search(PAGE.read_text())[0] == f"<!-- tasks -->\n{words_of(ways())}\n<!-- end -->"
    assert {task.name: ways()[task.name].clicks for task in TASKS if ways()[task.name].clicks > task.most} == {}
