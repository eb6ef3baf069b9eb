"""What can be done to jobs. API, console and commands change jobs only through these functions.

Each function locks the job's row, validates the request against the row as it is then, and writes the row, its schedule
and its notices in one transaction. Concurrent edits of one job therefore follow each other, and an edit after a
deletion gets "not found".
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.models import User
from audit.origin import by_itself
from audit.services import record
from cronsched.lib import crypto
from cronsched.lib.db import batches
from cronsched.lib.db.deadlocks import retried
from cronsched.lib.errors import Conflict, DomainError, NotFound, PreconditionFailed
from cronsched.lib.input import payload
from jobs import dispatch
from jobs.definitions import error_texts, github_names, quota, request_options, revisions, validation
from jobs.definitions.error_texts import ErrorTexts
from jobs.definitions.github_names import GITHUB_FIELDS
from jobs.definitions.request_options import Secrets
from jobs.definitions.revisions import Definition
from jobs.definitions.validation import JOB_EXPIRED
from jobs.executors.signing import new_secret
from jobs.history import daily_counts, retention
from jobs.models import Job, JobExecution, JobPause, OnResume
from jobs.notices import events
from jobs.schedule import pauses
from jobs.schedule.pauses import Terms
from jobs.schedule.reschedule import reschedule
from jobs.schedule.scheduled_job import Overrides
from jobs.targets import checks
from notifications.message import Message
from notifications.services import notify

logger = logging.getLogger(__name__)

END_DATE_PASSED = "The end date has passed."
PAUSE_RAN_OUT = "The pause has run out."
# Executions that go with a deleted job are deleted in portions, so that no lock is held for the length of a history.
DELETE_PORTION = 2000

# --- Who and what ----------------------------------------------------------------------------------------------------


def check_may(by: User | None, job: Job, act: str) -> None:
    """Check that `by` may `act` on the job: "update", "delete", "execute" or "check". Raises `Forbidden`.

    `by` None is the operator, who runs a command and may what an administrator may.
    """
    if by is not None and not job.may_be_changed_by(by):
        raise error_texts.not_yours(act)


def _locked(job_id: UUID, *, to_delete: bool = False) -> Job:
    """Return the job's row, locked until the transaction ends; with `to_delete`, so that no new row can refer to it."""
    job = batches.locked(Job.objects.filter(pk=job_id), skip=False, whole=to_delete).first()
    if job is None:
        raise job_not_found(str(job_id))
    return job


def job_not_found(text: str) -> NotFound:
    """Return the refusal for an id `text` that no job has."""
    return NotFound("Job not found", f"No job found with ID: {text}")


# --- Writing ---------------------------------------------------------------------------------------------------------


@retried
def create_job(sent: Mapping[str, Any], *, by: User, now: datetime) -> Job:
    """Create a job that belongs to `by`. Raises `DomainError` for a definition the rules refuse."""
    values = validation.for_create(sent, now=now)
    quota.check(by, 1)
    with transaction.atomic():
        job = Job(**values, created_by=by, created_at=now, revision=1)
        reschedule(job, now=now)
        _save(job, error_texts.CREATE)
        if not job.is_active:
            pauses.begin([job], Terms(), by=by, now=now)
        _record(job, "created", revisions.NOTHING, by=by, now=now)
        notify([events.job_created(job, by)], now=now)
    return job


@retried
def update_job(
    job_id: UUID, sent: Mapping[str, Any], *, by: User, now: datetime, seen: Collection[int] | None = None
) -> Job:
    """Apply the keys in `sent` to a job. Raises `DomainError`, changing nothing.

    `seen` are the revisions that the caller knows; another one is `PreconditionFailed`. None asks for nothing.
    """
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "update")
        if seen is not None and job.revision not in seen:
            raise PreconditionFailed("Precondition failed", revisions.last_change(job))
        _change(job, sent, by=by, now=now)
    return job


