"""The checker finds what is wrong in evidence that was made up, and nothing in evidence of a sound run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobs.tests.chaos import checker
from jobs.tests.chaos.evidence import (
    Arrival,
    Change,
    CountRow,
    Definition,
    Evidence,
    JobLog,
    JobState,
    LeaseState,
    Life,
    Mode,
    Outage,
    Probe,
    Resync,
    RowState,
    Seen,
    ServerError,
    WhyVerdict,
)

START = datetime(2026, 3, 4, 10, 0, 0, 500_000, tzinfo=UTC)
UNTIL = datetime(2026, 3, 4, 10, 3, 30, tzinfo=UTC)
SENDER = UUID(int=1)
Spoil = Callable[["Scene"], None]


def at(text: str) -> datetime:
    """Return a moment of the run, from minute:second."""
    minute, second = text.split(":")
    return datetime(2026, 3, 4, 10, int(minute), tzinfo=UTC) + timedelta(seconds=float(second))


class Scene:
    """A sound run: one job that fires each minute from 10:01 to 10:03, one process that leads, one that stands by."""

    def __init__(self) -> None:
        self._seq = count(1)
        self.job = JobLog(uuid4(), "Job 1", [Change(Definition(0, "* * * * *", "UTC"), START, START)])
        self.leader = Life("chaos-0-0000", at("0:01"), ready_at=at("0:02"))
        self.standby = Life("chaos-1-0001", at("0:01"), ready_at=at("0:02"))
        self.leases = [LeaseState(next(self._seq), at("0:03"), "chaos-0-0000 abc", 1)]
        self.rows: list[RowState] = []
        self.arrivals: list[Arrival] = []
        self.evidence = Evidence(until=UNTIL)
        self.next_fire_at: datetime | None = at("4:00")
        self.is_active = True
        for minute in (1, 2, 3):
            self.fire(at(f"{minute}:00"))

    def fire(self, fire_time: datetime) -> UUID:
        """Add a run that succeeded."""
        execution_id = uuid4()
        self.row(execution_id, fire_time, "running", 0.1, kind="insert", sender=SENDER)
        self.arrive(execution_id, fire_time)
        self.row(execution_id, fire_time, "success", 0.4, sender=SENDER, response_status=200)
        return execution_id

    def row(self, execution_id: UUID, fire_time: datetime, status: str, after: float, **fields: Any) -> None:
        moment = fire_time + timedelta(seconds=after)
        defaults = {"kind": "update", "scheduled_for": fire_time}
        self.rows.append(
            RowState(
                seq=next(self._seq),
                at=moment,
                id=execution_id,
                job_id=self.job.id,
                status=status,
                **{**defaults, **fields},
            )
        )

    def arrive(self, execution_id: UUID, fire_time: datetime, **fields: Any) -> Arrival:
        moment = fire_time + timedelta(seconds=0.2)
        defaults: dict[str, Any] = {
            "at": moment,
            "execution_id": execution_id,
            "job_id": self.job.id,
            "attempt": 1,
            "fire_time": fire_time,
            "revision": 0,
            "mode": Mode.OK,
            "answer": 200,
            "answered_at": moment,
            "seen": Seen(moment, "running", 1),
        }
        arrival = Arrival(**{**defaults, **fields})
        self.arrivals.append(arrival)
        return arrival

    def lead(self, moment: datetime, life: Life, fence: int) -> None:
        self.leases.append(LeaseState(next(self._seq), moment, f"{life.instance} abc", fence))

    def change_last(self, **fields: Any) -> None:
        """Let the last row end otherwise."""
        self.rows[-1] = self.rows[-1]._replace(**fields)

    def forget_last_run(self) -> None:
        """Take back that the last fire time was run."""
        del self.rows[-2:], self.arrivals[-1:]

    def report(self) -> checker.Report:
        evidence = replace(
            self.evidence,
            jobs=[self.job],
            arrivals=self.arrivals,
            rows=self.rows,
            leases=self.leases,
            final_jobs=[JobState(self.job.id, self.is_active, self.next_fire_at, "")],
            lives=[self.leader, self.standby],
        )
        return checker.check(evidence)

    def findings(self) -> set[str]:
        return {kind for kind, number in self.report().counts.items() if number}


def test_a_sound_run_gives_no_findings():
    assert Scene().findings() == set()


def a_fire_time_without_a_row(scene: Scene) -> None:
    scene.forget_last_run()


def a_second_row_for_a_fire_time(scene: Scene) -> None:
    scene.row(uuid4(), at("3:00"), "missed", 1, kind="insert", reason="late")


def a_second_execution_of_a_fire_time(scene: Scene) -> None:
    scene.fire(at("3:00"))


def the_same_request_again(scene: Scene) -> None:
    scene.arrivals.append(replace(scene.arrivals[-1], at=at("3:05")))


def more_attempts_than_the_job_allows(scene: Scene) -> None:
    last = scene.arrivals[-1]
    scene.rows[-1:] = []
    scene.row(last.execution_id, at("3:00"), "queued", 0.4, attempt=2)
    scene.row(last.execution_id, at("3:00"), "running", 0.5, attempt=2, sender=SENDER)
    scene.arrive(last.execution_id, at("3:00"), at=at("3:01"), attempt=2, seen=None)
    scene.row(last.execution_id, at("3:00"), "success", 0.9, attempt=2, sender=SENDER, response_status=200)


def a_request_before_its_time(scene: Scene) -> None:
    scene.arrivals[-1].at = at("2:59.9")
    scene.rows[-2] = scene.rows[-2]._replace(at=at("2:59.8"))


def a_row_for_a_time_nobody_named(scene: Scene) -> None:
    scene.row(uuid4(), at("2:30"), "missed", 1, kind="insert", reason="late")


def a_fire_time_after_the_job_was_deleted(scene: Scene) -> None:
    scene.job.changes.append(Change(None, at("2:20"), at("2:21")))


def a_send_after_a_pause_was_answered(scene: Scene) -> None:
    paused = Definition(1, "* * * * *", "UTC", is_active=False)
    scene.job.changes.append(Change(paused, at("2:59.9"), at("3:00.05")))
    scene.next_fire_at = None


def a_manual_run_by_a_definition_that_was_replaced(scene: Scene) -> None:
    manual = uuid4()
    scene.row(manual, at("3:10"), "running", 0.1, kind="insert", trigger="manual", scheduled_for=None, sender=SENDER)
    scene.arrive(manual, at("3:10")).fire_time = None
    scene.row(
        manual, at("3:10"), "success", 1, trigger="manual", scheduled_for=None, response_status=200, sender=SENDER
    )
    scene.job.changes.append(Change(Definition(1, "* * * * *", "UTC"), at("3:05"), at("3:06")))


def a_send_after_the_end_date(scene: Scene) -> None:
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", ends_at=at("3:00")), START, START)
    scene.next_fire_at, scene.is_active = None, False


def a_job_that_goes_on_after_its_end_date(scene: Scene) -> None:
    a_send_after_the_end_date(scene)
    scene.forget_last_run()
    scene.is_active = True


def a_send_by_a_definition_that_was_replaced(scene: Scene) -> None:
    scene.job.changes.append(Change(Definition(1, "* * * * *", "UTC"), at("2:20"), at("2:21")))


def a_request_whose_row_was_not_committed_yet(scene: Scene) -> None:
    scene.arrivals[-1].seen = Seen(at("3:00.21"), None, None)


def a_request_that_came_before_its_row_was_started(scene: Scene) -> None:
    scene.rows[-2] = scene.rows[-2]._replace(at=at("3:00.3"))


def a_request_without_a_row(scene: Scene) -> None:
    scene.arrive(uuid4(), at("3:00"), seen=None).fire_time = None


def a_request_of_a_row_that_says_it_was_never_sent(scene: Scene) -> None:
    scene.job.changes.append(Change(Definition(1, "* * * * *", "UTC", is_active=False), at("3:00.3"), at("3:00.5")))
    scene.next_fire_at = None
    scene.rows[-2:] = [scene.rows[-2]._replace(status="queued")]
    scene.row(scene.rows[-1].id, at("3:00"), "skipped", 0.4, reason="paused")


def a_success_that_the_target_refused(scene: Scene) -> None:
    scene.arrivals[-1].answer = 503


def a_success_that_nobody_saw(scene: Scene) -> None:
    scene.arrivals.pop()


def a_failure_that_was_answered_well(scene: Scene) -> None:
    scene.change_last(status="failed", response_status=None, error_message="Request failed: timed out")


NEVER_LEFT = "Request failed: the sender died before it was sent, and no other process could send it"


def a_request_that_never_left_a_sender_that_lives(scene: Scene) -> None:
    scene.arrivals.pop()
    scene.change_last(status="failed", response_status=None, error_message=NEVER_LEFT)


def an_unknown_whose_sender_lived(scene: Scene) -> None:
    scene.change_last(status="unknown", response_status=None, reason="died")


def an_unknown_whose_sender_had_the_answer(scene: Scene) -> None:
    """The database was away for a while, but a sender keeps an outcome until it is back."""
    scene.evidence.outages = [Outage("stopped", at("3:00.3"), at("3:05"))]
    scene.change_last(status="unknown", response_status=None, reason="died", at=at("3:20"))


def a_failure_that_was_not_tried_again(scene: Scene) -> None:
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", max_attempts=2), START, START)
    scene.arrivals[-1].answer, scene.arrivals[-1].mode = 503, Mode.ERROR
    scene.change_last(status="failed", response_status=503, error_message="Webhook returned status 503")


def a_count_that_lost_a_row(scene: Scene) -> None:
    scene.evidence.counts = [CountRow(None, "success", 3, 3), CountRow(scene.job.id, "success", 3, 2)]


def an_unknown_without_a_reason(scene: Scene) -> None:
    scene.evidence.outages = [Outage("stopped", at("3:00"), at("3:05"))]
    scene.change_last(status="unknown", response_status=None)


def a_miss_that_was_not_late(scene: Scene) -> None:
    scene.forget_last_run()
    scene.row(uuid4(), at("3:00"), "missed", 1, kind="insert", reason="late")


def a_skip_without_need(scene: Scene) -> None:
    scene.forget_last_run()
    scene.row(uuid4(), at("3:00"), "skipped", 1, kind="insert", reason="overlap")


def a_result_that_changed_afterwards(scene: Scene) -> None:
    last = scene.rows[-1]
    scene.row(last.id, at("3:00"), "failed", 9, response_status=200, sender=SENDER)
    scene.row(last.id, at("3:00"), "success", 10, response_status=200, sender=SENDER)


def a_row_that_never_ended(scene: Scene) -> None:
    scene.rows.pop()


def two_runs_at_once_of_a_job_that_queues(scene: Scene) -> None:
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", overlap="queue"), START, START)
    scene.rows[-1], scene.rows[-3] = scene.rows[-3]._replace(seq=scene.rows[-1].seq), scene.rows[-1]


def a_due_time_the_expression_does_not_name(scene: Scene) -> None:
    scene.next_fire_at = at("4:30")


def an_active_job_that_is_never_due(scene: Scene) -> None:
    scene.next_fire_at = None


def a_standby_that_slept(scene: Scene) -> None:
    scene.leader.killed_at = scene.leader.ended_at = at("1:10")
    scene.lead(at("1:35"), scene.standby, 2)


def a_slow_handover(scene: Scene) -> None:
    scene.leader.terminated_at, scene.leader.ended_at, scene.leader.exit_code = at("1:10"), at("1:11"), 0
    scene.lead(at("1:18"), scene.standby, 2)


def a_late_start(scene: Scene) -> None:
    last = scene.arrivals[-1]
    last.at = last.answered_at = at("3:25")
    scene.rows[-1] = scene.rows[-1]._replace(at=at("3:25.1"))


def a_late_start_while_only_a_standby_died(scene: Scene) -> None:
    a_late_start(scene)
    scene.standby.killed_at = scene.standby.ended_at = at("3:15")


def a_fire_time_that_was_slept_through_and_called_missed(scene: Scene) -> None:
    scene.evidence.until = at("3:40")
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", grace_seconds=5), START, START)
    scene.forget_last_run()
    scene.row(uuid4(), at("3:00"), "missed", 30, kind="insert", reason="late")


def a_leader_that_leads_in_time_and_fires_late(scene: Scene) -> None:
    scene.leader.killed_at = scene.leader.ended_at = at("2:50")
    scene.lead(at("3:06"), scene.standby, 2)
    scene.forget_last_run()
    last = scene.fire(at("3:00"))
    scene.rows[-2:] = [row._replace(at=at("3:15")) for row in scene.rows[-2:]]
    scene.arrivals[-1] = replace(scene.arrivals[-1], at=at("3:15"), answered_at=at("3:15"), execution_id=last)
    scene.arrivals[-1].seen = None


def tell(scene: Scene, *verdicts: str) -> None:
    """Let the service tell `verdicts` of the first minutes."""
    told = [WhyVerdict(scene.job.id, at(f"{minute}:00"), verdict) for minute, verdict in enumerate(verdicts, start=1)]
    scene.evidence.verdicts = told


def a_run_that_is_told_as_missed(scene: Scene) -> None:
    tell(scene, "ran", "missed_late", "ran")


def a_run_that_nothing_is_told_of(scene: Scene) -> None:
    tell(scene, "ran")


def a_late_run_that_is_told_as_in_time(scene: Scene) -> None:
    tell(scene, "ran", "ran")
    scene.forget_last_run()
    scene.rows[-2:] = [row._replace(at=row.at + timedelta(seconds=20)) for row in scene.rows[-2:]]


def a_pause_that_is_told_as_something_else(scene: Scene) -> None:
    a_pause_of_a_minute(scene)
    tell(scene, "ran", "other_schedule")


def an_outage_that_is_told_as_a_late_start(scene: Scene) -> None:
    an_outage_of_a_minute(scene)
    tell(scene, "ran", "missed_late")


def a_pause_of_a_minute(scene: Scene) -> None:
    """Let the job be paused over 10:02 and 10:03, for good."""
    scene.forget_last_run()
    scene.forget_last_run()
    scene.job.changes.append(Change(Definition(1, "* * * * *", "UTC", is_active=False), at("1:30"), at("1:31")))
    scene.next_fire_at = None


def an_outage_of_a_minute(scene: Scene) -> None:
    """Kill all there is at 10:01:30, until 10:02:40; 10:02 is missed."""
    scene.leader.killed_at = scene.leader.ended_at = at("1:30")
    scene.standby.killed_at = scene.standby.ended_at = at("1:30")
    scene.lead(at("2:45"), Life("chaos-2-0002", at("2:40"), ready_at=at("2:41")), 2)
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", grace_seconds=20), START, START)
    scene.forget_last_run()
    scene.forget_last_run()
    scene.row(uuid4(), at("2:00"), "missed", 46, kind="insert", reason="late")
    scene.fire(at("3:00"))


def a_process_that_ended_by_itself(scene: Scene) -> None:
    scene.standby.ended_at, scene.standby.exit_code = at("2:30"), 1


def a_stop_with_an_error(scene: Scene) -> None:
    scene.standby.terminated_at, scene.standby.ended_at, scene.standby.exit_code = at("2:30"), at("2:31"), 1


def a_single_pass_that_failed(scene: Scene) -> None:
    scene.evidence.passes = [Life("chaos-pass-0000", at("2:20"), ended_at=at("2:22"), exit_code=1)]


def a_worker_that_outlived_its_scheduler(scene: Scene) -> None:
    scene.evidence.left_behind = ["process 4711"]


def an_answer_long_after_an_outage(scene: Scene) -> None:
    scene.evidence.outages = [Outage("read-only", at("1:05"), at("1:10"))]
    scene.evidence.probes = [Probe(at("1:12"), at("1:12.1"), False), Probe(at("1:25"), at("1:25.1"), True)]


def a_fire_long_after_an_outage(scene: Scene) -> None:
    scene.evidence.outages = [Outage("severed", at("1:58"), at("2:01"))]
    scene.rows[2] = scene.rows[2]._replace(at=at("2:14.5"))
    scene.arrivals[1].at, scene.arrivals[1].seen = at("2:15"), None
    scene.rows[3] = scene.rows[3]._replace(at=at("2:15.5"))


def no_fire_after_a_clock_was_set(scene: Scene) -> None:
    scene.evidence.faults = [Outage("clock", at("1:30"), at("1:50"))]
    scene.forget_last_run()
    scene.forget_last_run()


def a_late_fire_after_those_that_a_clock_ahead_brought(scene: Scene) -> None:
    scene.evidence.outages = [Outage("clock", at("1:30"), at("1:55"))]
    scene.arrivals[1].at, scene.arrivals[1].seen = at("1:55.2"), None
    scene.rows[4] = scene.rows[4]._replace(at=at("3:14.5"))
    scene.arrivals[2].at, scene.arrivals[2].seen = at("3:15"), None
    scene.rows[5] = scene.rows[5]._replace(at=at("3:15.5"))


def a_500_amid_an_outage(scene: Scene) -> None:
    scene.evidence.outages = [Outage("read-only", at("0:58"), at("1:10"))]
    scene.evidence.server_errors = [ServerError(at("1:00"), at("1:01"), "PUT: 500", 500)]


def a_server_error_without_an_outage(scene: Scene) -> None:
    scene.evidence.server_errors = [ServerError(at("1:00"), at("1:01"), "PUT: 500")]


def a_resync_answered_by_an_older_reconcile(scene: Scene) -> None:
    scene.evidence.resyncs = [Resync(at("1:20"), at("1:21"), at("1:15"))]


def a_resync_that_the_leader_did_not_answer(scene: Scene) -> None:
    scene.evidence.resyncs = [Resync(at("1:20"), at("1:30"), None)]


def a_request_without_headers(scene: Scene) -> None:
    scene.evidence.strangers = ["GET / HTTP/1.1"]


FAULTS: list[tuple[Spoil, str]] = [
    (a_fire_time_without_a_row, "missing rows"),
    (a_second_row_for_a_fire_time, "doubled rows"),
    (a_second_execution_of_a_fire_time, "doubled requests"),
    (the_same_request_again, "doubled requests"),
    (more_attempts_than_the_job_allows, "doubled requests"),
    (a_request_before_its_time, "early requests"),
    (a_row_for_a_time_nobody_named, "phantom fires"),
    (a_fire_time_after_the_job_was_deleted, "phantom fires"),
    (a_send_after_a_pause_was_answered, "stale sends"),
    (a_send_by_a_definition_that_was_replaced, "stale sends"),
    (a_manual_run_by_a_definition_that_was_replaced, "stale sends"),
    (a_send_after_the_end_date, "phantom fires"),
    (a_request_whose_row_was_not_committed_yet, "uncommitted sends"),
    (a_request_that_came_before_its_row_was_started, "uncommitted sends"),
    (a_request_without_a_row, "unrecorded requests"),
    (a_request_of_a_row_that_says_it_was_never_sent, "unrecorded requests"),
    (a_success_that_the_target_refused, "lying results"),
    (a_success_that_nobody_saw, "lying results"),
    (a_failure_that_was_answered_well, "lying results"),
    (a_request_that_never_left_a_sender_that_lives, "lying results"),
    (an_unknown_whose_sender_lived, "unjustified results"),
    (an_unknown_whose_sender_had_the_answer, "unjustified results"),
    (an_unknown_without_a_reason, "unjustified results"),
    (a_miss_that_was_not_late, "unjustified results"),
    (a_skip_without_need, "unjustified results"),
    (a_result_that_changed_afterwards, "illegal steps of a row"),
    (a_row_that_never_ended, "rows left open"),
    (two_runs_at_once_of_a_job_that_queues, "overlapping runs"),
    (a_due_time_the_expression_does_not_name, "wrong next_fire_at"),
    (an_active_job_that_is_never_due, "wrong next_fire_at"),
    (a_job_that_goes_on_after_its_end_date, "wrong next_fire_at"),
    (a_failure_that_was_not_tried_again, "forgotten attempts"),
    (a_count_that_lost_a_row, "wrong counts"),
    (a_standby_that_slept, "late takeovers"),
    (a_slow_handover, "late takeovers"),
    (a_leader_that_leads_in_time_and_fires_late, "late takeovers"),
    (a_late_start, "late starts"),
    (a_late_start_while_only_a_standby_died, "late starts"),
    (a_fire_time_that_was_slept_through_and_called_missed, "late starts"),
    (a_run_that_is_told_as_missed, "wrong verdicts"),
    (a_run_that_nothing_is_told_of, "wrong verdicts"),
    (a_late_run_that_is_told_as_in_time, "wrong verdicts"),
    (a_pause_that_is_told_as_something_else, "wrong verdicts"),
    (an_outage_that_is_told_as_a_late_start, "wrong verdicts"),
    (a_process_that_ended_by_itself, "processes that ended by themselves"),
    (a_stop_with_an_error, "unclean stops"),
    (a_single_pass_that_failed, "unclean stops"),
    (a_worker_that_outlived_its_scheduler, "processes left behind"),
    (an_answer_long_after_an_outage, "late recoveries"),
    (a_fire_long_after_an_outage, "late recoveries"),
    (no_fire_after_a_clock_was_set, "late recoveries"),
    (a_late_fire_after_those_that_a_clock_ahead_brought, "late recoveries"),
    (a_500_amid_an_outage, "failed API calls"),
    (a_server_error_without_an_outage, "failed API calls"),
    (a_resync_answered_by_an_older_reconcile, "wrong resyncs"),
    (a_resync_that_the_leader_did_not_answer, "wrong resyncs"),
    (a_request_without_headers, "requests of strangers"),
]


@pytest.mark.parametrize(("spoil", "kind"), FAULTS, ids=[spoil.__name__ for spoil, _ in FAULTS])
def test_a_fault_is_found(spoil: Spoil, kind: str):
    scene = Scene()
    spoil(scene)
    assert kind in scene.findings()


def test_every_check_has_a_fault_that_it_finds():
    assert {kind for _, kind in FAULTS} == set(checker.CHECKS)


def test_the_way_back_from_a_clock_that_was_set_is_judged():
    scene = Scene()
    a_fire_in_time_after_a_clock_was_set(scene)
    assert scene.report().figures["fault: clock"] == "1, first fire 0.2 s, good answer not judged"


# --- What is no fault ------------------------------------------------------------------------------------------------


def an_unknown_whose_sender_died(scene: Scene) -> None:
    scene.change_last(status="unknown", response_status=None, reason="died", at=at("3:20"))
    scene.leader.killed_at = scene.leader.ended_at = at("3:00.3")
    scene.lead(at("3:15"), scene.standby, 2)


def a_503_and_a_quick_return_after_an_outage(scene: Scene) -> None:
    scene.evidence.outages = [Outage("read-only", at("1:05"), at("1:10"))]
    scene.evidence.server_errors = [ServerError(at("1:08"), at("1:09"), "PUT: 503", 503)]
    scene.evidence.probes = [Probe(at("1:12"), at("1:12.1"), False), Probe(at("1:15"), at("1:15.1"), True)]


def times_that_came_early_by_a_clock_that_was_set(scene: Scene) -> None:
    """SQLite has no clock but its host's."""
    scene.evidence.outages = [Outage("clock", at("2:10"), at("2:30"))]
    scene.rows[4] = scene.rows[4]._replace(at=at("2:11"))
    scene.arrivals[2].at, scene.arrivals[2].seen = at("2:11.2"), None
    scene.rows[5] = scene.rows[5]._replace(at=at("2:11.5"))


