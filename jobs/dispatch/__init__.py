"""What happens to one execution between being due and being settled.

    start    queued -> running, by a conditional UPDATE that is committed before anything is sent
    attempt  calls out: no connection, no model, a frozen request in and a frozen outcome out
    record   running -> success or failed (or back to queued, where the job asks for attempts), with the notices
    manual   the three of them in a row, for a person who waits

A row belongs to the sender whose token it carries: only that one may say what became of it. Batches are the rule here;
the one-row case is a manual run.
"""

from jobs.dispatch.attempt import Prepared, Result, execute, prepare, submit
from jobs.dispatch.manual import queue_run, run_manually
from jobs.dispatch.record import record, record_each
from jobs.dispatch.start import acquire_dispatch_slots, blocked_by_overlap, fail_unsent, planned_row, running_row, start

__all__ = [
    "Prepared",
    "Result",
    "acquire_dispatch_slots",
    "blocked_by_overlap",
    "execute",
    "fail_unsent",
    "planned_row",
    "prepare",
    "queue_run",
    "record",
    "record_each",
    "run_manually",
    "running_row",
    "start",
    "submit",
]
