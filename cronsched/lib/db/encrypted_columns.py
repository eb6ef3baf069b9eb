"""Counts what is under an old key in the encrypted columns of all models, and encrypts it with the first key.

A column holds tokens alone, or JSON with a token within it: a model names the latter in `encrypted_in_json`, with the
name and the beginning of the value that is one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from cronsched.lib import crypto
from cronsched.lib.db.fields import EncryptedTextField

BATCH = 500


@dataclass
class Survey:
    """What one column holds: how much under the first key, under an older one, and what no key reads."""

    table: str
    column: str
    current: int = 0
    old: int = 0
    rotated: int = 0
    unreadable: list[str] = field(default_factory=list)


def encrypted_fields() -> list["models.Field[Any, Any]"]:
    """Return the fields that hold tokens: those that encrypt by themselves, and those a model names in
    `encrypted_columns` because it decrypts them only when they are needed."""
    found: list[models.Field[Any, Any]] = []
    for model in apps.get_models():
        named = getattr(model, "encrypted_columns", ())
        found += [
            column
            for column in model._meta.concrete_fields
            if isinstance(column, EncryptedTextField) or column.name in named
        ]
    return found


def json_fields() -> list["models.Field[Any, Any]"]:
    """Return the fields that hold JSON with tokens in it. Their tables are large, and all rows have to be looked at."""
    return [
        model._meta.get_field(name)  # type: ignore[misc]  # our own, so a column
        for model in apps.get_models()
        for name in getattr(model, "encrypted_in_json", ())
    ]


def survey(fields: Sequence["models.Field[Any, Any]"] | None = None) -> list[Survey]:
    """Count the tokens of these columns, or of all, by their key. Reads only."""
    return [_walk(column, _look) for column in (_all() if fields is None else fields)]


def rotate(on_batch: Callable[[int], None] = lambda _: None) -> list[Survey]:
    """Encrypt anew what is under an older key, a batch to a transaction; return what was done.

    After an interruption it can be run again: what is under the first key is left alone. A value that changes meanwhile
    is not overwritten.
    """
    surveys = []
    for column in _all():
        done = _walk(column, _rotate)
        on_batch(done.rotated)
        surveys.append(done)
    return surveys


def _all() -> list["models.Field[Any, Any]"]:
    return [*encrypted_fields(), *json_fields()]


Row = tuple[Any, str]


def _walk(column: "models.Field[Any, Any]", act: Callable[[Survey, "models.Field[Any, Any]", Row], None]) -> Survey:
    done = Survey(column.model._meta.db_table, str(column.column))
    for rows in _batches(column):
        with transaction.atomic():
            for row in rows:
                act(done, column, row)
    return done


def _token(column: "models.Field[Any, Any]", text: str) -> str:
    """Return the token in what a column holds, blank where there is none."""
    within = getattr(column.model, "encrypted_in_json", {}).get(column.name)
    if within is None:
        return text
    name, mark = within
    # As every database writes it, with or without a blank.
    found = re.search(rf'"{name}": ?"{mark}({crypto.MARK}[\w=-]+)"', text)
    return found[1] if found else ""


def _look(done: Survey, column: "models.Field[Any, Any]", row: Row) -> None:
    key, text = row
    token = _token(column, text)
    if not token:
        return
    if crypto.is_current(token):
        done.current += 1
        return
    try:
        crypto.decrypt(token)
        done.old += 1
    except crypto.Undecipherable:
        done.unreadable.append(str(key))


def _rotate(done: Survey, column: "models.Field[Any, Any]", row: Row) -> None:
    key, text = row
    before = done.old
    _look(done, column, row)
    if done.old == before:
        return
    token, (table, name, primary) = _token(column, text), _names(column)
    with connection.cursor() as cursor:
        # Only if it was not written meanwhile.
        cursor.execute(
            f"UPDATE {table} SET {name} = %s WHERE {primary} = %s AND {name} = %s",  # noqa: S608 our own names
            [text.replace(token, crypto.encrypt(crypto.decrypt(token))), key, text],
        )
        done.rotated += cursor.rowcount


def _batches(column: "models.Field[Any, Any]") -> Iterator[Sequence[Row]]:
    """Yield key and value of every row that has one, as the database holds them, in the order of the keys."""
    table, name, primary = _names(column)
    filled = f"{name} IS NOT NULL" + ("" if isinstance(column, models.JSONField) else f" AND {name} <> ''")
    last: Any = None
    while True:
        after = "" if last is None else f" AND {primary} > %s"
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {primary}, {name} FROM {table} WHERE {filled}{after}"  # noqa: S608 our own names
                f" ORDER BY {primary} LIMIT {BATCH}",
                [] if last is None else [last],
            )
            rows = cursor.fetchall()
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _names(column: "models.Field[Any, Any]") -> tuple[str, str, str]:
    quote = connection.ops.quote_name
    primary = column.model._meta.pk
    assert primary is not None
    return quote(column.model._meta.db_table), quote(str(column.column)), quote(str(primary.column))