def a_fire_in_time_after_a_clock_was_set(scene: Scene) -> None:
    scene.evidence.faults = [Outage("clock", at("1:30"), at("1:50"))]


def a_request_that_never_left_a_web_process(scene: Scene) -> None:
    fields: dict[str, Any] = {"trigger": "manual", "scheduled_for": None, "sender": uuid4()}
    run = uuid4()
    scene.row(run, at("3:10"), "running", 0, kind="insert", **fields)
    scene.row(run, at("3:10"), "failed", 5, error_message=NEVER_LEFT, **fields)


def an_unknown_of_a_pass_that_lost_the_database(scene: Scene) -> None:
    scene.forget_last_run()
    scene.fire(at("3:00"))
    sender = UUID(int=2)
    scene.rows[-2:] = [row._replace(sender=sender) for row in scene.rows[-2:]]
    scene.evidence.passes = [Life("chaos-pass-0000", at("2:59"), ended_at=at("3:09"), exit_code=1)]
    scene.evidence.outages = [Outage("stopped", at("3:00.3"), at("3:15"))]
    scene.change_last(status="unknown", response_status=None, reason="died", at=at("3:20"))


def a_stop_that_was_insisted_on(scene: Scene) -> None:
    a_stop_with_an_error(scene)
    life = next(life for life in (scene.leader, scene.standby) if life.terminated_at is not None)
    life.insisted_at, life.exit_code = life.terminated_at, 143


