"""Why a job ran or did not: each verdict, what counts cover, and many causes at once."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.terms import Gap
from jobs import cron
from jobs.history import reasons
from jobs.history.why import PRUNED, Definition, Facts, Hold, Run, Verdict, why, why_at
from jobs.history.why_words import missed, sentence

TOKYO = ZoneInfo("Asia/Tokyo")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# A Tuesday; 09:00 in Tokyo is midnight UTC.
NINE = datetime(2026, 3, 10, 0, 0, tzinfo=UTC)
NOW = NINE + 12 * HOUR
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def definition(since=LONG_AGO, expression="0 9 * * *", **fields):
    return Definition(since, expression, "Asia/Tokyo", **{"end_date": date(2099, 12, 31)} | fields)


def run(status="success", *, late=1.0, due_at=NINE, **fields):
    started_at = due_at + timedelta(seconds=late)
    answer = {"success": 200, "failed": 500}.get(status)
    return Run(due_at, status, **{"started_at": started_at, "response_status": answer} | fields)


def facts(**fields):
    defaults: dict[str, Any] = {
        "now": NOW,
        "created_at": NINE - 30 * DAY,
        "definitions": [definition()],
        "end_zone": TOKYO,
    }
    return Facts(**defaults | fields)


GAP = Gap(NINE - 20 * MINUTE, NINE + 4 * MINUTE, "It was stopped.")
PAUSE = Hold(Verdict.PAUSED, NINE - HOUR, NINE + HOUR, "anna", "target is moved.")
EDIT = NINE + 3 * HOUR
EDITED = definition(EDIT, by="anna", reason="too early")

CASES = {
    "ran": (facts(runs=[run()]), "ran", "It ran at 09:00:01, and the target answered 200."),
    "as late as a change of leader takes": (facts(runs=[run(late=9.5)]), "ran", "It ran at 09:00:09"),
    "within its spread": (
        facts(runs=[run(late=300)], definitions=[definition(spread_seconds=300)]),
        "ran",
        "It ran at 09:05:00",
    ),
    "late": (facts(runs=[run(late=75)]), "ran_late", "It ran 1 min 15 s late at 09:01:15"),
    "late after a gap": (
        facts(runs=[run(late=245)], gaps=[GAP]),
        "ran_late",
        "It ran 4 min 5 s late at 09:04:05, and the target answered 200. No scheduler was running from 08:40 to 09:04.",
    ),
    "retried": (
        facts(runs=[run(attempt=3)]),
        "retried",
        "It ran, at attempt 3, and the target answered 200. The first was made at 09:00:01.",
    ),
    "failed": (facts(runs=[run("failed")]), "failed", "The target answered 500."),
    "failed often": (
        facts(runs=[run("failed", attempt=3, response_status=503)]),
        "failed",
        "The target answered 503 after 3 attempts.",
    ),
    "failed without an answer": (
        facts(runs=[run("failed", response_status=None)]),
        "failed",
        "It failed: Request failed: timed out after 10 s.",
    ),
    "failed with the wrong text": (
        facts(runs=[run("failed", response_status=200)]),
        "failed",
        "The target answered 200, but not as the job expects: Request failed: timed out after 10 s.",
    ),
    "refused": (
        facts(runs=[run("failed", response_status=404)]),
        "refused",
        "The target refused it: it answered 404.",
    ),
    "redirected": (
        facts(runs=[run("failed", response_status=301, attempt=2)]),
        "refused",
        "The target refused it: it answered 301 after 2 attempts.",
    ),
    "its GitHub run failed": (
        facts(runs=[run()], conclusions={NINE: "failure"}),
        "run_failed",
        "GitHub started the run, and it ended with failure.",
    ),
    "unknown, and its GitHub run failed": (
        facts(runs=[run("unknown")], conclusions={NINE: "cancelled"}),
        "run_failed",
        "GitHub started the run, and it ended with cancelled.",
    ),
    "its GitHub run goes on": (
        facts(runs=[run()], conclusions={NINE: ""}),
        "running",
        "GitHub started the run, and it has not ended yet.",
    ),
    "running": (facts(runs=[run("running")]), "running", "It has been running since 09:00:01."),
    "queued": (
        facts(runs=[run("queued")]),
        "waiting",
        "It is queued and starts as soon as there is a place in flight for it.",
    ),
    "waits for another attempt": (
        facts(runs=[run("queued", attempt=2)]),
        "waiting",
        "Attempt 1 failed; attempt 2 follows.",
    ),
    "unknown": (
        facts(runs=[run("unknown", reason="The sender died.")]),
        "unknown",
        "The sender died.",
    ),
    "missed without a leader": (
        facts(runs=[run("missed", reason=reasons.LATE)], gaps=[GAP]),
        "missed_no_leader",
        "No scheduler was running from 08:40 to 09:04.",
    ),
    "missed under a leader": (
        facts(runs=[run("missed", reason=reasons.LATE)], gaps=[GAP._replace(end=NINE)]),
        "missed_late",
        f"A scheduler was running, but could not start it within the job's misfire grace time. {reasons.LATE}",
    ),
    "missed with many others": (
        facts(runs=[run("missed", due_at=NINE + 5 * DAY, missed_from=NINE - 5 * DAY)], gaps=[GAP]),
        "missed_no_leader",
        "No scheduler was running from 08:40 to 09:04.",
    ),
    "overlapping": (
        facts(runs=[run("skipped", reason=reasons.STILL_GOING)]),
        "skipped_overlap",
        "It was skipped, because an earlier execution of the job was still going.",
    ),
    "too many waited": (
        facts(runs=[run("skipped", reason=reasons.too_many_waiting(100))]),
        "skipped_limit",
        "It was skipped: 100 executions of the job were waiting already.",
    ),
    "paused while it waited": (
        facts(runs=[run("skipped", reason=reasons.PAUSED)], holds=[PAUSE._replace(start=NINE + MINUTE)]),
        "paused",
        "Paused by anna since 09:01 until 10:00, because: target is moved.",
    ),
    "paused": (
        facts(holds=[PAUSE]),
        "paused",
        "Paused by anna since 08:00 until 10:00, because: target is moved.",
    ),
    "paused still, from another day on": (
        facts(holds=[Hold(Verdict.PAUSED, NINE - DAY, None, "anna")]),
        "paused",
        "Paused by anna since 2026-03-09 09:00.",
    ),
    "paused, and a run was made up for": (facts(runs=[run(late=7200)], holds=[PAUSE]), "ran_late", "It ran 2 h late"),
    "paused before pauses were on record": (
        facts(
            definitions=[
                definition(),
                definition(NINE - 3 * HOUR, is_active=False, by="anna", reason="holidays"),
                definition(NINE - HOUR, is_active=False, by="otto"),
            ]
        ),
        "paused",
        "Paused by anna since 06:00, because: holidays.",
    ),
    "frozen": (
        facts(holds=[Hold(Verdict.FROZEN, NINE - HOUR, NINE + HOUR, "otto", "release")]),
        "frozen",
        "Frozen by otto since 08:00 until 10:00, because: release.",
    ),
    "ended": (
        facts(definitions=[definition(end_date=date(2026, 3, 9))]),
        "ended",
        "The job's end date 2026-03-09 had passed.",
    ),
    "ended then, extended since": (
        facts(definitions=[definition(end_date=date(2026, 3, 9)), definition(EDIT)]),
        "ended",
        "The job's end date 2026-03-09 had passed.",
    ),
    "the last day is a day": (facts(definitions=[definition(end_date=date(2026, 3, 10))]), "unknown", PRUNED),
    "cannot be scheduled": (
        facts(schedule_error="The job's row could not be read or written."),
        "unschedulable",
        "The job cannot be scheduled: The job's row could not be read or written.",
    ),
    "not created yet": (
        facts(created_at=NINE + HOUR, created_by="anna"),
        "not_created_yet",
        "The job was created only at 10:00 by anna.",
    ),
    "today's definition names it, that of then did not": (
        facts(definitions=[definition(expression="30 9 * * *"), EDITED]),
        "other_schedule",
        'The schedule was changed at 12:00 by anna, because: too early. The schedule was "30 9 * * *" then'
        " in Asia/Tokyo.",
    ),
    "that of then named it, today's does not": (
        facts(definitions=[definition(), EDITED._replace(cron_expression="30 9 * * *")]),
        "other_schedule",
        'The schedule was changed at 12:00 by anna, because: too early. The schedule was "0 9 * * *" then'
        " in Asia/Tokyo.",
    ),
    "that of then named it and it ran": (
        facts(definitions=[definition(), EDITED._replace(cron_expression="30 9 * * *")], runs=[run()]),
        "ran",
        "It ran at 09:00:01, and the target answered 200.",
    ),
    "without a leader, and it may still run": (
        facts(now=NINE + 30 * MINUTE, next_fire_at=NINE, gaps=[GAP._replace(end=None)]),
        "waiting",
        "No scheduler has been running since 08:40. It runs or is recorded as missed when one is.",
    ),
    "without a leader, and it is too late": (
        facts(next_fire_at=NINE, gaps=[GAP._replace(end=None)]),
        "missed_no_leader",
        "No scheduler has been running since 08:40.",
    ),
    "due just now": (
        facts(now=NINE + timedelta(seconds=1), next_fire_at=NINE),
        "waiting",
        "It is due; the scheduler has not started it yet.",
    ),
    "long due, and the leader is behind": (
        facts(next_fire_at=NINE - DAY),
        "waiting",
        "It is due; the scheduler has not started it yet.",
    ),
    "nothing is on record": (facts(next_fire_at=NINE + DAY), "unknown", PRUNED),
    "upcoming": (facts(now=NINE - HOUR, next_fire_at=NINE), "upcoming", "It is still to come."),
    "upcoming, after the pause": (
        facts(
            now=NINE - HOUR,
            holds=[Hold(Verdict.PAUSED, NINE - 2 * HOUR, NINE - MINUTE, "anna")],
            definitions=[definition(is_active=False), definition(NINE - MINUTE)],
        ),
        "upcoming",
        "It is still to come.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cause_has_its_verdict_and_its_sentence(case):
    known, verdict, words = CASES[case]
    found = why_at(known, NINE)
    error = "Request failed: timed out after 10 s" if found.verdict == "failed" else ""
    told = sentence(found, TOKYO, error=error)
    assert (found.verdict, told[: len(words)]) == (verdict, words)
    assert told.endswith(".")
    answer = why(known, start=NINE, end=NINE + MINUTE, limit=1)
    assert (answer.counts, answer.findings) == ({verdict: 1}, [found])


def test_every_verdict_is_in_the_table():
    assert {verdict for _, verdict, _ in CASES.values()} == set(Verdict) - {Verdict.NOT_DUE}


@pytest.mark.parametrize(
    ("case", "by", "since", "until"),
    [
        ("paused", "anna", PAUSE.start, PAUSE.end),
        ("missed without a leader", "", GAP.start, GAP.end),
        ("not created yet", "anna", NINE + HOUR, None),
        ("today's definition names it, that of then did not", "anna", EDIT, None),
        ("ended", "", datetime(2026, 3, 9, 15, 0, tzinfo=UTC), None),
    ],
)
def test_a_verdict_names_who_and_from_when_to_when(case, by, since, until):
    found = why_at(CASES[case][0], NINE)
    assert (found.by, found.since, found.until) == (by, since, until)


def test_a_time_that_is_not_named_comes_with_its_neighbours():
    found = why_at(facts(), NINE + 90 * MINUTE + timedelta(seconds=7))
    assert (found.verdict, found.due_at) == ("not_due", NINE + 90 * MINUTE)
    assert found.other == (NINE, NINE + DAY)
    told = sentence(found, TOKYO)
    assert (
        told == 'No run was due at 10:30. The schedule "0 9 * * *" names 09:00 before it and 2026-03-11 09:00 after it.'
    )


def test_neighbours_are_those_of_the_definition_of_then():
    known = facts(definitions=[definition(expression="0 8 * * *"), EDITED])
    assert why_at(known, NINE + HOUR).other == (NINE - HOUR, NINE + 23 * HOUR)
    assert why_at(known, EDIT + HOUR).other == (NINE, NINE + DAY)


def test_what_cannot_be_computed_says_so():
    broken = facts(definitions=[definition(expression="61 * * * *")])
    found = why_at(broken, NINE)
    assert found.verdict == "unschedulable"
    assert found.reason
    assert why(broken, start=NINE, end=NINE + DAY, limit=9).counts == {}


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (NINE, NINE, "No scheduler was running at 09:00."),
        (NINE, NINE + 2 * MINUTE, "No scheduler was running from 08:40 to 09:04."),
        (NINE, NINE + HOUR, "Otherwise."),
        (NINE + HOUR, NINE + HOUR, "Otherwise."),
        (
            NINE,
            NINE + 2 * HOUR,
            "No scheduler was running from 08:40 to 09:04. No scheduler was running from 10:59:50 to 11:00:10.",
        ),
    ],
)
def test_a_notice_says_why_they_were_missed(first, last, text):
    short = Gap(NINE + 2 * HOUR - timedelta(seconds=10), NINE + 2 * HOUR + timedelta(seconds=10), "")
    assert missed([GAP, short], first, last, TOKYO, otherwise="Otherwise.") == text


# --- Counts ----------------------------------------------------------------------------------------------------------

EXPRESSIONS = ("*/7 * * * *", "0 9 * * *", "30 2 * * 1", "13 */2 * * *")
minutes = st.integers(0, 3 * 1440).map(lambda number: NINE - 2 * DAY + number * MINUTE)


@st.composite
def definitions(draw):
    since = sorted(draw(st.lists(minutes, max_size=3, unique=True)))
    chosen = [draw(st.sampled_from(EXPRESSIONS)) for _ in range(len(since) + 1)]
    active = [draw(st.booleans()) for _ in chosen]
    return [
        definition(moment, expression, is_active=is_active)
        for moment, expression, is_active in zip([LONG_AGO, *since], chosen, active, strict=True)
    ]


def named_minute_by_minute(known, start, end):
    """Return every minute that the definition of then or today's names, asked one by one."""
    found = set()
    changes = [one.since for one in known.definitions[1:]]
    for number, one in enumerate(known.definitions):
        first = changes[number - 1] if number else None
        last = changes[number] if number < len(changes) else None
        for schedule in {one.schedule, known.today.schedule}:
            for moment in cron.fire_times_between(*schedule, after=start - MINUTE, until=end):
                if start <= moment < end and (not first or moment > first) and (not last or moment <= last):
                    found.add(moment)
    return found


