"""What can be done to categories and teams, by the rules of the contract, section 13. For API and console."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Generic

from django.db import IntegrityError, transaction

from accounts.models import User
from audit.services import Entry, differences, record
from cronsched.lib.errors import Conflict, DomainError
from cronsched.lib.input import payload
from taxonomy.models import GENERAL_SLUG, AnyLabel, JobCategory, Label, PicTeam, slugify

MAX_NAME = 255
MAX_SLUG = 100


def title(model: type[Label]) -> str:
    """Return what the answers call a label of this kind."""
    return "PIC team" if model is PicTeam else "Category"


def noun(model: type[Label]) -> str:
    """Return the same inside a sentence."""
    return "PIC team" if model is PicTeam else "category"


@dataclass(frozen=True)
class Change(Generic[AnyLabel]):
    """A label after a change. `jobs_updated` counts the jobs that now answer with another slug."""

    label: AnyLabel
    jobs_updated: int


def create_label(model: type[AnyLabel], data: Mapping[str, Any], *, by: User | None, now: datetime) -> AnyLabel:
    """Create a label from `name`, `slug` and, for teams, `slack_handle`. Raises `DomainError`."""
    name = payload.text(data, "name")
    if name is None:
        raise DomainError("Missing required fields", '"name" is required.', field="name")
    fields: dict[str, Any] = {"name": name}
    if model is PicTeam:
        fields["slack_handle"] = payload.text(data, "slack_handle")
        if fields["slack_handle"] is None:
            raise DomainError("Missing required fields", '"slack_handle" is required.', field="slack_handle")
    fields["slug"] = _usable_slug(payload.text(data, "slug") or name)
    _check_lengths(fields)
    label = model(**fields)
    with transaction.atomic():
        _save(label)
        _record("created", label, dict.fromkeys(fields), by=by, now=now)
    return label


def change_label(label: AnyLabel, data: Mapping[str, Any], *, by: User | None, now: datetime) -> Change[AnyLabel]:
    """Apply the keys present in `data`; a sent name derives the slug anew. Raises `DomainError`, changing nothing."""
    fields: dict[str, Any] = {}
    if "name" in data:
        fields["name"] = _required(data, "name", "Invalid name", "Name cannot be empty.")
        _keep_general(label, fields["name"])
        fields["slug"] = _usable_slug(fields["name"])
    if "slug" in data:
        raise DomainError("Invalid payload", "Slug cannot be edited directly; it is derived from name.", field="slug")
    if "is_active" in data:
        fields["is_active"] = payload.flag(data, "is_active", label.is_active)
    if isinstance(label, PicTeam) and "slack_handle" in data:
        text = "slack_handle cannot be empty."
        fields["slack_handle"] = _required(data, "slack_handle", "Invalid slack_handle", text)
    _check_lengths(fields)

    with transaction.atomic():
        before = _locked(label)
        moves = fields.get("slug", before.slug) != before.slug
        for field, value in fields.items():
            setattr(label, field, value)
        # Only what was sent, so that two people changing different fields do not undo each other.
        _save(label, only=[*fields, "updated_at"])
        _record("updated", label, {name: getattr(before, name) for name in fields}, by=by, now=now)
    # Jobs refer to the row, so there is nothing to rewrite; clients only want to know how many are concerned.
    return Change(label, _jobs_of(label) if moves else 0)


def change_settings(label: Label, values: Mapping[str, Any], *, by: User | None, now: datetime) -> None:
    """Set what no rule of the contract is about: quiet hours, addresses, when to alert."""
    before = {name: getattr(label, name) for name in values}
    for name, value in values.items():
        setattr(label, name, value)
    with transaction.atomic():
        label.save(update_fields=[*values, "updated_at"])
        _record("updated", label, before, by=by, now=now)


def disable_label(label: AnyLabel, *, by: User | None, now: datetime) -> None:
    """Take a label out of the choices. Jobs that have it keep it."""
    with transaction.atomic():
        before = _locked(label)
        label.is_active = False
        label.save(update_fields=["is_active", "updated_at"])
        _record("updated", label, {"is_active": before.is_active}, by=by, now=now)


def _locked(label: AnyLabel) -> AnyLabel:
    """Return the label as it is stored, held until the transaction ends."""
    return type(label)._default_manager.select_for_update().get(pk=label.pk)


def _record(verb: str, label: Label, before: Mapping[str, Any], *, by: User | None, now: datetime) -> None:
    """Put what differs from `before` in its fields into the audit trail; nothing where nothing does."""
    after = {name: getattr(label, name) for name in before}
    if changes := differences(_written(before), _written(after)):
        kind = "team" if isinstance(label, PicTeam) else "category"
        record(Entry(f"{kind}.{verb}", str(label.pk), label.name, changes), by=by, now=now)


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON holds them: quiet hours are times of day."""
    return {name: value.isoformat() if isinstance(value, time) else value for name, value in values.items()}


def _required(data: Mapping[str, Any], field: str, error: str, text: str) -> str:
    value = payload.text(data, field)
    if value is None:
        raise DomainError(error, text, field=field)
    return value


def _keep_general(label: Label, name: str) -> None:
    if isinstance(label, JobCategory) and label.slug == GENERAL_SLUG and name != label.name:
        raise DomainError("Invalid category", 'The "General" category cannot be renamed.', field="name")


def _usable_slug(text: str) -> str:
    slug = slugify(text)
    if not slug:
        raise DomainError("Invalid slug", "Unable to generate a valid slug from name.", field="name")
    return slug


def _check_lengths(fields: Mapping[str, Any]) -> None:
    if len(fields.get("name", "")) > MAX_NAME:
        raise DomainError("Invalid name", f"Name must be at most {MAX_NAME} characters.", field="name")
    if len(fields.get("slack_handle", "")) > MAX_NAME:
        text = f"slack_handle must be at most {MAX_NAME} characters."
        raise DomainError("Invalid slack_handle", text, field="slack_handle")
    if len(fields.get("slug", "")) > MAX_SLUG:
        raise DomainError("Invalid slug", f"Slug must be at most {MAX_SLUG} characters.", field="name")


def _save(label: Label, only: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            label.save(update_fields=only)
    except IntegrityError:
        # The constraint decides, so two requests at once cannot both win. It is the only one these rows can break.
        text = f'{title(type(label))} slug "{label.slug}" already exists.'
        raise Conflict("Duplicate slug", text, field="name") from None


def _jobs_of(label: AnyLabel) -> int:
    assert isinstance(label, JobCategory | PicTeam)
    return label.jobs.count()
