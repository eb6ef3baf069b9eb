"""Real processes, real kills, a real database and a real target."""

import resource
import signal
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from jobs.dispatch.replay import OUT
from jobs.models import Job, JobExecution, SchedulerLease, Sender, Status
from jobs.scheduler.leadership import TTL, resync
from jobs.tests.scheduler.helpers import only_row, statuses
from jobs.tests.scheduler.processes import make_job_due_now, run_once, scheduler
from notifications.models import Notification

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.django_db(transaction=True)]

WAIT = 60.0


def wait_for_row(status: Status) -> JobExecution:
    """Wait until the one execution has `status`: the process says nothing when it records."""
    ends_at = time.monotonic() + WAIT
    while (row := only_row()).status != status:
        assert time.monotonic() < ends_at, row
        time.sleep(0.02)
    return row


def test_one_pass_sends_what_is_due_records_it_and_ends(sink, behaviour):
    make_job_due_now(sink.url("/due"))
    code, said = run_once()
    assert (code, behaviour.paths) == (0, {"/due": 1}), said
    assert only_row().status == "success"
    assert Notification.objects.get().title == "Job Completed"


# Where a process dies, how often its request had arrived by then, and what the next one makes of the run.
WINDOWS = {
    "after-claim": (0, "success"),
    "before-send": (0, "unknown"),
    "after-send": (1, "unknown"),
    "before-record": (1, "success"),
}


@pytest.mark.parametrize(("window", "arrived", "outcome"), [(name, *rest) for name, rest in WINDOWS.items()])
def test_g3_what_a_killed_process_leaves_is_settled_by_the_next_and_sent_once_at_most(
    window, arrived, outcome, sink, behaviour
):
    make_job_due_now(sink.url("/due"))
    code, said = run_once(failpoints=f"{window}=kill")
    assert code == -signal.SIGKILL, said
    # The row is committed before anything leaves.
    assert (only_row().status, behaviour.paths["/due"]) == ("running", arrived)
    Job.objects.update(next_fire_at=None)
    code, said = run_once()
    assert code == 0, said
    assert only_row().status == outcome, said
    assert behaviour.paths["/due"] == (1 if outcome == "success" else arrived)
    assert Notification.objects.get().title == ("Job Completed" if outcome == "success" else "Job Outcome Unknown")
    assert only_row().reason == (None if outcome == "success" else OUT)


def test_g3_without_its_journal_what_a_killed_process_leaves_is_unknown_after_its_deadline(sink, behaviour, tmp_path):
    windows = {"after-claim": 0, "before-send": 0, "after-send": 1, "before-record": 1}
    sent = {f"/{window}": 1 for window, requests in windows.items() if requests}
    for window, requests in windows.items():
        job = make_job_due_now(sink.url(f"/{window}"))
        code, _ = run_once(failpoints=f"{window}=kill", JOURNAL_DIR=str(tmp_path / window))
        assert code == -signal.SIGKILL, window
        assert (job.executions.get().status, behaviour.paths[f"/{window}"]) == ("running", requests), window
    # As on another host.
    environment = {"JOURNAL_DIR": str(tmp_path / "another")}
    assert run_once(**environment)[0] == 0
    assert statuses() == ["running"] * len(windows)
    JobExecution.objects.update(deadline_at=timezone.now() - timedelta(minutes=1))
    Job.objects.update(is_active=False, next_fire_at=None)
    code, said = run_once(**environment)
    assert code == 0, said
    assert (statuses(), +behaviour.paths) == (["unknown"] * len(windows), sent)
    assert {row.title for row in Notification.objects.all()} == {"Job Outcome Unknown"}
    assert Notification.objects.count() == len(windows)


def test_g6_a_standby_of_the_host_settles_at_once_what_a_killed_leader_left(sink, behaviour):
    behaviour.hold.set()
    make_job_due_now(sink.url("/out"))
    with scheduler("--instance", "first") as first:
        assert behaviour.wait_for_arrival()
        with scheduler("--instance", "second") as second:
            second.wait_for("stands by")
            first.signal(signal.SIGKILL)
            row = wait_for_row(Status.UNKNOWN)
            behaviour.answer.set()
    assert row.reason == OUT


def test_g6_after_sigterm_the_standby_fires_within_5_s_and_what_is_out_is_recorded(sink, behaviour):
    behaviour.hold.set()
    with scheduler("--instance", "first") as first:
        first.wait_for("leads")
        with scheduler("--instance", "second") as second:
            second.wait_for("stands by")
            make_job_due_now(sink.url("/first"))
            assert behaviour.wait_for_arrival()
            first.signal(signal.SIGTERM)
            stopped_at = time.monotonic()
            make_job_due_now(sink.url("/second"))
            assert behaviour.wait_for_arrival(timeout=5)
            assert time.monotonic() - stopped_at < 5
            assert SchedulerLease.objects.get().holder.startswith("second")
            assert statuses() == ["running", "running"]
            behaviour.answer.set()
            assert first.wait() == 0
            assert JobExecution.objects.get(target__endswith="/first").status == "success"
            second.signal(signal.SIGTERM)
            assert second.wait() == 0
    assert statuses() == ["success", "success"]
    assert behaviour.paths == {"/first": 1, "/second": 1}