def an_unknown_that_never_left(scene: Scene) -> None:
    """The answer to its commit was lost with the database, so that its sender did not know that it might leave."""
    scene.evidence.outages = [Outage("stopped", at("3:00.3"), at("3:05"))]
    scene.arrivals.pop()
    scene.change_last(status="unknown", response_status=None, reason="died", at=at("3:20"))


def an_unknown_whose_sender_had_the_answer_and_died(scene: Scene) -> None:
    an_unknown_whose_sender_had_the_answer(scene)
    scene.leader.killed_at = scene.leader.ended_at = at("3:04")
    scene.lead(at("3:25"), scene.standby, 2)


def a_truth_that_came_late(scene: Scene) -> None:
    last = scene.rows.pop()
    scene.row(last.id, at("3:00"), "unknown", 20, sender=SENDER, reason="died")
    scene.row(last.id, at("3:00"), "success", 25, sender=SENDER, response_status=200)


def a_timeout_of_a_target_that_hangs(scene: Scene) -> None:
    scene.arrivals[-1].answer, scene.arrivals[-1].mode = None, Mode.HANG
    scene.change_last(status="failed", response_status=None, error_message="Request failed: timed out")


def a_second_attempt_that_was_asked_for(scene: Scene) -> None:
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", max_attempts=2), START, START)
    scene.arrivals[-1].answer = 503
    more_attempts_than_the_job_allows(scene)


