"""Finds the entries about something, or by somebody, whose name begins with a text.

The names stand in millions of entries and in no index of theirs. So whose names they are is found first, among what
there is and what was deleted; their entries are found by ids.
"""

from django.db.models import Model, Q

from accounts.models import ApiToken, User
from audit.models import AuditEntry
from jobs.models import Job
from taxonomy.models import JobCategory, PicTeam

# Kind of object in the trail -> its model and the field of its name.
NAMED: dict[str, tuple[type[Model], str]] = {
    "job": (Job, "name"),
    "user": (User, "username"),
    "team": (PicTeam, "name"),
    "category": (JobCategory, "name"),
    "token": (ApiToken, "name"),
}
KINDS = (*NAMED, "slack_settings", "freeze")
# Of each kind. Whoever types so little that more begin so types on.
MOST = 50


def about(text: str) -> Q:
    """Return the condition for entries about what is called so, or has that id, or by people who are."""
    found = Q(object_type__in=KINDS, object_id=text)
    for kind in NAMED:
        ids = _living(kind, text) | _deleted(kind, text)
        found |= Q(object_type=kind, object_id__in=ids)
        if kind == "user":
            found |= Q(actor_id__in=ids)
    return found | Q(actor_id=None, actor_name__istartswith=text)


def _living(kind: str, text: str) -> set[str]:
    model, name = NAMED[kind]
    rows = model._default_manager.filter(**{f"{name}__istartswith": text})
    return {str(key) for key in rows.order_by(name).values_list("pk", flat=True)[:MOST]}


def _deleted(kind: str, text: str) -> set[str]:
    gone = AuditEntry.objects.filter(action=f"{kind}.deleted", object_name__istartswith=text)
    return set(gone.order_by("-at").values_list("object_id", flat=True)[:MOST])
