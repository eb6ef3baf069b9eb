"""Forms that know what they have shown, so that saving one never undoes what another changed meanwhile."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.core import signing
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cronsched.console.texts import local_text

FIELD = "_shown"
SALT = "cronsched.console.snapshot"
NOT_OURS = "This form was not complete when it arrived. Load the page again and repeat your changes."
# Longer values are cut where both are shown.
SHOWN_LENGTH = 200


class SnapshotForm(forms.ModelForm):  # type: ignore[type-arg]  # generic to the stubs only
    """Carries, signed, what its fields showed. `touched` names the fields that differ from that when it comes back.

    Only those may be written. Where one of them was changed by another since it was shown, the form is refused and says
    by whom, when and to what. The page holds the row's lock from before the form is read until it is saved.
    """

    # The fields that this form changes; known once it is cleaned.
    touched: frozenset[str] = frozenset()
    # The labels of fields that others changed meanwhile, and this form did not.
    kept: tuple[str, ...] = ()
    _shown: Mapping[str, str] = {}
    _conflicts: frozenset[str] = frozenset()

    @property
    def is_new(self) -> bool:
        return self.instance._state.adding

    @cached_property
    def changed_data(self) -> list[str]:
        """Return the fields that differ from what was shown, for Django's history."""
        return super().changed_data if self.is_new or not self.is_bound else sorted(self.touched)

    @property
    def snapshot(self) -> str:
        """Return what the page sends back with the form; blank where there is nothing to change."""
        if self.is_new or not self.fields:
            return ""
        shown = {**self._stored, **self._shown, **{name: self._stored[name] for name in self._conflicts}}
        content = {"of": self._row, "at": timezone.now().isoformat(), "fields": shown}
        return signing.dumps(content, salt=SALT, compress=True)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if self.is_new:
            self.touched = frozenset(self.fields)
            return values
        content = self._opened()
        if content is None:
            self.add_error(None, NOT_OURS)
            return values
        self._shown = content["fields"]
        mine = {name: self._digest(name, value) for name, value in values.items() if name in self.fields}
        self.touched = frozenset(name for name, digest in mine.items() if digest != self._shown.get(name))
        moved = {name for name in mine if name in self._shown and self._stored[name] != self._shown[name]}
        self.kept = tuple(self._label(name) for name in self.fields if name in moved - self.touched)
        self._conflicts = frozenset(name for name in moved & self.touched if mine[name] != self._stored[name])
        for name in sorted(self._conflicts):
            self.add_error(name, self._told(name, since=parse_datetime(content["at"])))
        return values

    def _opened(self) -> dict[str, Any] | None:
        try:
            content = signing.loads(self.data.get(FIELD, ""), salt=SALT)
        except signing.BadSignature:
            return None
        return content if isinstance(content, dict) and content.get("of") == self._row else None

    @property
    def _row(self) -> str:
        return f"{self.instance._meta.label_lower}:{self.instance.pk}"

    @cached_property
    def _stored(self) -> dict[str, str]:
        """Digests of the fields as they are stored now."""
        return {
            name: self._digest(name, self.get_initial_for_field(field, name)) for name, field in self.fields.items()
        }

    def _digest(self, name: str, value: Any) -> str:
        return hashlib.blake2b(self._written(name, value).encode(), digest_size=8).hexdigest()

    def _written(self, name: str, value: Any) -> str:
        """Write a value as its field shows it, whether it comes from the row or from the browser."""
        field = self.fields[name]
        value = field.prepare_value(value)
        if value is None:
            return ""
        if hasattr(value, "pk"):
            value = value.pk
        text = str(value).replace("\r\n", "\n")
        return text.strip() if getattr(field, "strip", True) else text

    def _label(self, name: str) -> str:
        return str(self.fields[name].label or name.replace("_", " "))

    def _told(self, name: str, *, since: datetime | None) -> str:
        field = self.fields[name]
        initial = self.get_initial_for_field(field, name)
        text = self._choice(field, initial) or self._written(name, initial) or "blank"
        text = text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"
        who, when = self._last_change(since)
        return f"Changed meanwhile by {who} at {when}: now it is “{text}”. To put your value in its place, save again."

    def _choice(self, field: forms.Field, value: Any) -> str:
        if isinstance(field, forms.ModelChoiceField) and field.queryset is not None:
            found = field.queryset.filter(pk=value).first()
            return str(found) if found else ""
        choices = dict(getattr(field, "choices", ()))
        return str(choices.get(value, ""))

    def _last_change(self, since: datetime | None) -> tuple[str, str]:
        """Return who changed the row last, as far as the console's history knows, and when."""
        entries = LogEntry.objects.filter(
            object_id=str(self.instance.pk), content_type__model=self.instance._meta.model_name
        ).select_related("user")
        entry = entries.filter(action_time__gte=since).order_by("-action_time").first() if since else None
        when = getattr(self.instance, "updated_at", None) or timezone.now()
        return (entry.user.get_username() if entry else "another account"), local_text(when)
