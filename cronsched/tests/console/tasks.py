"""Sixteen everyday tasks of operators, on the demo: each begins at the first page and ends with what is true then.

The order, the words, the ways and the numbers of clicks in docs/console.md come from here (`make pictures`).
"""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import requests
from django.conf import settings
from django.utils import timezone

from accounts.models import ApiToken
from cronsched.tests.console.hand import Hand
from jobs import cron
from jobs.definitions.validation import local_date
from jobs.history import outcomes
from jobs.history.why_facts import explain_at
from jobs.management.demo import CITIES, LEAVER, SUPPLIERS, TABLES
from jobs.models import Job, JobExecution, JobPause, JobRenewal, TriggerType
from jobs.scheduler import leadership
from notifications.models import SlackSettings
from notifications.tests.slack_like import SlackLike

# An end date for whatever gets one. What is typed is on record, so it may not follow the day on which it is done.
FAR = date(2099, 12, 31)

HIDE_SECRETS = """
    for (const shown of document.querySelectorAll("code"))
        shown.textContent = shown.textContent.replace(/(cron_\\w{4})\\w+/, "$1…")
"""


class World(NamedTuple):
    """What there is beside the console: its address, a stand-in for Slack, a folder for files."""

    url: str
    slack: SlackLike
    folder: Path


class Task(NamedTuple):
    """`by` is an account of the demo. `told` is what is seen at the end, `most` how many clicks it may take."""

    name: str
    question: str
    told: str
    by: str
    most: int
    do: Callable[[Hand, World], None]


TASKS: list[Task] = []


def task(question: str, *, by: str, most: int) -> Callable[[Callable[[Hand, World], None]], None]:
    def register(do: Callable[[Hand, World], None]) -> None:
        told = " ".join((do.__doc__ or "").split())
        TASKS.append(Task(do.__name__.replace("_", "-"), question, told, by, most, do))

    return register


def job_named(name: str) -> Job:
    return Job.objects.get(name=name)


@task("Why did a job not run last night?", by="tom", most=2)
def why(hand: Hand, world: World) -> None:
    """Each time that its schedule named, with what became of it: who paused it, from when until when, and why. As CSV,
    too.
    """
    hand.follow_link("Why")
    hand.type("Warehouse load")
    hand.enter()
    hand.picture(hand.page)

    def told() -> Any:
        job = job_named("Warehouse load")
        pause = JobPause.objects.filter(job=job).latest("began_at")
        due = cron.fire_times_between(job.cron_expression, job.zone_name, after=pause.began_at, until=None, limit=1)
        return explain_at(job, next(iter(due)), now=timezone.now())

    verdict = hand.known(told)
    assert (verdict.found.verdict, verdict.found.by) == ("paused", "priya")
    assert verdict.sentence in hand.text
    assert "Disk full" in verdict.sentence


@task("What fails now?", by="daniel", most=1)
def fails_now(hand: Hand, world: World) -> None:
    """The first page has one row for each job that fails: since when, how often in a row, the last reason. The reason
    leads to the answer.
    """
    failing = hand.known(lambda: [*Job.objects.filter(is_active=True, consecutive_failures__gt=0)])
    rows = hand.page.locator("#now table").first.locator("tbody tr")
    assert rows.count() == len(failing) > 0
    assert {job.name for job in failing} == {row.locator("a").first.inner_text() for row in rows.all()}
    hand.picture(hand.page)
    first = rows.first.locator("a").first.inner_text()
    hand.follow(rows.first.locator("a[href*=jobexecution]").first, "the last reason")
    newest = hand.known(lambda: JobExecution.objects.filter(job__name=first).select_related("run").newest_first()[0])
    assert hand.page.url.endswith(f"/{newest.pk}/change/")
    assert hand.known(lambda: outcomes.of(newest)) == "failed"
    assert newest.error_message in hand.text


@task("Pause 30 jobs, and say why.", by="daniel", most=6)
def pause(hand: Hand, world: World) -> None:
    """The page between names the jobs that will stop, and those that stay as they are; nothing happens before. With a
    date they resume by themselves.
    """
    hand.follow_link("Jobs")
    hand.search("prices")
    hand.act_on_all("Pause")
    hand.write("Reason", "New price list")
    hand.picture(hand.page)
    hand.follow_button("Pause")
    paused = hand.known(lambda: [*JobPause.objects.filter(reason="New price list", ended_at=None)])
    assert {one.by_name for one in paused} == {"daniel"}
    assert len({one.batch_id for one in paused}) == 1
    named = {f"Prices for {city}" for city in CITIES}
    assert (
        hand.known(lambda: {*Job.objects.filter(is_active=False, pauses__in=paused).values_list("name", flat=True)})
        == named
    )
    assert len(named) == 30