@settings(max_examples=60, deadline=None, database=None)
@given(definitions(), minutes, st.integers(1, 2880), st.integers(1, 50), st.randoms(use_true_random=False))
def test_counts_cover_just_the_named_times(told, start, length, limit, chance):
    end = start + length * MINUTE
    known = facts(definitions=told, created_at=NINE - 30 * DAY)
    expected = named_minute_by_minute(known, start, end)
    kinds = ("success", "failed", "missed", "queued")
    runs = [run(chance.choice(kinds), due_at=moment) for moment in sorted(expected) if chance.random() < 0.5]
    answer = why(facts(definitions=told, runs=runs), start=start, end=end, limit=limit)
    assert sum(answer.counts.values()) == len(expected)
    assert [found.due_at for found in answer.findings] == sorted(expected, reverse=True)[:limit]
    assert answer.is_truncated is (len(expected) > limit)
    everything = why(facts(definitions=told, runs=runs), start=start, end=end, limit=5000)
    assert Counter(found.verdict for found in everything.findings) == answer.counts


# --- Ten thousand times with causes injected -------------------------------------------------------------------------


def test_of_ten_thousand_times_every_verdict_is_right():
    """Lay causes over a week of minutes, stretch by stretch, and say of each minute what must come out."""
    chance = random.Random(15)
    start = NINE - 10 * DAY
    runs: list[Run] = []
    gaps: list[Gap] = []
    holds: list[Hold] = []
    expected: dict[datetime, str] = {}
    moment = start
    while len(expected) < 10_000:
        stretch = chance.randint(1, 90)
        times = [moment + number * MINUTE for number in range(stretch)]
        cause = chance.choice(list(INJECTED))
        told = INJECTED[cause](times, runs, gaps, holds, chance)
        expected |= dict(zip(times, told, strict=True))
        moment = times[-1] + MINUTE
    known = facts(
        definitions=[definition(expression="* * * * *")], runs=runs, gaps=gaps, holds=holds, created_at=start - DAY
    )
    answer = why(known, start=start, end=moment, limit=20_000)
    assert {found.due_at: found.verdict for found in answer.findings} == expected
    assert answer.counts == Counter(expected.values())
    assert len(expected) >= 10_000
    assert len(answer.counts) >= 10


