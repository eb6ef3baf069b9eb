"""Looks labels up by slug or name, for callers with thousands of values."""

from collections.abc import Iterable
from typing import Generic

from taxonomy.models import AnyLabel, name_key, slugify


class LabelIndex(Generic[AnyLabel]):
    """All labels of one kind, read once; `find` answers as `LabelQuerySet.find` does, without a query."""

    def __init__(self, labels: Iterable[AnyLabel]) -> None:
        by_age = sorted(labels, key=lambda label: (label.created_at, label.id))
        self._by_slug = {label.slug: label for label in by_age}
        # Reversed, so that of several with one name the oldest stays.
        self._by_name = {name_key(label.name): label for label in reversed(by_age)}

    def add(self, label: AnyLabel) -> None:
        """Add a label that will be stored later, so that it is found."""
        self._by_slug.setdefault(label.slug, label)
        self._by_name.setdefault(name_key(label.name), label)

    def find(self, value: str) -> AnyLabel | None:
        if label := self._by_slug.get(slugify(value)):
            return label
        wanted = name_key(value)
        return self._by_name.get(wanted) if wanted else None