@task("The outage is over: resume what was paused for it.", by="maria", most=6)
def resume(hand: Hand, world: World) -> None:
    """Pauses of many are remembered as one act: what was paused before, for other reasons, stays paused."""
    before = hand.known(lambda: {*Job.objects.filter(is_active=False).values_list("name", flat=True)})
    hand.follow(hand.page.locator(".counter").filter(has_text="Paused"), "Paused")
    hand.act_on_all("Resume")
    hand.click(hand.page.get_by_label(re.compile("Outage of the warehouse")), "those of the outage")
    hand.picture(hand.page)
    hand.follow_button("Resume")
    after = hand.known(lambda: {*Job.objects.filter(is_active=False).values_list("name", flat=True)})
    assert before - after == {f"Warehouse: {table}" for table in TABLES} - {"Warehouse: visits"}
    assert {"Warehouse: visits", "Bank statements", "Survey mails"} <= after


@task("What is due on Monday at 09:00?", by="tom", most=2)
def load(hand: Hand, world: World) -> None:
    """The coming week by the hour, the busiest the deepest; an hour opens into its minutes. By team, category,
    repository and owner, too. Hours in which a limit is met are marked.
    """
    hand.follow_link("Calendar")
    cell = hand.page.get_by_role("link", name=re.compile(r"^Mon .*09:00: ")).last
    label = cell.get_attribute("aria-label")
    hand.follow(cell, "09 of Monday")
    hand.page.locator("#minutes").scroll_into_view_if_needed()
    hand.picture(hand.page)
    day = re.search(r"Mon (\d+) (\w+)", label)

    def due_by_minute() -> dict[str, int]:
        today = local_date(timezone.now())
        days = [today + timedelta(days=number) for number in range(8)]
        monday = max(one for one in days if f"{one:%d %b}" == f"{day[1]} {day[2]}")
        start = datetime(monday.year, monday.month, monday.day, 9, tzinfo=timezone.get_default_timezone())
        found: dict[str, int] = {}
        for job in Job.objects.filter(is_active=True, end_date__gte=monday):
            until = start + timedelta(minutes=59)
            for moment in cron.fire_times_between(
                job.cron_expression, job.zone_name, after=start - timedelta(seconds=1), until=until, limit=60
            ):
                minute = f"{timezone.localtime(moment):%H:%M}"
                found[minute] = found.get(minute, 0) + 1
        return found

    cells = [row.locator("td").all_inner_texts() for row in hand.page.locator("#minutes tbody tr").all()]
    shown = {row[0].strip(): int(row[1]) for row in cells}
    assert shown == hand.known(due_by_minute)
    assert f"{sum(shown.values())} runs" in label


@task("Change a schedule, and see the difference before.", by="priya", most=4)
def change(hand: Hand, world: World) -> None:
    """The next ten runs of what is typed stand beside those that are stored; what is due already is told, nights in
    which the clocks change are named.
    """
    hand.find_by_palette("sales", "Sales report")
    hand.open_tab("Definition")
    hand.write("Cron expression", "45 7 * * mon-fri")
    preview = hand.page.locator("#schedule-preview")
    preview.locator(".run-new").first.wait_for()
    assert preview.locator(".run-gone").first.inner_text() != preview.locator(".run-new").first.inner_text()
    preview.scroll_into_view_if_needed()
    hand.picture(hand.page)
    hand.follow_button("Save")
    assert hand.known(lambda: job_named("Sales report").cron_expression) == "45 7 * * mon-fri"


@task("Clone a job.", by="daniel", most=5)
def clone(hand: Hand, world: World) -> None:
    """A new form is filled in like the job it comes from, but for its secrets."""
    hand.find_by_palette("invoices", "Invoices of the day")
    hand.follow_link("Clone")
    hand.write("Name", "Invoices of the night")
    hand.write("End date", str(FAR))
    hand.picture(hand.page)
    hand.follow_button("Save")
    old, new = hand.known(lambda: (job_named("Invoices of the day"), job_named("Invoices of the night")))
    copied = ("cron_expression", "target_url", "pic_team_id", "category_id", "metadata")
    assert [getattr(new, name) for name in copied] == [getattr(old, name) for name in copied]
    assert hand.known(lambda: job_named("Invoices of the night").created_by.username) == "daniel"