def _change(
    job: Job,
    sent: Mapping[str, Any],
    *,
    by: User | None,
    now: datetime,
    reason: str = "",
    terms: Terms | None = None,
    ran_out: bool = False,
) -> None:
    """Apply `sent` to a job that the caller holds, with its schedule, its notice and its entry in the audit trail.

    `terms` are those of a pause that `sent` begins, `ran_out` says that one ends by itself.
    """
    before, was_active = revisions.definition_of(job), job.is_active
    _assign(job, validation.for_update(job, sent, now=now))
    if job.is_active and not was_active and job.pause_after_failures:
        # A person has resumed it: the failures that paused it must not pause it again at the next one.
        job.consecutive_failures = 0
    reschedule(job, now=now)
    verb = {(True, False): "paused", (False, True): "resumed"}.get((was_active, job.is_active), "updated")
    _record(job, verb, before, by=by, now=now, reason=reason)
    _save(job, error_texts.UPDATE)
    if verb == "paused":
        pauses.begin([job], terms or Terms(), by=by, now=now)
    elif verb == "resumed":
        pauses.end(job, by=by, now=now)
    notify([_word_update(job, by, was_active=was_active, ran_out=ran_out)], now=now)


def _record(job: Job, verb: str, before: Definition, *, by: User | None, now: datetime, reason: str = "") -> None:
    """Count the revision of a changed job, for the caller to save, and put the change into the audit trail."""
    changes = revisions.differences(before, revisions.definition_of(job))
    if not changes:
        return
    if before is not revisions.NOTHING:
        job.revision += 1
    record(revisions.entry(job, verb, changes, reason=reason), by=by, now=now)


# --- Pausing ---------------------------------------------------------------------------------------------------------


class Acted(NamedTuple):
    """A job after an act. `changed` False: it was in that state already, and nothing was written."""

    job: Job
    changed: bool


@retried
def pause_job(
    job_id: UUID,
    *,
    by: User | None,
    now: datetime,
    terms: Terms | None = None,
) -> Acted:
    """Pause a job, with a reason and, if it is to resume by itself, until when. Raises `DomainError`."""
    terms = terms or Terms()
    if terms.until is not None and terms.until <= now:
        raise DomainError("Invalid until", "until must lie in the future.", field="until")
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "update")
        if not job.is_active:
            return Acted(job, changed=False)
        _change(job, {"is_active": False}, by=by, now=now, reason=terms.reason, terms=terms)
    return Acted(job, changed=True)


@retried
def resume_job(
    job_id: UUID,
    *,
    by: User | None,
    now: datetime,
    reason: str = "",
    missed: str | None = None,
    if_run_out: bool = False,
) -> Acted:
    """Resume a job and make up for `missed` runs, by default as the pause says. `if_run_out`: only then, by itself.

    Raises `DomainError`.
    """
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "update")
        pause = pauses.current(job)
        has_run_out = pause is not None and pause.until is not None and pause.until <= now
        if job.is_active or (if_run_out and not has_run_out):
            return Acted(job, changed=False)
        _change(job, {"is_active": True}, by=by, now=now, reason=reason, ran_out=if_run_out)
        pauses.make_up(job, pause, missed or (pause.on_resume if pause else OnResume.SKIP), now=now)
    return Acted(job, changed=True)