def test_g6_after_kill_9_a_standby_fires_within_20_s(sink, behaviour):
    with scheduler("--instance", "first") as first:
        first.wait_for("leads")
        with scheduler("--instance", "second") as second:
            second.wait_for("stands by")
            first.signal(signal.SIGKILL)
            killed_at = time.monotonic()
            make_job_due_now(sink.url("/late"))
            assert behaviour.wait_for_arrival(timeout=20)
            # Not before the first could have renewed: it might only have been slow.
            assert time.monotonic() - killed_at > TTL.total_seconds() - 6
            assert SchedulerLease.objects.get().fence == 2
            wait_for_row(Status.SUCCESS)


def test_a_second_signal_ends_at_once(sink, behaviour):
    behaviour.hold.set()
    make_job_due_now(sink.url("/held"))
    with scheduler("--drain-timeout", "60") as process:
        assert behaviour.wait_for_arrival()
        process.signal(signal.SIGTERM)
        wait_until_released()
        process.signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
    assert only_row().status == "running"


def wait_until_released() -> None:
    ends_at = time.monotonic() + WAIT
    while SchedulerLease.objects.get().holder:
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_a_switched_off_scheduler_waits_idle_and_can_be_stopped(sink, behaviour):
    make_job_due_now(sink.url("/never"))
    with scheduler(SCHEDULER_ENABLED="false") as process:
        process.wait_for("waiting idle")
        process.signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert not behaviour.paths
    assert not SchedulerLease.objects.exists()


def test_a_change_acts_within_2_s_and_a_resync_is_answered(sink, behaviour):
    with scheduler() as process:
        process.wait_for("leads")
        make_job_due_now(sink.url("/new"))
        assert behaviour.wait_for_arrival(timeout=2)
        wait_for_row(Status.SUCCESS)
        # The first reconcile may still be to come, and would leave nothing to do for the one that is asked for.
        resync()
        Job.objects.update(next_fire_at=None)
        found = resync()
        assert (found.last_reconcile["db_jobs_total"], found.last_reconcile["scheduled_added"]) == (1, 1)
        assert found.running
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a full disk is the server's own there")
def test_g12_with_a_full_disk_nothing_is_sent_results_are_kept_and_the_process_goes_on(sink, behaviour):
    behaviour.hold.set()
    make_job_due_now(sink.url("/kept"))
    with scheduler() as process:
        assert behaviour.wait_for_arrival()
        unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        make_job_due_now(sink.url("/not-yet"))
        behaviour.answer.set()
        process.wait_for("claim: the database cannot be used")
        process.wait_for("1 results wait for the database")
        assert behaviour.paths == {"/kept": 1}
        assert only_row().status == "running"
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert behaviour.wait_for_arrival()
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert behaviour.paths == {"/kept": 1, "/not-yet": 1}
    assert statuses() == ["success", "success"]


HERD = 1000
# What may be on the wire, or just noted to be, while targets answer at once.
RADIUS = 64


def test_a_killed_leader_leaves_a_herd_of_a_thousand_with_few_runs_in_doubt_and_all_others_sent_once(sink, behaviour):
    for number in range(HERD):
        make_job_due_now(sink.url(f"/{number}"))
    with scheduler("--instance", "first") as first:
        assert all(behaviour.wait_for_arrival() for _ in range(HERD // 4))
        first.signal(signal.SIGKILL)
        first.wait()
        killed_with = behaviour.paths.total()
    code, said = run_once()
    assert code == 0, said
    found = Counter(statuses())
    assert set(found) <= {"success", "unknown"}, found
    assert killed_with < HERD
    assert found["unknown"] <= RADIUS, found
    assert max(behaviour.paths.values()) == 1
    arrived = set(behaviour.paths)
    sent = JobExecution.objects.filter(status=Status.SUCCESS).values_list("target", flat=True)
    assert {f"/{target.rpartition('/')[2]}" for target in sent} <= arrived


def test_a_standby_sends_what_finds_no_place_at_the_leader(sink, behaviour):
    behaviour.hold.set()
    for number in range(20):
        make_job_due_now(sink.url(f"/{number}"))
    # One may have four in flight, and of these no owner all; more than four arrive from two processes only.
    with scheduler(MAX_IN_FLIGHT="4") as leader:
        leader.wait_for("leads")
        assert behaviour.wait_for_arrival()
        with scheduler(MAX_IN_FLIGHT="4") as standby:
            standby.wait_for("stands by")
            for _ in range(4):
                assert behaviour.wait_for_arrival()
            assert JobExecution.objects.filter(status=Status.RUNNING).values("sender").distinct().count() == 2
            behaviour.hold.clear()
            behaviour.answer.set()
            for _ in range(15):
                assert behaviour.wait_for_arrival()
            standby.signal(signal.SIGTERM)
            assert standby.wait() == 0
        leader.signal(signal.SIGTERM)
        assert leader.wait() == 0
    assert behaviour.paths == Counter({f"/{number}": 1 for number in range(20)})
    assert statuses() == ["success"] * 20
    assert not Sender.objects.exists()