def outcome(status, verdict, **fields):
    def inject(times, runs, gaps, holds, chance):
        runs += [run(status, due_at=moment, **fields) for moment in times]
        return [verdict] * len(times)

    return inject


def outage(times, runs, gaps, holds, chance):
    """Without a leader: of few the last runs late and the others are missed; many misses become one row."""
    gaps.append(Gap(times[0] - timedelta(seconds=3), times[-1] + timedelta(seconds=20), "killed"))
    *lost, last = times
    if len(lost) > 10:
        runs.append(run("missed", due_at=lost[-1], missed_from=lost[0]))
    else:
        runs += [run("missed", due_at=moment) for moment in lost]
    runs.append(run(due_at=last, late=21))
    return ["missed_no_leader"] * len(lost) + ["ran_late"]


def pause(times, runs, gaps, holds, chance):
    """A pause from just before the first to just after the last; one run was waiting, one is made up for."""
    holds.append(Hold(Verdict.PAUSED, times[0] + timedelta(seconds=30), times[-1] + timedelta(seconds=5), "anna"))
    runs.append(run("skipped", due_at=times[0], reason=reasons.PAUSED))
    if len(times) == 1:
        return ["paused"]
    runs.append(run(due_at=times[-1], late=11))
    return ["paused"] * (len(times) - 1) + ["ran_late"]


INJECTED = {
    "well": outcome("success", "ran"),
    "late": outcome("success", "ran_late", late=40),
    "retried": outcome("success", "retried", attempt=2),
    "failing": outcome("failed", "failed"),
    "refusing": outcome("failed", "refused", response_status=404),
    "killed": outcome("unknown", "unknown", reason="The sender died."),
    "busy": outcome("missed", "missed_late", reason=reasons.LATE),
    "overlap": outcome("skipped", "skipped_overlap", reason=reasons.STILL_GOING),
    "limit": outcome("skipped", "skipped_limit", reason=reasons.too_many_waiting(100)),
    "outage": outage,
    "pause": pause,
}