def an_edit_while_a_request_was_out(scene: Scene) -> None:
    scene.job.changes.append(Change(Definition(1, "* * * * *", "UTC"), at("3:00.15"), at("3:00.3")))


def a_fire_time_amid_a_pause(scene: Scene) -> None:
    """Whether the pause or the fire time came first is unknown: both are fine."""
    scene.forget_last_run()
    paused = Definition(1, "* * * * *", "UTC", is_active=False)
    scene.job.changes.append(Change(paused, at("2:59.9"), at("3:00.1")))
    scene.next_fire_at = None


def a_run_that_the_pause_stopped(scene: Scene) -> None:
    scene.forget_last_run()
    paused = Definition(1, "* * * * *", "UTC", is_active=False)
    scene.job.changes.append(Change(paused, at("3:00.3"), at("3:00.5")))
    scene.row(uuid4(), at("3:00"), "queued", 0.1, kind="insert")
    scene.row(scene.rows[-1].id, at("3:00"), "skipped", 0.4, reason="paused")
    scene.next_fire_at = None


def many_misses_in_one_row(scene: Scene) -> None:
    scene.evidence.outages = [Outage("stopped", at("0:58"), at("3:00"))]
    scene.rows.clear()
    scene.arrivals.clear()
    row = {"kind": "insert", "reason": "late", "missed_from": at("1:00"), "missed_count": 2}
    scene.row(uuid4(), at("2:00"), "missed", 61, **row)
    scene.fire(at("3:00"))


