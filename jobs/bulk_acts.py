"""One action on many jobs: each job in a transaction of its own, with its own outcome.

A refusal for one job does not stop the others. A bulk pause carries a batch id, so that a resume can name exactly the
jobs it has paused.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from accounts.models import User
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from cronsched.lib.input import payload
from jobs import services
from jobs.definitions import job_filter
from jobs.definitions.validation import local_date
from jobs.end_dates import renewal
from jobs.models import Job, JobPause, JobQuerySet
from jobs.schedule import pauses
from jobs.schedule.pauses import Terms, read_reason, read_terms
from jobs.services import Acted

# More jobs than this are not acted on at once.
MAX_JOBS = 5000
DONE, UNCHANGED, REFUSED = "done", "unchanged", "refused"


class Outcome(NamedTuple):
    """What became of one job."""

    id: str
    outcome: str
    message: str


@dataclass(frozen=True)
class Act:
    """What is asked for: an action with all that it takes, judged before the first job is touched."""

    by: User | None
    now: datetime
    sent: Mapping[str, Any]
    batch_id: UUID | None

    def to(self, job_id: UUID) -> Acted | None:
        """Do it to one job. None means done, where an action cannot leave a job unchanged."""
        return ACTIONS[self.sent["action"]](self, job_id)


def read(sent: Mapping[str, Any], *, by: User | None, now: datetime) -> Act:
    """Return the act that a body asks for. Raises `DomainError` for what cannot be meant, whatever the jobs."""
    action = sent.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise DomainError("Invalid action", f"action must be one of: {', '.join(ACTIONS)}.", field="action")
    sent = {**sent, **CHECKS.get(action, lambda sent: {})(sent)}
    is_pause = action == "pause"
    return Act(by, now, sent, uuid4() if is_pause else pauses.read_batch(sent.get("batch_id")))


def chosen(sent: Mapping[str, Any], act: Act) -> list[UUID]:
    """Return the jobs that a body names: by `ids`, by `filter` or, to resume, by the `batch_id` of their pause.

    Raises `DomainError` where it names them in no way or in two, or too many.
    """
    ways = [name for name in ("ids", "filter") if sent.get(name) is not None]
    if sent["action"] == "resume" and act.batch_id and not ways:
        found = JobPause.objects.filter(batch_id=act.batch_id, ended_at=None).order_by("job__name")
        return _bounded(found.values_list("job_id", flat=True)[: MAX_JOBS + 1])
    if len(ways) != 1:
        raise DomainError("Invalid ids", "Name the jobs either by ids or by filter.", field="ids")
    return _by_ids(sent["ids"]) if ways == ["ids"] else _by_filter(sent["filter"], act)


def carry_out(act: Act, job_ids: Iterable[UUID]) -> list[Outcome]:
    """Do it to each job in turn and return what became of each."""
    return [_carry_out(act, job_id) for job_id in job_ids]


def _carry_out(act: Act, job_id: UUID) -> Outcome:
    try:
        acted = act.to(job_id)
    except DomainError as refusal:
        return Outcome(str(job_id), REFUSED, refusal.message or refusal.error)
    if acted is not None and not acted.changed:
        return Outcome(str(job_id), UNCHANGED, "Nothing to do.")
    return Outcome(str(job_id), DONE, "Done.")


# --- Which jobs ------------------------------------------------------------------------------------------------------


def _by_ids(value: Any) -> list[UUID]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise DomainError("Invalid ids", "ids must be a list of job ids.", field="ids")
    known = [known_id(item) for item in dict.fromkeys(value)]
    if None in known:
        raise DomainError("Invalid ids", "ids must be a list of job ids.", field="ids")
    return _bounded([item for item in known if item is not None])


def _by_filter(value: Any, act: Act) -> list[UUID]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise DomainError(
            "Invalid filter", "filter must be an object of texts, as the list of jobs takes.", field="filter"
        )
    if not any(text.strip() for text in value.values()):
        raise DomainError("Invalid filter", "filter must name at least one condition.", field="filter")
    unknown = sorted(set(value) - set(job_filter.FILTERS))
    if unknown:
        # A list may ignore what it does not know; an act on everything because of a typo may not.
        raise DomainError("Invalid filter", f"filter does not know {', '.join(unknown)}.", field="filter")
    jobs: JobQuerySet = job_filter.filtered(Job.objects.all(), value, by=act.by, today=local_date(act.now))
    return _bounded(jobs.order_by("name").values_list("pk", flat=True)[: MAX_JOBS + 1])


def _bounded(ids: Iterable[UUID]) -> list[UUID]:
    found = list(ids)
    if len(found) > MAX_JOBS:
        raise DomainError("Too many jobs", f"One act is for at most {MAX_JOBS} jobs.", field="ids")
    return found


# --- What is done ----------------------------------------------------------------------------------------------------


def _pause(act: Act, job_id: UUID) -> Acted:
    terms: Terms = act.sent["terms"]._replace(batch_id=act.batch_id)
    return services.pause_job(job_id, by=act.by, now=act.now, terms=terms)


def _resume(act: Act, job_id: UUID) -> Acted:
    sent = act.sent
    if act.batch_id and not JobPause.objects.filter(job_id=job_id, batch_id=act.batch_id, ended_at=None).exists():
        # Paused by another act, before or since: not part of this batch.
        return Acted(Job(pk=job_id), changed=False)
    return services.resume_job(job_id, by=act.by, now=act.now, reason=sent["reason"], missed=sent["missed"])


def _run(act: Act, job_id: UUID) -> None:
    services.queue_run(job_id, by=act.by, now=act.now)


def _extend(act: Act, job_id: UUID) -> None:
    renewal.renew(job_id, days=act.sent.get("days"), reason=act.sent.get("reason"), by=act.by, now=act.now)


def _hand_over(act: Act, job_id: UUID) -> Acted:
    return services.hand_over(job_id, act.sent["to"], by=act.by, now=act.now, reason=act.sent["reason"])


def _move(act: Act, job_id: UUID) -> Acted:
    return services.move_job(job_id, act.sent["place"], by=act.by, now=act.now, reason=act.sent["reason"])


def _delete(act: Act, job_id: UUID) -> None:
    services.delete_job(job_id, by=act.by, now=act.now)


ACTIONS: Mapping[str, Callable[[Act, UUID], Acted | None]] = {
    "pause": _pause,
    "resume": _resume,
    "run": _run,
    "extend": _extend,
    "hand_over": _hand_over,
    "move": _move,
    "delete": _delete,
}


def _check_pause(sent: Mapping[str, Any]) -> dict[str, Any]:
    return {"terms": read_terms(sent)}


def _check_resume(sent: Mapping[str, Any]) -> dict[str, Any]:
    missed = pauses.read_choice(sent.get("missed"), "missed", "") or None
    return {"reason": read_reason(sent), "missed": missed}


def _check_hand_over(sent: Mapping[str, Any]) -> dict[str, Any]:
    text = payload.text(sent, "owner") or ""
    known = known_id(text)
    to = User.objects.filter(pk=known).first() if known else User.objects.filter(username=text).first()
    if to is None:
        raise DomainError("Invalid owner", "owner must be the id or name of an account.", field="owner")
    return {"to": to, "reason": read_reason(sent)}


def _check_move(sent: Mapping[str, Any]) -> dict[str, Any]:
    place = {name: sent[name] for name in ("category", "pic_team") if sent.get(name) is not None}
    if not place:
        raise DomainError("Missing required fields", "Give category, pic_team or both.", field="category")
    return {"place": place, "reason": read_reason(sent)}


CHECKS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "pause": _check_pause,
    "resume": _check_resume,
    "hand_over": _check_hand_over,
    "move": _check_move,
}


def summary(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how many jobs came to each outcome."""
    return {name: sum(outcome.outcome == name for outcome in outcomes) for name in (DONE, UNCHANGED, REFUSED)}
