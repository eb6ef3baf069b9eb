"""What a change in the audit trail says: fields as their forms call them, values before and after."""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from audit.models import AuditEntry
from jobs.admin.labels import LABELS
from jobs.admin.texts import link, shortened
from jobs.definitions.owner_names import names_of
from jobs.models import Job

VALUE_LENGTH = 120


def label_of(name: str) -> str:
    """Return what the forms call a field."""
    if name in LABELS:
        return LABELS[name]
    try:
        return capfirst(str(getattr(Job._meta.get_field(name), "verbose_name", name)))
    except FieldDoesNotExist:
        return name.replace("_", " ").capitalize()


def act_of(entry: AuditEntry) -> str:
    """Write what was done: `Job updated` for `job.updated`."""
    return entry.action.replace(".", " ").replace("_", " ").capitalize()


def changes_of(entry: AuditEntry) -> list[tuple[str, Any, Any]]:
    return [(label_of(name), *pair) for name, pair in entry.changes.items()]


def changes_table(entry: AuditEntry, names: Mapping[str, str] | None = None) -> SafeString:
    """Show what an entry changed: before and after side by side. `names` are those of accounts by their ids."""
    names = names_of([entry]) if names is None else names
    rows = ((name, written(old, names), written(new, names)) for name, old, new in changes_of(entry))
    return comparison(("Field", "Before", "After"), rows)


def comparison(heads: tuple[str, str, str], rows: Iterable[tuple[str, str, str]]) -> SafeString:
    lines = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', rows)
    head = format_html_join("", '<th scope="col">{}</th>', ((text,) for text in heads))
    return format_html(
        '<table class="plain-table differences"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, lines
    )


def changes_link(kind: str, key: Any) -> SafeString:
    """Return a link to all entries about one object."""
    return link(f"{reverse('admin:audit_auditentry_changelist')}?kind={kind}&q={key}", "All changes")


def written(value: Any, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Write one side of a change."""
    if value is None or value in ("", [], {}):
        return "blank"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shortened(names.get(str(value)) or _plain(value), VALUE_LENGTH)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