def a_job_that_went_before_its_fire_time_was_claimed(scene: Scene) -> None:
    scene.forget_last_run()
    scene.job.changes.append(Change(None, at("3:00.2"), at("3:00.3")))


def a_takeover_in_time(scene: Scene) -> None:
    scene.leader.killed_at = scene.leader.ended_at = at("1:10")
    scene.lead(at("1:26"), scene.standby, 2)


def a_takeover_that_had_no_database(scene: Scene) -> None:
    a_standby_that_slept(scene)
    scene.evidence.outages = [Outage("stopped", at("1:12"), at("1:30"))]


def a_takeover_without_a_standby(scene: Scene) -> None:
    a_standby_that_slept(scene)
    scene.standby.stops = [(at("1:05"), at("1:34"))]


def a_stop_while_it_was_starting(scene: Scene) -> None:
    scene.standby.ready_at = None
    scene.standby.terminated_at, scene.standby.ended_at, scene.standby.exit_code = at("0:02"), at("0:02"), -15


def a_skip_beside_a_manual_run(scene: Scene) -> None:
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", overlap="skip"), START, START)
    scene.forget_last_run()
    manual = uuid4()
    scene.row(manual, at("2:59"), "running", 0, kind="insert", trigger="manual", scheduled_for=None, sender=SENDER)
    scene.arrive(manual, at("2:59")).fire_time = None
    scene.row(uuid4(), at("3:00"), "skipped", 0.1, kind="insert", reason="overlap")
    scene.row(
        manual, at("3:00"), "success", 1, trigger="manual", scheduled_for=None, response_status=200, sender=SENDER
    )


