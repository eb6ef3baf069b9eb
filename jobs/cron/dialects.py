"""What expressions of other schedulers say in crontab's words.

A proposal is made only where it means the same: a wrong schedule that looks helpful is worse than none. Sources: cron
pages of Amazon EventBridge (`minute hour day month weekday year`, weekdays 1-7 from Sunday) and of Quartz (`second
minute hour day month weekday [year]`, weekdays 1-7 from Sunday); both demand a `?` in one of the two day fields, which
is how they are told apart. Workflow files of GitHub read their schedules in UTC.
"""

import re
from collections.abc import Callable, Sequence

WEEKDAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIVE = 5
SECONDS_AND_YEARS = "seconds and years are not supported"

_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_CALL = re.compile(r"(?i)(cron|rate|at)\s*\((.*)\)")
_YAML = re.compile(r"(?i)-?\s*(cron|schedule)\s*:\s*(.*)")
_RATE = re.compile(r"(?i)(\d+)\s+(minute|hour|day)s?")
_YEAR = re.compile(r"(19|20)\d\d([-,/].*)?")
_RATES = {"minute": (60, "*/{} * * * *"), "hour": (24, "0 */{} * * *"), "day": (1, "0 0 * * *")}
_RATES_OF_ONE = {"minute": "* * * * *", "hour": "0 * * * *", "day": "0 0 * * *"}

IsValid = Callable[[str], bool]


def numbered_weekdays(text: str, *, first: int) -> tuple[int, ...]:
    """Return which weekdays (0 is Sunday) a field of numbers and names means where weekdays are counted otherwise.

    `first` is the number that stands for Sunday there; Monday's is one more, up to seven numbers from the lowest one.
    A step walks through the numbers of there. Raises ValueError for what is no list of days and ranges.
    """
    low = 1 if first == 1 else 0
    order = [(number - first) % 7 for number in range(low, low + 7)]
    found: set[int] = set()
    for item in text.upper().split(","):
        base, slash, step = item.partition("/")
        start, dash, end = ("0", "-", "6") if base == "*" else base.partition("-")
        begins = order.index(_weekday(start, order, low)) if base != "*" else 0
        ends = order.index(_weekday(end, order, low)) if dash and base != "*" else (6 if slash or dash else begins)
        if ends < begins or (slash and int(step) < 1):
            raise ValueError(f"{item} is no range of weekdays")
        found.update(order[begins : ends + 1 : int(step) if slash else 1])
    return tuple(sorted(found))


def _weekday(text: str, order: Sequence[int], low: int) -> int:
    if text in WEEKDAY_NAMES:
        return WEEKDAY_NAMES.index(text)
    if not (text.isascii() and text.isdigit() and low <= int(text) < low + 7):
        raise ValueError(f"{text} is no weekday")
    return order[int(text) - low]


def weekday_names(weekdays: Sequence[int]) -> str:
    """Write weekdays (0 is Sunday) by their names, from Monday on, `*` for all seven."""
    from_monday = sorted((weekday - 1) % 7 for weekday in weekdays)
    if len(from_monday) == 7:
        return "*"
    runs: list[list[int]] = []
    for day in from_monday:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(_run_of_names([WEEKDAY_NAMES[(day + 1) % 7] for day in run]) for run in runs)


def _run_of_names(names: Sequence[str]) -> str:
    # A range of names may not reach Sunday: crontab counts that as the first day.
    if names[-1] == "SUN" and len(names) > 1:
        return ",".join(filter(None, (_run_of_names(names[:-1]), "SUN")))
    return f"{names[0]}-{names[-1]}" if len(names) > 2 else ",".join(names)


# --- Hints -----------------------------------------------------------------------------------------------------------


def hint_for(text: str, is_valid: IsValid) -> str | None:
    """Return what to write instead of an expression that is wrapped in something, None where it is not."""
    bare = text.strip()
    if call := _CALL.fullmatch(bare):
        return _hint_for_call(call.group(1).lower(), call.group(2).strip(), is_valid)
    if line := _YAML.fullmatch(bare):
        inner = line.group(2).partition(" #")[0].strip().strip(_QUOTES).strip()
        where = "A workflow of GitHub reads its schedule in UTC: set the time zone of the job to UTC to keep its times."
        return f"Write {inner}. {where}" if is_valid(inner) else "Write only the five fields, without what is around."
    inner = bare.strip(_QUOTES).strip()
    if inner != bare:
        return f"Leave out the quotes: write {inner}" if is_valid(inner) else "Leave out the quotes."
    return None


def _hint_for_call(kind: str, inner: str, is_valid: IsValid) -> str:
    if kind == "at":
        return "at(...) is one moment, and jobs here repeat: write five fields, and set the end date to that day."
    if kind == "rate":
        return _hint_for_rate(inner)
    columns = inner.strip(_QUOTES).split()
    if len(columns) == FIVE and is_valid(" ".join(columns)):
        return f"Write {' '.join(columns)}"
    proposal, why = _from_aws(columns, is_valid)
    return (
        f"Write {proposal} (there, weekdays count from 1, Sunday, and times are in UTC unless set)."
        if proposal
        else why
    )


