"""The table of clock changes in `docs/cron.md` is what the engine does."""

from datetime import date, datetime, timedelta
from pathlib import Path

from jobs import cron

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cron.md"
ZONE = cron.zone("America/New_York")
GAP, FOLD = date(2026, 3, 8), date(2026, 11, 1)
EXPRESSIONS = (
    "30 2 * * *",
    "15,30 2 * * *",
    "30 2-3 * * *",
    "*/30 2 * * *",
    "0 */2 * * *",
    "11 0-23/1 * * *",
    "30 1 * * *",
    "0 0-3 * * *",
    "*/30 1 * * *",
    "30 */1 * * *",
)


def night(expression: str, day: date) -> str:
    """Return the local times from midnight to 05:00 at which `expression` fires, each with its abbreviation."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    until = midnight.replace(hour=5) - timedelta(minutes=1)
    fired = cron.fire_times_between(expression, ZONE, after=midnight - timedelta(minutes=1), until=until)
    return ", ".join(f"{moment.astimezone(ZONE):%H:%M %Z}" for moment in fired) or "nothing"


def table() -> str:
    rows = [f"| `{expression}` | {night(expression, GAP)} | {night(expression, FOLD)} |" for expression in EXPRESSIONS]
    return "\n".join([f"| expression | {GAP} | {FOLD} |", "|---|---|---|", *rows])


def test_the_page_shows_what_the_engine_does():
    assert table() in PAGE.read_text(encoding="utf-8")
