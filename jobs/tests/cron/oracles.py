"""Two ways to find fire times that share no line with the engine, and expressions to try them on."""

import calendar
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

MINUTE = timedelta(minutes=1)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


def fire_times_of_cronsim(expression: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    for local in CronSim(expression, after.astimezone(zone)):
        instant = local.astimezone(UTC)
        if instant > until:
            return found
        found.append(instant)
    return found


class Minutes:
    """Every real minute of a stretch of time with the wall clock it shows in a zone."""

    def __init__(self, zone: ZoneInfo, start: datetime, stop: datetime) -> None:
        self.rows: list[tuple[datetime, datetime, list[datetime]]] = []
        before = (start - MINUTE).astimezone(zone)
        instant = start
        while instant < stop:
            local = instant.astimezone(zone)
            jump = local.replace(tzinfo=None) - before.replace(tzinfo=None)
            skipped = [before.replace(tzinfo=None) + MINUTE * n for n in range(1, jump // MINUTE)]
            self.rows.append((instant, local, skipped))
            before, instant = local, instant + MINUTE


def fire_times_by_brute_force(expression: str, minutes: Minutes) -> list[datetime]:
    """Ask every minute whether crontab(5) would run now."""
    columns = expression.lower().split()
    is_fixed_time = columns[0][0] != "*" and columns[1][0] != "*"
    matches = matcher(columns)
    if is_fixed_time:
        return [
            instant
            for instant, local, skipped in minutes.rows
            if (matches(local) and not local.fold) or any(map(matches, skipped))
        ]
    return [instant for instant, local, _ in minutes.rows if matches(local)]


def matcher(columns: list[str]):
    minute, hour, day, month, weekday = columns
    minutes, hours = numbers(minute, *BOUNDS[0]), numbers(hour, *BOUNDS[1])
    days, months = numbers(day, *BOUNDS[2]), numbers(month, *BOUNDS[3], MONTHS)
    parts = [item.partition("#") for item in weekday.split(",")]
    weekdays = [({number % 7 for number in numbers(name, *BOUNDS[4], WEEKDAYS)}, nth) for name, _, nth in parts]

    def day_matches(local: datetime) -> bool:
        if day == "l":
            return local.day == calendar.monthrange(local.year, local.month)[1]
        return local.day in days

    def weekday_matches(local: datetime) -> bool:
        today, nth_today = local.isoweekday() % 7, str((local.day - 1) // 7 + 1)
        return any(today in named and nth in ("", nth_today) for named, nth in weekdays)

    def matches(local: datetime) -> bool:
        if local.minute not in minutes or local.hour not in hours or local.month not in months:
            return False
        if day[0] == "*" or weekday[0] == "*":
            return day_matches(local) and weekday_matches(local)
        return day_matches(local) or weekday_matches(local)

    return matches


def numbers(field: str, first: int, last: int, names: list[str] | None = None) -> set[int]:
    found: set[int] = set()
    for item in field.split(","):
        if item == "l":
            continue
        base, _, step = item.partition("/")
        for place, name in enumerate(names or []):
            base = base.replace(name, str(place + first))
        if base == "*":
            low, high = first, last
        elif "-" in base:
            low, high = map(int, base.split("-"))
        else:
            low = int(base)
            high = last if step else low
        found |= {number for number in range(low, high + 1) if (number - low) % int(step or 1) == 0}
    return found


def expressions(seed: int, count: int) -> Iterator[str]:
    """Make valid expressions of every accepted shape, most of them frequent enough to meet a clock change."""
    chance = random.Random(seed)
    for _ in range(count):
        minute, hour = field(chance, 0), field(chance, 1)
        if chance.random() < 0.5:
            yield f"{minute} {hour} * * *"
            continue
        month = "*" if chance.random() < 0.7 else field(chance, 3)
        weekday = field(chance, 4)
        day = chance.choice(("*", "L", field(chance, 2)))
        if month != "*" and "2" not in day and "*" not in day:
            day = chance.choice(("*", "1-28"))  # a 31st of a short month would be refused
        if day == "*" and chance.random() < 0.3:
            weekday = ",".join(f"{number(chance, 4)}#{chance.randint(1, 5)}" for _ in range(chance.randint(1, 3)))
        yield f"{minute} {hour} {day} {month} {weekday}"


def field(chance: random.Random, place: int) -> str:
    shape = chance.random()
    if shape < 0.25:
        return "*"
    if shape < 0.45:
        return f"*/{step(chance, place)}"
    items = [item(chance, place) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    if shape > 0.97:
        items.insert(chance.randint(0, len(items)), "*")
    return ",".join(items)


def item(chance: random.Random, place: int) -> str:
    first, last = BOUNDS[place]
    shape = chance.random()
    if shape < 0.5:
        return number(chance, place)
    if shape < 0.6:
        return f"{number(chance, place)}/{step(chance, place)}"
    low, high = sorted(chance.sample(range(first, last + 1), 2))
    return f"{low}-{high}" if shape < 0.85 else f"{low}-{high}/{step(chance, place)}"


def number(chance: random.Random, place: int) -> str:
    first, last = BOUNDS[place]
    names = {3: MONTHS, 4: WEEKDAYS}.get(place)
    if names and chance.random() < 0.3:
        name = chance.choice(names)
        return chance.choice((name, name.upper(), name.title()))
    # Clocks change at night: small hours are more telling than others.
    if place == 1 and chance.random() < 0.6:
        last = 3
    return str(chance.randint(first, last))


def step(chance: random.Random, place: int) -> int:
    return chance.choice((1, 2, 3, 5, chance.randint(1, BOUNDS[place][1] + 5)))