@task("Run it again, with other inputs.", by="priya", most=4)
def rerun(hand: Hand, world: World) -> None:
    """The inputs that were sent stand in the dialog, to be edited; they hold for this run alone."""
    hand.follow_link("Executions")
    hand.search("sales report")
    hand.follow(hand.page.locator("#result_list tbody .field-happened a").first, "the newest")
    hand.click(hand.find("link", "Run again"), "Run again")
    dialog = hand.page.get_by_role("dialog")
    dialog.get_by_label("Inputs").wait_for()
    sent = json.loads(dialog.get_by_label("Inputs").input_value())
    assert sent == {"region": "all", "day": "yesterday"}
    hand.press("Control+a")
    other = {"region": "north", "day": "2026-11-30"}
    hand.type(json.dumps(other))
    hand.picture(hand.page)
    hand.follow(dialog.get_by_role("button", name="Run"), "Run")
    made = hand.known(lambda: JobExecution.objects.get(job__name="Sales report", trigger_type=TriggerType.MANUAL))
    assert made.overrides["metadata"] == other
    assert hand.known(lambda: job_named("Sales report").metadata) == sent
    assert hand.page.url.endswith(f"/{made.pk}/change/")


@task("Extend 20 jobs that are about to end.", by="maria", most=6)
def extend(hand: Hand, world: World) -> None:
    """The counter leads to those that end within 30 days; the page between says when each of them ends."""
    before = hand.known(lambda: dict(Job.objects.values_list("name", "end_date")))
    hand.follow(hand.page.locator(".counter").filter(has_text="Ending in 30 days"), "Ending in 30 days")
    hand.act_on_all("Extend")
    hand.write("Reason", "Contracts renewed")
    hand.picture(hand.page)
    hand.follow_button("Extend")
    after = hand.known(lambda: dict(Job.objects.values_list("name", "end_date")))
    extended = {f"Feed of {name}" for name in SUPPLIERS} | {"Rotate access logs", "Month end closing"}
    assert {name: (after[name] - day).days for name, day in before.items() if after[name] != day} == dict.fromkeys(
        extended, 30
    )
    assert hand.known(lambda: JobRenewal.objects.filter(reason="Contracts renewed").count()) == len(extended) == 20


@task("Somebody has left: hand over the jobs.", by="maria", most=7)
def leaver(hand: Hand, world: World) -> None:
    """People says how many jobs each account owns; the number leads to them."""
    owned = hand.known(lambda: {*Job.objects.filter(created_by__username=LEAVER).values_list("pk", flat=True)})
    hand.follow_link("People")
    row = hand.page.locator("#result_list tbody tr").filter(has_text=LEAVER)
    hand.follow(row.locator(".field-job_count a"), "her number of jobs")
    hand.act_on_all("Hand")
    hand.choose(hand.page.get_by_label("New owner"), "New owner", "priya")
    hand.picture(hand.page)
    hand.follow_button("Hand over")
    owners = hand.known(lambda: {*Job.objects.filter(pk__in=owned).values_list("created_by__username", flat=True)})
    assert (len(owned), owners) == (6, {"priya"})


@task("Who changed it? Undo it.", by="priya", most=4)
def undo(hand: Hand, world: World) -> None:
    """Each change with who made it, when and why, before and after side by side. An earlier revision can be put back,
    after a look at what that changes.
    """
    assert hand.known(lambda: job_named("Clean staging tables").cron_expression) == "45 13 * * *"
    hand.find_by_palette("staging", "Clean staging tables")
    hand.open_tab("Changes")
    hand.click(hand.find("link", "Restore revision 1"), "Restore revision 1")
    dialog = hand.page.get_by_role("dialog")
    dialog.get_by_text("45 3 * * *").wait_for()
    hand.picture(hand.page)
    hand.follow(dialog.get_by_role("button", name="Restore"), "Restore")
    assert hand.known(lambda: job_named("Clean staging tables").cron_expression) == "45 3 * * *"


@task("Upload a CSV file that has faults, and mend them.", by="daniel", most=7)
def upload(hand: Hand, world: World) -> None:
    """Every fault of every row at once, and remedies for the whole file. Nothing is changed before it is taken in; what
    stays out comes back as CSV, with the reasons.
    """
    file = world.folder / "new-jobs.csv"
    file.write_text(_faulty())
    hand.follow_link("Upload")
    hand.choose_file(hand.page.locator("input[name=file]"), "CSV file", file)
    hand.press_button("Check the file")
    hand.page.get_by_text("0 of 12 rows can be taken in").wait_for()
    hand.click(hand.page.get_by_label("End date, where it is blank or past"), "End date, where it is blank or past")
    # As the browser is told to ask for it: month, day, year.
    hand.type(f"{FAR:%m%d%Y}")
    hand.choose(hand.page.locator("select[name=team_to]"), "the team “Shop teams”", "is Shops")
    hand.press_button("Check again")
    hand.page.get_by_text("11 of 12 rows can be taken in").wait_for()
    hand.picture(hand.page)
    assert hand.page.locator("input[name=default_owner]").input_value() == ""
    hand.press_button("Take in 11 rows")
    hand.page.get_by_text("Done").wait_for()
    made = hand.known(
        lambda: [*Job.objects.filter(name__startswith="Stock of").select_related("pic_team", "created_by")]
    )
    assert {(job.pic_team.name, job.created_by.username, str(job.end_date)) for job in made} == {
        ("Shops", "daniel", str(FAR))
    }
    assert len(made) == 11


