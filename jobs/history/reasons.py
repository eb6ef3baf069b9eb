"""Why a run was not sent: the words that stand in its row."""

LATE = "No scheduler started it in time."
PAUSED = "The job was paused before the run could start."
STILL_GOING = "An earlier execution of the job was still going."
RESTORED = "The database was restored from an older backup: this run may have been sent before, and was not sent again."
_WAITING = "executions of the job were waiting already."


def too_many_waiting(number: int) -> str:
    """Return the reason of a run that was skipped because so many of its job waited."""
    return f"{number} {_WAITING}"


def is_too_many_waiting(reason: str) -> bool:
    return reason.endswith(_WAITING)