def resume_what_has_run_out(*, now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Resume every job whose pause has run out, each once even with two leaders. Return how many were resumed.

    A job that cannot be resumed, because its end date has passed, stays paused until a person changes it.
    """
    run_out = JobPause.objects.filter(ended_at=None, until__lte=now).order_by("until", "id")
    resumed = 0
    for pause_id, job_id in list(run_out.values_list("pk", "job_id")):
        if not may_act():
            break
        try:
            resumed += resume_job(job_id, by=None, now=now, reason=PAUSE_RAN_OUT, if_run_out=True).changed
        except NotFound:
            continue
        except DomainError as refusal:
            logger.warning("Job %s stays paused: %s", job_id, refusal)
            JobPause.objects.filter(pk=pause_id).update(until=None)
    return resumed


@retried
def restore_job(job_id: UUID, number: int, *, by: User, now: datetime, reason: str = "") -> Acted:
    """Put a job's definition back as it was in revision `number`. History, owner, pauses and secrets stay.

    Raises `DomainError` where the rules of today refuse what was allowed then.
    """
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "update")
        sent = revisions.restored(job, number)
        if not sent:
            return Acted(job, changed=False)
        _change(job, sent, by=by, now=now, reason=reason or f"Restored as in revision {number}")
    return Acted(job, changed=True)


@retried
def move_job(job_id: UUID, place: Mapping[str, Any], *, by: User | None, now: datetime, reason: str = "") -> Acted:
    """Give a job another category or team. What is there already is left alone. Raises `DomainError`."""
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "update")
        values = validation.for_update(job, place, now=now)
        if all(getattr(job, name) == value for name, value in values.items()):
            return Acted(job, changed=False)
        _change(job, place, by=by, now=now, reason=reason)
    return Acted(job, changed=True)


@retried
def hand_over(job_id: UUID, to: User, *, by: User | None, now: datetime, reason: str = "") -> Acted:
    """Give a job another owner, who may then change it. Raises `DomainError`."""
    if not (to.is_active and to.can_write):
        raise DomainError(
            "Invalid owner", f"{to.username} cannot own jobs: not active, or only a viewer.", field="owner"
        )
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "update")
        if job.created_by_id == to.pk:
            return Acted(job, changed=False)
        before = revisions.definition_of(job)
        job.created_by = to
        _record(job, "updated", before, by=by, now=now, reason=reason)
        _save(job, error_texts.UPDATE)
        notify([events.job_updated(job, by)], now=now)
    return Acted(job, changed=True)


@retried
def auto_pause(job_id: UUID, *, now: datetime, with_team: bool = False) -> int | None:
    """Pause a job whose end date has passed, and warn its owner and the admins.

    Return the number of notices, None where there was nothing to do. `with_team` names the team in the notice, as the
    weekly task does.
    """
    with transaction.atomic(), by_itself():
        job = _locked(job_id)
        if not job.is_active or not job.has_expired(validation.local_date(now)):
            return None
        before = revisions.definition_of(job)
        job.is_active = False
        reschedule(job, now=now, ended=True)
        _record(job, "paused", before, by=None, now=now, reason=END_DATE_PASSED)
        job.save()
        pauses.begin([job], Terms(END_DATE_PASSED), by=None, now=now)
        return notify([events.auto_paused(job, now=now, with_team=with_team)], now=now)


@retried
def delete_job(job_id: UUID, *, by: User | None, now: datetime) -> Job:
    """Delete a job with its history and return it as it was. Notices about it stay, without their reference."""
    _delete_history(job_id, by=by, now=now)
    with transaction.atomic():
        job = _locked(job_id, to_delete=True)
        check_may(by, job, "delete")
        retention.delete(list(JobExecution.objects.filter(job_id=job_id).values_list("pk", flat=True)))
        daily_counts.forget(job_id)
        Job.objects.filter(pk=job_id).delete()
        gone = revisions.differences(revisions.definition_of(job), revisions.NOTHING)
        record(revisions.entry(job, "deleted", gone, is_revision=False), by=by, now=now)
        notify([events.job_deleted(job.name, by)], now=now)
    return job


def _delete_history(job_id: UUID, *, by: User | None, now: datetime) -> None:
    """Delete a history that is too long for one transaction, all but its last portion."""
    executions = JobExecution.objects.filter(job_id=job_id).order_by("pk")
    is_long = executions[DELETE_PORTION : DELETE_PORTION + 1].exists
    if not is_long():
        return
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "delete")
        # A job that is being deleted must start nothing new, also where the deletion is interrupted.
        job.is_active = False
        reschedule(job, now=now)
        job.save()
    while is_long():
        portion = list(executions.values_list("pk", flat=True)[:DELETE_PORTION])
        retention.delete(portion)


def _assign(job: Job, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(job, name, value)


def _save(job: Job, texts: ErrorTexts) -> None:
    try:
        with transaction.atomic():
            job.save()
    except IntegrityError:
        # The name was free when we looked. The constraint decides, so that two requests at once cannot both win.
        if Job.objects.filter(name=job.name).exclude(pk=job.pk).exists():
            raise error_texts.duplicate_name(job.name, texts) from None
        raise


def _word_update(job: Job, by: User | None, *, was_active: bool, ran_out: bool) -> Message:
    if job.is_active == was_active:
        return events.job_updated(job, by)
    if ran_out:
        return events.pause_ran_out(job)
    return events.job_enabled(job, by) if job.is_active else events.job_disabled(job, by)


# --- Secrets and targets ---------------------------------------------------------------------------------------------


@retried
def renew_signing_secret(job_id: UUID, *, keep_previous: bool, by: User, now: datetime) -> str:
    """Give a job a new signing secret and return it: this is the only time that it is shown.

    With `keep_previous` calls are signed by the one before it as well, until that is dropped or there is a newer one.
    Raises `DomainError`.
    """
    secret = new_secret()

    def renew(secrets: Secrets) -> Secrets:
        previous = secrets.signing[:1] if keep_previous else ()
        return replace(secrets, signing=(secret, *previous))

    _change_secrets(job_id, renew, by=by, now=now)
    return secret


@retried
def drop_previous_signing_secret(job_id: UUID, *, by: User, now: datetime) -> None:
    """Sign by the newest secret alone, now that the receivers know it. Raises `DomainError`."""
    _change_secrets(job_id, lambda secrets: replace(secrets, signing=secrets.signing[:1]), by=by, now=now)


def _change_secrets(job_id: UUID, change: Callable[[Secrets], Secrets], *, by: User, now: datetime) -> None:
    with transaction.atomic():
        job = _locked(job_id)
        check_may(by, job, "update")
        try:
            secrets = Secrets.decrypted(job.encrypted_secrets)
        except crypto.Undecipherable:
            message = "The stored secrets cannot be decrypted any more. Set secret_headers and signing_secret anew."
            raise Conflict("Conflict", message) from None
        changed = change(secrets)
        if changed == secrets:
            return
        before = revisions.definition_of(job)
        job.encrypted_secrets = changed.encrypted()
        job.request_options = request_options.trimmed(
            {**request_options.DEFAULTS, **job.request_options, **changed.described}
        )
        _record(job, "updated", before, by=by, now=now)
        job.save()
        notify([events.job_updated(job, by)], now=now)


def check_target(job_id: UUID, *, by: User, now: datetime) -> list[dict[str, Any]]:
    """Check a job's target without calling it and return what was found. Takes seconds. Raises `DomainError`."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise job_not_found(str(job_id))
    check_may(by, job, "check")
    try:
        return checks.check(job_id, now=now)
    except Job.DoesNotExist:
        raise job_not_found(str(job_id)) from None


# --- Running ---------------------------------------------------------------------------------------------------------


def refuse_expired(job: Job, *, now: datetime) -> None:
    """Pause a job whose end date has passed instead of running it. Raises `DomainError` for such a job."""
    if job.has_expired(validation.local_date(now)):
        auto_pause(job.pk, now=now)
        raise DomainError(JOB_EXPIRED, "This job has passed its end_date and was auto-paused.")


def run_now(job: Job, sent: Mapping[str, Any], *, by: User | None, now: datetime) -> JobExecution:
    """Run a job once, whether it is active or not, with the overrides in `sent` (contract, section 9).

    Waits for the end of the run, but no longer than the server's bounded wait. Raises `DomainError`.
    """
    check_may(by, job, "execute")
    refuse_expired(job, now=now)
    overrides = read_overrides(job, sent)
    try:
        return dispatch.run_manually(job, overrides=overrides, now=now)
    except (Job.DoesNotExist, JobExecution.DoesNotExist, IntegrityError):
        if Job.objects.filter(pk=job.pk).exists():
            raise
        # Deleted while it ran, or just before.
        raise job_not_found(str(job.pk)) from None


def queue_run(job_id: UUID, sent: Mapping[str, Any] | None = None, *, by: User | None, now: datetime) -> JobExecution:
    """Queue one run of a job, with the overrides in `sent`, for the leader. Raises `DomainError`."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise job_not_found(str(job_id))
    check_may(by, job, "execute")
    refuse_expired(job, now=now)
    overrides = read_overrides(job, sent) if sent else None
    try:
        return dispatch.queue_run(job, overrides=overrides, now=now)
    except Job.DoesNotExist:
        raise job_not_found(str(job_id)) from None


def read_overrides(job: Job, sent: Mapping[str, Any]) -> Overrides:
    """Return what `sent` changes for one run of `job`. Raises `DomainError` for what it cannot mean."""
    metadata = _metadata_override(sent)
    if job.target_url:
        return Overrides(metadata=metadata, target_url=payload.text(sent, "target_url"))
    text = payload.text(sent, "dispatch_url")
    target: dict[str, str | None] = {**github_names.dispatch_target(text, "Invalid payload")} if text else {}
    # A sent key beats the dispatch URL, and a blank one means the stored value.
    target |= {name: payload.text(sent, name) for name in GITHUB_FIELDS if name in sent}
    for name, value in target.items():
        github_names.check_github_name(name, value or "")
    return Overrides(metadata=metadata, github_token=payload.text(sent, "github_token"), **target)


def _metadata_override(sent: Mapping[str, Any]) -> dict[str, Any] | None:
    for name in ("metadata", "inputs"):
        value = sent.get(name)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise DomainError("Invalid payload", f'"{name}" must be a JSON object.', field=name)
        return validation.check_metadata_size(value)
    return None
