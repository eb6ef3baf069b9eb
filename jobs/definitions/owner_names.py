"""The names of the owners whose ids stand in the changes of a job, also of those that are gone."""

from collections.abc import Iterable, Mapping
from typing import Any

from accounts.models import User
from audit.models import AuditEntry
from jobs.definitions.revisions import OWNER

# What the names are called beside the ids.
NAMES = "owner"


def names_of(entries: Iterable[AuditEntry]) -> dict[str, str]:
    """Return the names of the accounts whose ids are in these changes."""
    keys = {key for entry in entries for key in entry.changes.get(OWNER) or () if key}
    if not keys:
        return {}
    names = {str(key): name for key, name in User.objects.filter(pk__in=keys).values_list("pk", "username")}
    if gone := keys - names.keys():
        deleted = AuditEntry.objects.filter(action="user.deleted", object_type="user", object_id__in=gone)
        names |= dict(deleted.values_list("object_id", "object_name"))
    return names


def with_names(changes: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the changes, and beside the ids of an owner before and after the names, where they are known."""
    if OWNER not in changes:
        return dict(changes)
    return {**changes, NAMES: [names.get(key) if key else None for key in changes[OWNER]]}
