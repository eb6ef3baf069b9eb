"""What is due of a job at an instant, as tables. Fire times are UTC unless a test is about a zone."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from jobs import cron
from jobs.calendar import end_of
from jobs.models import CatchUp, Overlap
from jobs.schedule.plan import MAX_RUNS, MAX_WAITING, Missed, Plan, Timing, not_before, overlap_refusal, plan

TOKYO = ZoneInfo("Asia/Tokyo")
JOB = UUID("11111111-1111-4111-8111-111111111111")
HOUR = 3600


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-15T{text}").replace(tzinfo=UTC)


def planned(now: str, **fields: Any) -> Plan:
    timing = {
        "cron_expression": "* * * * *",
        "zone_name": "UTC",
        "next_fire_at": at("12:00"),
        "end_date": date(2099, 12, 31),
        "catch_up": CatchUp.LATEST,
        "grace_seconds": HOUR,
        **fields,
    }
    return plan(Timing(**timing), now=at(now), end_zone=TOKYO)


def clock(moments: Any) -> list[str]:
    return [f"{moment:%H:%M}" for moment in moments]


def test_a_fire_time_that_has_come_is_run_and_the_job_moves_on():
    assert planned("12:00:00") == Plan((at("12:00"),), (), at("12:01"), False)


def test_nothing_is_due_before_its_time():
    assert planned("11:59:59.999") == Plan((), (), at("12:00"), False)


@pytest.mark.parametrize(
    "catch_up, grace, now, runs, missed",
    [
        # One late run stands for all that were missed.
        (CatchUp.LATEST, HOUR, "12:03:20", ["12:03"], ["12:00", "12:01", "12:02"]),
        (CatchUp.LATEST, HOUR, "12:00:59", ["12:00"], []),
        # How late is still fine is judged at the claim: the last one is 20 s late.
        (CatchUp.LATEST, 20, "12:03:20", ["12:03"], ["12:00", "12:01", "12:02"]),
        (CatchUp.LATEST, 19, "12:03:20", [], ["12:00", "12:01", "12:02", "12:03"]),
        # No grace at all still leaves what we promise anyway.
        (CatchUp.LATEST, 0, "12:00:02", ["12:00"], []),
        (CatchUp.LATEST, 0, "12:00:03", [], ["12:00"]),
        (CatchUp.ALL, HOUR, "12:03:20", ["12:00", "12:01", "12:02", "12:03"], []),
        (CatchUp.ALL, 90, "12:03:20", ["12:02", "12:03"], ["12:00", "12:01"]),
        (CatchUp.NONE, HOUR, "12:03:50", [], ["12:00", "12:01", "12:02", "12:03"]),
        # A change of leader is no lateness.
        (CatchUp.NONE, HOUR, "12:03:20", ["12:03"], ["12:00", "12:01", "12:02"]),
        (CatchUp.NONE, 5, "12:03:20", [], ["12:00", "12:01", "12:02", "12:03"]),
    ],
)
def test_every_fire_time_of_an_outage_is_either_run_or_missed(catch_up, grace, now, runs, missed):
    result = planned(now, catch_up=catch_up, grace_seconds=grace)
    assert clock(result.runs) == runs
    assert clock(part.last for part in result.missed) == missed
    assert all(part.first == part.last and part.number == 1 for part in result.missed)


def test_ten_misses_are_ten_rows_and_eleven_are_one():
    assert len(planned("12:10:00").missed) == 10
    assert planned("12:11:00").missed == (Missed(last=at("12:10"), first=at("12:00"), number=11),)


def test_an_outage_of_years_costs_what_one_of_minutes_does():
    start = datetime(2020, 1, 1, tzinfo=UTC)
    result = planned("12:00:00", next_fire_at=start)
    minutes = (at("12:00") - start) // timedelta(minutes=1)
    assert result.missed == (Missed(last=at("11:59"), first=start, number=minutes),)
    assert result.runs == (at("12:00"),)


def test_many_late_runs_are_claimed_in_portions():
    first = planned("16:00:00", catch_up=CatchUp.ALL, grace_seconds=7 * 24 * HOUR)
    assert len(first.runs) == MAX_RUNS
    assert first.next_fire_at == at("13:40")
    second = planned("16:00:00", catch_up=CatchUp.ALL, grace_seconds=7 * 24 * HOUR, next_fire_at=first.next_fire_at)
    assert first.runs[-1] + timedelta(minutes=1) == second.runs[0]


def test_an_instant_the_expression_does_not_name_is_never_fired():
    result = planned("12:07:00", cron_expression="*/10 * * * *", next_fire_at=at("12:05"))
    assert result == Plan((), (), at("12:10"), False)


def test_a_job_runs_on_its_end_date_and_is_paused_by_the_first_fire_time_after_it():
    # 15 January ends at 15:00 UTC in Tokyo.
    hourly = {"cron_expression": "59 * * * *", "end_date": date(2026, 1, 15), "next_fire_at": at("14:59")}
    late = planned("15:00:30", **hourly)
    assert (clock(late.runs), late.missed, late.expired) == (["14:59"], (), False)
    after = planned("15:59:00", **hourly | {"next_fire_at": at("15:59")})
    assert (after.runs, after.missed, after.expired) == ((), (), True)


def test_what_was_due_before_the_end_date_is_not_forgotten_after_it():
    result = planned("17:30:00", end_date=date(2026, 1, 15), next_fire_at=at("14:58"))
    assert clock(part.last for part in result.missed) == ["14:58", "14:59"]
    assert result.runs == ()
    assert result.expired


def test_a_late_run_of_the_end_date_still_stands_for_it():
    result = planned("15:00:30", end_date=date(2026, 1, 15), next_fire_at=at("14:58"))
    assert clock(result.runs) == ["14:59"]
    assert clock(part.last for part in result.missed) == ["14:58"]


@pytest.mark.parametrize("broken", [{"cron_expression": "61 * * * *"}, {"zone_name": "Atlantis/Capital"}])
def test_what_cannot_be_computed_is_refused(broken):
    with pytest.raises((cron.CronError, cron.ZoneError)):
        planned("12:00:00", **broken)


@pytest.mark.parametrize("day", [date(2026, 1, 15), date.max, date.min])
def test_the_end_of_any_date_can_be_told(day):
    assert end_of(day, TOKYO).tzinfo is TOKYO


def test_spread_is_fixed_per_job_and_fire_time_and_stays_within_its_seconds():
    moments: Any = [not_before(UUID(int=number), at("12:00"), 60) for number in range(500)]
    offsets = sorted((moment - at("12:00")).total_seconds() for moment in moments)
    assert moments == [not_before(UUID(int=number), at("12:00"), 60) for number in range(500)]
    assert offsets[0] >= 0
    assert offsets[-1] < 60
    # Evenly: no ten seconds hold twice their share.
    assert max(sum(low <= offset < low + 10 for offset in offsets) for low in range(0, 60, 10)) < 2 * 500 / 6
    assert not_before(JOB, at("12:00"), 0) is None


@pytest.mark.parametrize(
    "policy, going, is_refused",
    [
        (Overlap.ALLOW, 50, False),
        (Overlap.SKIP, 0, False),
        (Overlap.SKIP, 1, True),
        (Overlap.QUEUE, MAX_WAITING - 1, False),
        (Overlap.QUEUE, MAX_WAITING, True),
    ],
)
def test_overlap_decides_by_what_is_going(policy, going, is_refused):
    assert (overlap_refusal(policy, going) is not None) is is_refused
