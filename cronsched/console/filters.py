"""Filters of lists that accept known values only."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.admin import FieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter

FIRST_YEAR, LAST_YEAR = 1970, 9998


class PeriodFilter(RangeDateTimeFilter):
    """From and until, read in the console's zone. A day without a time means its beginning, or its end."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        bounds = {"gte": self._bound("from", "00:00:00"), "lte": self._bound("to", "23:59:59")}
        found = {f"{self.parameter_name}__{lookup}": bound for lookup, bound in bounds.items() if bound}
        return queryset.filter(**found)

    def _bound(self, end: str, usual: str) -> datetime | None:
        day = str(self.used_parameters.get(f"{self.parameter_name}_{end}_0") or "").strip()
        if not day:
            return None
        clock = str(self.used_parameters.get(f"{self.parameter_name}_{end}_1") or "").strip() or usual
        try:
            instant = datetime.fromisoformat(f"{day} {clock}")
        except ValueError:
            raise IncorrectLookupParameters from None
        if instant.tzinfo is not None or not FIRST_YEAR <= instant.year <= LAST_YEAR:
            raise IncorrectLookupParameters
        return timezone.make_aware(instant)


def titled(title: str, kind: type[FieldListFilter]) -> type[FieldListFilter]:
    """Return a filter by a field that is called `title`, and not by the field's name."""

    class Titled(kind):  # type: ignore[valid-type,misc]  # a class by its variable
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.title = title

        def choices(self, changelist: Any) -> Iterator[Any]:
            for choice in super().choices(changelist):
                for field in choice["form"].fields.values() if "form" in choice else ():
                    field.label = title
                yield choice

    return Titled


class ChoiceFilter(DropdownFilter):
    """One of a fixed list of choices; anything else in the address is refused.

    A subclass names `title` and `parameter_name`, and overrides `options` and `narrowed`.
    """

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        raise NotImplementedError

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return self.options(request)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        if value not in dict(self.lookup_choices):
            raise IncorrectLookupParameters
        return self.narrowed(request, queryset, value)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Name the filter by its own word: the theme's "By" tells nothing."""
        for choice in super().choices(changelist):
            choice["form"].fields[self.parameter_name].label = self.title
            yield choice
