"""Checks values against the model before the database does: SQLite stores what the servers refuse.

Lengths and ranges are those of the model's fields; where the databases differ, the narrowest counts (PostgreSQL's
integers, MariaDB's `json_valid`). Text must be encodable as UTF-8 and hold no NUL, also inside JSON, whose numbers must
be finite.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, NoReturn

from django.apps import apps
from django.db import DataError, models

_SMALL, _WHOLE, _BIG = 2**15 - 1, 2**31 - 1, 2**63 - 1
_RANGES = {
    "AutoField": (-_WHOLE - 1, _WHOLE),
    "BigAutoField": (-_BIG - 1, _BIG),
    "BigIntegerField": (-_BIG - 1, _BIG),
    "IntegerField": (-_WHOLE - 1, _WHOLE),
    "PositiveBigIntegerField": (0, _BIG),
    "PositiveIntegerField": (0, _WHOLE),
    "PositiveSmallIntegerField": (0, _SMALL),
    "SmallAutoField": (-_SMALL - 1, _SMALL),
    "SmallIntegerField": (-_SMALL - 1, _SMALL),
}
# How `json.dumps` writes NUL and halves of surrogate pairs; a pair is written with the same letters.
_SUSPICIOUS = ("\\u0000", "\\ud")


class ValueRefused(DataError):
    """A value that some database would refuse. `field` is the model's, `reason` says what is wrong with the value."""

    def __init__(self, place: str, field: str, reason: str) -> None:
        super().__init__(f"{place}.{field}: {reason}")
        self.field = field
        self.reason = reason


class Limit(NamedTuple):
    """What a column takes."""

    place: str
    field: str
    longest: int | None = None
    range: tuple[int, int] | None = None
    is_json: bool = False

    def refuse(self, reason: str) -> NoReturn:
        raise ValueRefused(self.place, self.field, reason)

    def check(self, value: Any) -> None:
        """Raise `ValueRefused` for a value that some database would not take."""
        if value is None:
            return
        if self.is_json:
            self._check_json(value)
        elif isinstance(value, str):
            self._check_length(len(value))
            self._check_characters(value)
        elif isinstance(value, int):
            self._check_range(value, value)
        elif isinstance(value, float) and not math.isfinite(value):
            self.refuse("not a finite number")

    def check_all(self, values: Sequence[Any]) -> None:
        """Raise `ValueRefused` where one of many values is too long or out of range; characters are not checked."""
        if self.longest is not None:
            self._check_length(max(map(len, filter(None, values)), default=0))
        elif self.range is not None:
            # Zero is in every range, and none of them is empty.
            numbers = [0, *filter(None, values)]
            self._check_range(min(numbers), max(numbers))

    def _check_length(self, length: int) -> None:
        if self.longest is not None and length > self.longest:
            self.refuse(f"{length} characters, at most {self.longest}")

    def _check_range(self, lowest: int, highest: int) -> None:
        if self.range is None:
            return
        low, high = self.range
        if lowest < low or highest > high:
            self.refuse(f"{lowest if lowest < low else highest} is not from {low} to {high}")

    def _check_characters(self, text: str) -> None:
        if "\x00" in text:
            self.refuse("holds a NUL character")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                self.refuse("holds half of a surrogate pair")

    def _check_json(self, value: Any) -> None:
        try:
            document = json.dumps(value, allow_nan=False)
        except ValueError:
            self.refuse("holds a number that is not finite")
        if is_suspicious(document):
            for text in _texts_in(value):
                self._check_characters(text)


def is_suspicious(document: str) -> bool:
    """Whether a JSON document may hold characters that a database refuses."""
    return any(mark in document for mark in _SUSPICIOUS)


def limit_of(field: "models.Field[Any, Any]") -> Limit:
    """Return what the column of a model's field takes."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    kind = target.get_internal_type()
    return Limit(
        place=field.model._meta.db_table,
        field=field.name,
        longest=target.max_length if kind in {"CharField", "SlugField"} else None,
        range=_RANGES.get(kind),
        is_json=kind == "JSONField",
    )


@cache
def of_table(table: str) -> Mapping[str, Limit]:
    """Return what the columns of a model's table take, by their names; nothing of a table that no model has."""
    found = [model for model in apps.get_models(include_auto_created=True) if model._meta.db_table == table]
    return {str(field.column): limit_of(field) for model in found for field in model._meta.concrete_fields}


def check_instance(instance: models.Model, fields: Iterable[str] | None = None) -> None:
    """Judge what is about to be saved; with `fields` (names) only these. Raises `ValueRefused`."""
    limits = of_table(instance._meta.db_table)
    for field in instance._meta.concrete_fields:
        if fields is not None and field.name not in fields and field.attname not in fields:
            continue
        value = getattr(instance, field.attname)
        if not hasattr(value, "resolve_expression"):
            # Migrations save models that are in no registry.
            (limits.get(str(field.column)) or limit_of(field)).check(value)


def check_all(instances: Iterable[models.Model]) -> None:
    """Judge what is about to be saved by `bulk_create`, which sends no signal. Raises `ValueRefused`."""
    batch = list(instances)
    for field in batch[0]._meta.concrete_fields if batch else ():
        limit = limit_of(field)
        values = [getattr(instance, field.attname) for instance in batch]
        if limit.range is not None:
            limit.check_all(values)
        elif isinstance(next(filter(None, values), None), str | float | dict | list):
            for value in values:
                limit.check(value)


def check_before_save(instance: models.Model, raw: bool, update_fields: frozenset[str] | None, **_: Any) -> None:
    """Receive `pre_save` of every model."""
    if not raw:
        check_instance(instance, update_fields)


def _texts_in(value: Any) -> Iterable[str]:
    """Yield every text of a JSON value, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts_in(key)
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