def a_skip_beside_an_earlier_run_of_the_same_claim(scene: Scene) -> None:
    definition = Definition(0, "* * * * *", "UTC", overlap="skip", catch_up="all")
    scene.job.changes[0] = Change(definition, START, START)
    scene.evidence.outages = [Outage("stopped", at("1:30"), at("3:00"))]
    scene.forget_last_run()
    scene.forget_last_run()
    scene.row(uuid4(), at("3:00"), "skipped", 0.1, kind="insert", reason="overlap")
    late = uuid4()
    scene.row(late, at("2:00"), "queued", 60.2, kind="insert")
    scene.row(late, at("2:00"), "running", 60.3, sender=SENDER)
    scene.arrive(late, at("2:00"), at=at("3:00.4"), answered_at=at("3:00.4"), seen=None)
    scene.row(late, at("2:00"), "success", 61, sender=SENDER, response_status=200)


def a_job_that_came_to_its_end(scene: Scene) -> None:
    scene.job.changes[0] = Change(Definition(0, "* * * * *", "UTC", ends_at=at("3:00")), START, START)
    scene.forget_last_run()
    scene.next_fire_at, scene.is_active = None, False


def a_failure_of_a_job_that_was_paused_meanwhile(scene: Scene) -> None:
    a_failure_that_was_not_tried_again(scene)
    paused = Definition(1, "* * * * *", "UTC", is_active=False, max_attempts=2)
    scene.job.changes.append(Change(paused, at("3:00.2"), at("3:00.3")))
    scene.next_fire_at = None


