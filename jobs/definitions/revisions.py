"""What a job's definition says, how two of them differ, and how it was before: for the audit trail.

Values are written as the API writes them, so that a revision can be sent back to it. Secrets show as "***": that one
changed is on record, what it was is not.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from audit.models import AuditEntry
from audit.services import MASKED, Changes, Entry
from cronsched.lib.errors import NotFound
from jobs.definitions import request_options
from jobs.definitions.scheduling_options import OPTION_FIELDS
from jobs.models import Job
from taxonomy.models import JobCategory, Label, PicTeam

OBJECT = "job"
PLAIN_FIELDS = (
    "name",
    "cron_expression",
    "target_url",
    "github_owner",
    "github_repo",
    "github_workflow_name",
    "metadata",
    "end_date",
    "enable_email_notifications",
    "notification_emails",
    "notify_on_success",
    "is_active",
    *OPTION_FIELDS,
)
# Shown by slug, held by key.
LABELS: Mapping[str, type[Label]] = {"category": JobCategory, "pic_team": PicTeam}
OWNER = "created_by"
SECRETS = "secrets"
# What a restore does not change: whether the job is paused, its owner, and its secrets, which the trail does not hold.
NOT_RESTORED = {"is_active", OWNER, SECRETS, "secret_headers", "signing_secrets"}


class Definition(NamedTuple):
    """A job's definition at one moment, cheap to take: labels by key, secrets as stored."""

    plain: dict[str, Any]
    labels: dict[str, UUID]
    owner: UUID | None
    options: Mapping[str, Any]
    encrypted_secrets: str | None


NOTHING = Definition({}, {}, None, {}, None)


def definition_of(job: Job) -> Definition:
    plain = {name: _written(getattr(job, name)) for name in PLAIN_FIELDS}
    labels = {name: getattr(job, f"{name}_id") for name in LABELS}
    return Definition(
        plain, labels, job.created_by_id, request_options.shown(job.request_options), job.encrypted_secrets
    )


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def differences(
    before: Definition, after: Definition, *, slugs: Mapping[UUID, str] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Return `{field: (before, after)}` of what differs. A field that is blank in a new definition is left out.

    `slugs` are those of all labels, for callers that compare many; otherwise those that differ are looked up.
    """
    old, new = {**before.plain, **before.options}, {**after.plain, **after.options}
    is_new = before is NOTHING
    default = request_options.shown({}) if is_new else {}
    found = {
        name: (old.get(name), new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name, default.get(name)) != new.get(name)
    }
    for name, model in LABELS.items():
        keys = before.labels.get(name), after.labels.get(name)
        if keys[0] != keys[1]:
            found[name] = (_slug(model, keys[0], slugs), _slug(model, keys[1], slugs))
    if before.owner != after.owner:
        found[OWNER] = (_text(before.owner), _text(after.owner))
    if before.encrypted_secrets != after.encrypted_secrets:
        found[SECRETS] = (before.encrypted_secrets and MASKED, after.encrypted_secrets and MASKED)
    return found


def all_slugs() -> dict[UUID, str]:
    """Return the slugs of all categories and teams by their keys."""
    return {key: slug for model in LABELS.values() for key, slug in model._default_manager.values_list("pk", "slug")}


def _slug(model: type[Label], key: UUID | None, slugs: Mapping[UUID, str] | None) -> str | None:
    if key is None:
        return None
    return slugs[key] if slugs is not None else model._default_manager.values_list("slug", flat=True).get(pk=key)


def _text(key: UUID | None) -> str | None:
    return None if key is None else str(key)


def entry(job: Job, verb: str, changes: Changes, *, reason: str = "", is_revision: bool = True) -> Entry:
    """Return the entry that tells of a change of `job`, whose `revision` has been counted on already."""
    return Entry(
        f"{OBJECT}.{verb}",
        str(job.pk),
        job.name,
        changes,
        owner_id=job.created_by_id,
        reason=reason,
        revision=job.revision if is_revision else None,
    )


# --- Reading ---------------------------------------------------------------------------------------------------------


def of_job(job_id: UUID) -> list[AuditEntry]:
    """Return the entries of a job's revisions, newest first."""
    entries = AuditEntry.objects.of_object(OBJECT, str(job_id)).filter(revision__isnull=False)
    return list(entries.order_by("-revision"))


def restored(job: Job, number: int) -> dict[str, Any]:
    """Return what has to be sent to `job` so that it reads as in revision `number`; empty where it does already.

    Revision 0 is the definition before the trail began. Raises `NotFound` where the trail does not reach back so far.
    """
    later = [row for row in of_job(job.pk) if row.revision is not None and row.revision > number]
    if number > job.revision or [row.revision for row in later] != list(range(job.revision, number, -1)):
        raise not_found(job.pk, number)
    if number == 0 and later and later[-1].action == f"{OBJECT}.created":
        raise NotFound("Revision not found", "Before revision 1 there was no job.")
    return {name: value for name, value in _undone(later).items() if name not in NOT_RESTORED}


def changes_by_restore(job: Job, number: int) -> dict[str, tuple[Any, Any]]:
    """Return `{field: (now, then)}` of what a restore of revision `number` changes. Raises as `restored`."""
    present = definition_of(job)
    now = {**present.plain, **present.options, **{name: getattr(job, name).slug for name in LABELS}}
    return {name: (now.get(name), then) for name, then in restored(job, number).items() if now.get(name) != then}


def not_found(job_id: object, number: object) -> NotFound:
    """Return the refusal for a revision that a job does not have, or that is no longer on record."""
    return NotFound("Revision not found", f"Job {job_id} has no revision {number} that is still on record.")


def _undone(newest_first: Iterable[AuditEntry]) -> dict[str, Any]:
    """Return each field as it was before all of these changes."""
    values: dict[str, Any] = {}
    for row in newest_first:
        values |= {name: before for name, (before, _) in row.changes.items()}
    return values


def last_change(job: Job) -> str:
    """Return who changed the job last, and when."""
    row = next(iter(of_job(job.pk)), None)
    if row is None:
        return f"The job was changed at {job.updated_at:%Y-%m-%d %H:%M:%S}Z."
    return f"{row.actor_name} changed the job at {row.at:%Y-%m-%d %H:%M:%S}Z: {', '.join(row.changes)}."