def _hint_for_rate(inner: str) -> str:
    rate = _RATE.fullmatch(inner)
    if not rate:
        return "rate(...) is not supported; for example */5 * * * * runs every 5 minutes."
    count, unit = int(rate.group(1)), rate.group(2).lower()
    whole, form = _RATES[unit]
    clock = "crontab goes by the clock, not from when the rate was made"
    if count == 1:
        return f"Write {_RATES_OF_ONE[unit]}: {clock}."
    if count and whole % count == 0 and count < whole:
        return f"Write {form.format(count)}: {clock}."
    return f"{clock[0].upper()}{clock[1:]}, so a rate of {count} {unit}s has no expression of five fields."


def hint_for_fields(columns: Sequence[str], is_valid: IsValid) -> str:
    """Return what is to be said about six fields or more."""
    found = f"Found {len(columns)} fields; {SECONDS_AND_YEARS}."
    if command := _without_command(columns, is_valid):
        return f"{found} Leave out the command: write {command}"
    if len(columns) not in (6, 7):
        return found
    if "?" in columns:
        is_aws = len(columns) == 6 and "?" in (columns[2], columns[4])
        proposal, why = (_from_aws if is_aws else _from_quartz)(columns, is_valid)
        return f"{found} Write {proposal}" if proposal else f"{found} {why}"
    return f"{found} {_hint_without_question_mark(columns, is_valid)}".rstrip()


def _without_command(columns: Sequence[str], is_valid: IsValid) -> str | None:
    """Return the five fields that stand before what looks like the command of a crontab line."""
    five, rest = " ".join(columns[:FIVE]), columns[FIVE:]
    is_command = any(re.search(r"[a-z]{2}|[a-z./]{3}", word) for word in rest) and not _is_cron_like(rest[0])
    return five if is_command and is_valid(five) else None


def _is_cron_like(text: str) -> bool:
    return bool(re.fullmatch(r"(?i)[\d*?,/#LW-]+|(\b(SUN|MON|TUE|WED|THU|FRI|SAT)\b[,#L\d-]*)+", text))


def _hint_without_question_mark(columns: Sequence[str], is_valid: IsValid) -> str:
    """Return the hint for six fields without a `?`: they may begin with seconds or end with a year."""
    by_year = " ".join(columns[:FIVE]) if len(columns) == 6 and columns[5] == "*" else ""
    by_second = " ".join(columns[1:6]) if columns[0] in ("0", "00") and columns[6:] in ([], ["*"]) else ""
    by_year, by_second = (five if five and is_valid(five) else "" for five in (by_year, by_second))
    if by_second and re.search(r"\d", columns[5]):
        return (
            f"If the first field is seconds, leave it out, and write the weekday {columns[5]} by its name: "
            "schedulers with seconds count weekdays from 0 or from 1."
        )
    if by_year:
        seconds = f"write {by_second}" if by_second else "there is no such schedule here: times are whole minutes"
        return f"If the first field is seconds, {seconds}; if the last one is years, write {by_year}"
    return f"Write {by_second}" if by_second else _why_not(columns)


def _from_aws(columns: Sequence[str], is_valid: IsValid) -> tuple[str | None, str]:
    if len(columns) != 6:
        return None, "Write the five fields minute, hour, day of month, month and day of week."
    if columns[5] != "*":
        return None, _why_not(columns)
    return _translated(columns[:FIVE], is_valid)


def _from_quartz(columns: Sequence[str], is_valid: IsValid) -> tuple[str | None, str]:
    if columns[0] not in ("0", "00") or columns[6:] not in ([], ["*"]):
        return None, _why_not(columns)
    return _translated(columns[1:6], is_valid)


def _translated(columns: Sequence[str], is_valid: IsValid) -> tuple[str | None, str]:
    """Return five fields whose weekdays count from 1, Sunday, in crontab's words; or why there are none."""
    minute, hour, day, month, weekday = ("*" if column == "?" else column for column in columns)
    why = (
        "Write the five fields minute, hour, day of month, month and day of week; there, weekdays count from 1, Sunday."
    )
    try:
        if nth := re.fullmatch(r"(?i)([1-7]|[A-Z]{3})#([1-5])", weekday):
            names = f"{weekday_names(numbered_weekdays(nth.group(1), first=1))}#{nth.group(2)}"
        else:
            names = "*" if weekday == "*" else weekday_names(numbered_weekdays(weekday, first=1))
    except ValueError:
        return None, why
    proposal = " ".join((minute, hour, day, month, names))
    return (proposal, "") if is_valid(proposal) else (None, why)


def _why_not(columns: Sequence[str]) -> str:
    if any(_YEAR.fullmatch(column) for column in columns[FIVE:]):
        return "Leave out the year; the end date says when a job stops."
    if columns[0] not in ("0", "00") and len(columns) > FIVE:
        return "Times are whole minutes: write the five fields minute, hour, day of month, month and day of week."
    return ""