def counts_that_are_right(scene: Scene) -> None:
    scene.evidence.counts = [CountRow(None, "success", 3, 3), CountRow(scene.job.id, "success", 3, 3)]


def verdicts_that_are_right(scene: Scene) -> None:
    tell(scene, "ran", "ran", "ran")


def a_pause_that_is_told_as_such(scene: Scene) -> None:
    a_pause_of_a_minute(scene)
    tell(scene, "ran", "paused", "paused")


def an_outage_that_is_told_as_such(scene: Scene) -> None:
    an_outage_of_a_minute(scene)
    tell(scene, "ran", "missed_no_leader", "ran")


def a_late_start_after_a_loss_of_the_leader(scene: Scene) -> None:
    scene.leader.killed_at = scene.leader.ended_at = at("2:59")
    scene.lead(at("3:15"), scene.standby, 2)
    scene.forget_last_run()
    scene.fire(at("3:00"))
    scene.rows[-2:] = [row._replace(at=at("3:16")) for row in scene.rows[-2:]]
    scene.arrivals[-1].at = at("3:16.5")


def resyncs_as_they_should_be(scene: Scene) -> None:
    a_takeover_in_time(scene)
    scene.evidence.resyncs = [Resync(at("0:40"), at("0:41"), at("0:40.2")), Resync(at("1:12"), at("1:22"), None)]