def _faulty() -> str:
    """Return a file of twelve jobs: a team nobody knows, end dates that have passed, and one hour too many."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["Job Name", "Cron Expression", "Target URL", "End Date", "PIC Team"])
    for number, city in enumerate(CITIES[:12]):
        hour = 25 if number == 7 else number
        writer.writerow(
            [f"Stock of {city}", f"0 {hour} * * *", "https://example.com/stock", "2024-12-31", "Shop teams"]
        )
    return out.getvalue()


@task("Export all jobs.", by="tom", most=6)
def export(hand: Hand, world: World) -> None:
    """A CSV file as an upload takes it, or YAML to read; of all jobs, or of those that a filter leaves."""
    hand.follow_link("Jobs")
    hand.click(hand.page.locator("#action-toggle"), "all rows")
    hand.click(hand.page.get_by_role("link", name=re.compile("^Select all")), "Select all jobs")
    hand.choose(hand.page.locator("select[name=action]"), "Select action", "Export")
    hand.follow_button("Run")
    hand.picture(hand.page)
    file = hand.download("Export")
    file.save_as(world.folder / file.suggested_filename)
    text = (world.folder / "jobs.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    names = {next(text for title, text in row.items() if "name" in title.lower()) for row in rows}
    assert names == hand.known(lambda: {*Job.objects.values_list("name", flat=True)})


@task("Does Slack take our messages?", by="maria", most=3)
def slack(hand: Hand, world: World) -> None:
    """The message is posted at once; what Slack answered is shown and kept."""
    hand.follow_link("Slack")
    hand.click(hand.find("link", "Send a test message"), "Send a test message")
    dialog = hand.page.get_by_role("dialog")
    hand.follow(dialog.get_by_role("button", name="Send"), "Send")
    hand.page.get_by_text("Slack accepted the message.").wait_for()
    hand.picture(hand.page)
    assert world.slack.texts == [f":wave: Test message of {settings.SERVICE_NAME}, asked for by maria."]
    assert hand.known(lambda: SlackSettings.objects.get().last_success_at) is not None


@task("Is the scheduler alive, and how late is it?", by="maria", most=1)
def alive(hand: Hand, world: World) -> None:
    """In the foot of every page: who leads was seen when, and how late the newest run was. It leads to the rest."""
    pulse = hand.page.locator("#pulse")
    pulse.get_by_text("Scheduler runs").wait_for()
    assert re.search(r"Scheduler runs\s+seen .* ago, \d+\.\d s late", pulse.inner_text())
    hand.follow(pulse.get_by_role("link"), "Scheduler runs")
    hand.picture(hand.page)
    status = hand.known(lambda: leadership.read_status(now=timezone.now()))
    assert status.running
    assert status.leader in hand.text
    assert re.search(r"Late, half of them\s+[\d.]+\ss", hand.text)


@task("Make a token for a script.", by="daniel", most=5)
def token(hand: Hand, world: World) -> None:
    """Its secret is shown once, with a command that uses it. What it may do, until when and from where is chosen here;
    revoking it is one click.
    """
    hand.follow_link("Tokens")
    hand.follow(hand.page.locator("a[href$='/apitoken/add/']").first, "Add")
    hand.write("Name", "deploy pipeline")
    hand.click(hand.page.get_by_label("run: run and test jobs"), "run: run and test jobs")
    hand.follow_button("Save")
    secret = hand.page.locator("#secret").inner_text()
    # The picture shows what a secret looks like, and none.
    hand.page.evaluate(HIDE_SECRETS)
    hand.picture(hand.page)
    answer = requests.get(f"{world.url}/api/v2/jobs", headers={"Authorization": f"Bearer {secret}"}, timeout=30)
    assert answer.status_code == 200
    made = hand.known(lambda: ApiToken.objects.get(name="deploy pipeline"))
    assert (sorted(made.scopes), made.last_used_at is not None) == (["read", "run"], True)