def a_death_that_was_ordered(scene: Scene) -> None:
    scene.standby.failpoints, scene.standby.ended_at, scene.standby.exit_code = "after-claim=kill", at("2:30"), -9


@pytest.mark.parametrize(
    "happen",
    [
        an_unknown_whose_sender_died,
        a_request_that_never_left_a_web_process,
        a_503_and_a_quick_return_after_an_outage,
        times_that_came_early_by_a_clock_that_was_set,
        a_fire_in_time_after_a_clock_was_set,
        an_unknown_of_a_pass_that_lost_the_database,
        a_stop_that_was_insisted_on,
        an_unknown_that_never_left,
        an_unknown_whose_sender_had_the_answer_and_died,
        a_truth_that_came_late,
        a_timeout_of_a_target_that_hangs,
        a_second_attempt_that_was_asked_for,
        an_edit_while_a_request_was_out,
        a_fire_time_amid_a_pause,
        a_run_that_the_pause_stopped,
        many_misses_in_one_row,
        a_job_that_went_before_its_fire_time_was_claimed,
        a_takeover_in_time,
        a_takeover_that_had_no_database,
        a_takeover_without_a_standby,
        a_stop_while_it_was_starting,
        a_skip_beside_a_manual_run,
        a_skip_beside_an_earlier_run_of_the_same_claim,
        resyncs_as_they_should_be,
        a_death_that_was_ordered,
        a_job_that_came_to_its_end,
        a_failure_of_a_job_that_was_paused_meanwhile,
        counts_that_are_right,
        verdicts_that_are_right,
        an_outage_that_is_told_as_such,
        a_pause_that_is_told_as_such,
        a_late_start_after_a_loss_of_the_leader,
    ],
    ids=lambda happen: happen.__name__,
)
def test_what_is_promised_otherwise_is_no_fault(happen: Spoil):
    scene = Scene()
    happen(scene)
    assert scene.findings() == set()
