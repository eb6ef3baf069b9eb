"""Writes many rows with few statements, in the SQL of each database.

A batch travels as one parameter, a JSON document, and the database unfolds it into a table. That costs the process a
single encoding in C and one round trip, however many rows there are; values bound one by one would cost more than
everything else the scheduler does for a row. What is the same in all rows, as most of a herd's columns are, is no part
of the document but a parameter of its own. All differences between the databases in this stand here.

Columns are described by `Column(name, kind)`; rows are sequences in the order of the columns, holding plain Python
values: UUID, str, int, float, bool, aware datetime, date and, for JSON columns, anything `json.dumps` takes.

Values are judged by the model of the table first (`limits`): what a database would refuse raises `ValueRefused`, which
names the field, on every database alike.
"""

# Names of tables and columns come from our own models; whatever comes from outside is a parameter.
# ruff: noqa: S608

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import DataError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Func, Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.sql.compiler import SQLCompiler

from cronsched.lib.db import limits
from cronsched.lib.db.limits import Limit
from cronsched.lib.db.outages import is_outage

M = TypeVar("M", bound=Model)


class Kind(StrEnum):
    """What a column holds."""

    UUID = "uuid"
    TEXT = "text"
    INTEGER = "integer"
    FLAG = "flag"
    REAL = "real"
    INSTANT = "instant"
    DAY = "day"
    JSON = "json"


class Column(NamedTuple):
    name: str
    kind: Kind


Row = Sequence[Any]

_POSTGRESQL_TYPES = {
    Kind.UUID: "uuid",
    Kind.TEXT: "text",
    Kind.INTEGER: "bigint",
    Kind.FLAG: "boolean",
    Kind.REAL: "double precision",
    Kind.INSTANT: "timestamptz",
    Kind.DAY: "date",
    Kind.JSON: "jsonb",
}
_MARIADB_TYPES = {
    Kind.UUID: "CHAR(36)",
    Kind.TEXT: "LONGTEXT",
    Kind.INTEGER: "BIGINT",
    Kind.FLAG: "TINYINT(1)",
    Kind.REAL: "DOUBLE",
    Kind.INSTANT: "DATETIME(6)",
    Kind.DAY: "DATE",
    Kind.JSON: "LONGTEXT",
}


def insert(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    same: Sequence[tuple[Column, Any]] = (),
    unless_exists: Sequence[str] = (),
) -> int:
    """Insert `rows` in one statement and return how many went in.

    `same` are columns with one value for all rows: they travel once.

    With `unless_exists` a row whose values in these columns stand in the table already is left out. That is a look,
    not a lock: the caller holds one that keeps others from inserting the same, or lives with an IntegrityError.
    """
    names = [column.name for column in columns]
    targets = ", ".join([*names, *(column.name for column, _ in same)])
    sources = ", ".join([*(f"v.{name}" for name in names), *(_parameter(connection, column) for column, _ in same)])
    condition = ""
    if unless_exists:
        equal = " AND ".join(f"old.{name} = v.{name}" for name in unless_exists)
        condition = f" WHERE NOT EXISTS (SELECT 1 FROM {table} old WHERE {equal})"
    source, parameters = _table(connection, table, columns, rows)
    sql = f"INSERT INTO {table} ({targets}) SELECT {sources} FROM {source}{condition}"
    for column, value in same:
        _limit(table, column).check(value)
    constants = [_json(value) if column.kind is Kind.JSON else stored(connection, value) for column, value in same]
    return _execute(connection, sql, [*constants, *parameters])


def insert_missing(
    connection: BaseDatabaseWrapper, table: str, columns: Sequence[Column], rows: Iterable[Row], *, key: str
) -> None:
    """Insert those of `rows` whose unique `key` does not stand in the table yet, in the order given.

    Waits for a transaction that is inserting the same key, and holds the row that is there where the database can: two
    that share a lock on it and then both want it for themselves would deadlock.
    """
    names = ", ".join(column.name for column in columns)
    source, parameters = _table(connection, table, columns, rows)
    select = f"INSERT INTO {table} ({names}) SELECT {names} FROM {source} WHERE 1=1"
    leave = (
        f"DUPLICATE KEY UPDATE {key} = {table}.{key}"
        if connection.vendor == "mysql"
        else f"CONFLICT ({key}) DO NOTHING"
    )
    _execute(connection, f"{select} ON {leave}", parameters)


def update(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    condition: str = "",
    parameters: Sequence[Any] = (),
) -> int:
    """Set the columns of each row, found by the first column, in one statement; return how many rows were found.

    `condition` is further SQL about the row, which goes by the name of the table.
    """
    key, values = columns[0].name, [column.name for column in columns[1:]]
    source, given = _table(connection, table, columns, rows)
    where = f"{table}.{key} = v.{key}"
    if condition:
        # Inside CASE it is no candidate for an index: SQLite would rather walk all rows of a status for each of ours.
        where += f" AND CASE WHEN {condition} THEN 1 ELSE 0 END = 1"
    if connection.vendor == "mysql":
        assignments = ", ".join(f"{table}.{name} = v.{name}" for name in values)
        # In this order and by the key: it would rather walk all of a small table, and wait for rows that others hold.
        join = f"{source} STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY) ON {table}.{key} = v.{key}"
        sql = f"UPDATE {join} SET {assignments} WHERE {where}"
    else:
        assignments = ", ".join(f"{name} = v.{name}" for name in values)
        sql = f"UPDATE {table} SET {assignments} FROM {source} WHERE {where}"
    return _execute(connection, sql, [*given, *parameters])


def add(
    connection: BaseDatabaseWrapper, table: str, key: Sequence[Column], amounts: Sequence[Column], rows: Iterable[Row]
) -> None:
    """Add each row's amounts to the row with the same key, which is made where there is none.

    Rows are taken in the order given; callers sort them, so that two batches never deadlock.
    """
    columns = [*key, *amounts]
    names = ", ".join(column.name for column in columns)
    # SQLite reads the ON of an upsert as a join's unless a WHERE stands between.
    source, parameters = _table(connection, table, columns, rows)
    select = f"INSERT INTO {table} ({names}) SELECT {names} FROM {source} WHERE 1=1"
    if connection.vendor == "mysql":
        sums = ", ".join(f"{table}.{column.name} = {table}.{column.name} + VALUES({column.name})" for column in amounts)
        sql = f"{select} ON DUPLICATE KEY UPDATE {sums}"
    else:
        sums = ", ".join(f"{column.name} = {table}.{column.name} + excluded.{column.name}" for column in amounts)
        sql = f"{select} ON CONFLICT ({', '.join(column.name for column in key)}) DO UPDATE SET {sums}"
    _execute(connection, sql, parameters)


class IdIn(Func):
    """Whether a UUID column is one of `ids`, as a condition for `filter`.

    Django's own `__in` makes a parameter of each id, which costs more than the database needs to find the rows.
    """

    output_field = BooleanField()

    def __init__(self, field: str, ids: Collection[UUID]) -> None:
        super().__init__(F(field))
        self._ids = ids

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        column, _parameters = compiler.compile(self.source_expressions[0])
        match connection.vendor:
            case "sqlite":
                return f"{column} IN (SELECT value FROM json_each(%s))", [json.dumps([key.hex for key in self._ids])]
            case "postgresql":
                return f"{column} = ANY(%s)", [list(self._ids)]
        # MariaDB would read the whole table where the ids come from a subquery.
        if not self._ids:
            raise EmptyResultSet
        keys = _texts(connection, Kind.UUID, list(self._ids))
        return f"{column} IN ({', '.join(['%s'] * len(keys))})", list(keys)


def read(rows: QuerySet[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a `values_list` queryset as the queryset itself would, for a fraction of the cost."""
    compiler = rows.query.get_compiler(rows.db)
    try:
        sql, parameters = compiler.as_sql()
    except EmptyResultSet:
        return []
    columns = _fetched(connections[rows.db], sql, parameters, len(compiler.select))
    return _rows(columns, converters(expression for expression, *_ in compiler.select))


def instances(rows: QuerySet[M]) -> list[M]:
    """Return the rows of `rows` as models, read like `read` does; nothing they refer to is read along."""
    names = [field.attname for field in rows.model._meta.concrete_fields]
    return [rows.model.from_db(rows.db, names, values) for values in read(rows.values_list(*names))]


def _fetched(
    connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any], width: int
) -> Sequence[Sequence[Any]]:
    """Return the columns of what a query selects, as the driver gives their values."""
    with connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.execute(sql, parameters)
            return list(zip(*cursor.fetchall(), strict=True))
        # Python's SQLite module lets other threads run at each row it fetches. Where many want to, every row would
        # wait for its turn again; so all of them come as one, a document for each column.
        names = [f"c{index}" for index in range(width)]
        documents = ", ".join(f"json_group_array({name})" for name in names)
        try:
            cursor.execute(f"WITH r({', '.join(names)}) AS ({sql}) SELECT {documents} FROM r", parameters)
            found = cursor.fetchone()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
                # Said of all that SQL can trip over. Where it goes through without JSON, it was a BLOB.
                cursor.execute(sql, parameters)
            elif is_outage(error):
                raise
            # Or a text that is no UTF-8: it is the row's fault, and must not pass for the database's.
            raise DataError(str(error)) from error
        return [json.loads(document) for document in found]


# Of the longest text without an offset.
NAIVE_LENGTH = len("2026-01-15 12:00:00.000000")
Convert = Callable[[Sequence[Any]], Sequence[Any]]
Converters = Mapping[int, Convert]


def converters(selected: Iterable[Any]) -> Converters:
    """Return how the columns `selected` (expressions) become Python's values, by their places."""
    found = {place: _converter(expression) for place, expression in enumerate(selected)}
    return {place: convert for place, convert in found.items() if convert}


def _converter(expression: Any) -> Convert | None:
    """Return how a column becomes Python's values, None where the driver does it."""
    kind = expression.output_field.get_internal_type()
    if kind in _CONVERTERS:
        return _CONVERTERS[kind]
    if hasattr(expression.output_field, "from_db_value"):
        raise TypeError(f"{type(expression.output_field).__name__} is read in a way of its own.")
    # What a database works out may be another kind of number: many a sum is a decimal one.
    if not isinstance(expression, Col) and kind.endswith("IntegerField"):
        return _once_each(int)
    return None


def converted(rows: Sequence[Row], converters: Converters) -> list[tuple[Any, ...]]:
    """Return `rows` as Django would, for a fraction of the cost: column by column."""
    return _rows(list(zip(*rows, strict=True)), converters)


def _rows(columns: Sequence[Sequence[Any]], converters: Converters) -> list[tuple[Any, ...]]:
    if columns:
        columns = [converters[place](values) if place in converters else values for place, values in enumerate(columns)]
    return list(zip(*columns, strict=True))


def _once_each(convert: Callable[[Any], Any]) -> Convert:
    """Return a function that converts a column; what stands in many rows is converted once."""

    def column(values: Sequence[Any]) -> list[Any]:
        known: dict[Any, Any] = {None: None}
        for value in values:
            if value not in known:
                known[value] = convert(value)
        return [known[value] for value in values]

    return column


def _uuid(value: Any) -> UUID:
    # By its number it is made in half the time that its text takes.
    return value if isinstance(value, UUID) else UUID(int=int(value.replace("-", ""), 16))


def _instant(value: datetime | str) -> datetime:
    if isinstance(value, str):
        # With the offset in the text Python needs a fifth of the time that giving it one afterwards takes.
        value = datetime.fromisoformat(value if len(value) > NAIVE_LENGTH else f"{value}+00:00")
        if value.tzinfo is UTC:
            return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _day(value: date | str) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value


# What the databases' drivers leave to Django.
_CONVERTERS: dict[str, Convert] = {
    "UUIDField": _once_each(_uuid),
    "DateTimeField": _once_each(_instant),
    "DateField": _once_each(_day),
    "BooleanField": _once_each(bool),
    "JSONField": _once_each(json.loads),
}


def stored(connection: BaseDatabaseWrapper, value: Any) -> Any:
    """Return `value` as a parameter of hand-written SQL: in the form in which Django stores it."""
    return value if value is None or isinstance(value, str | int | float) else _plain(connection, value)


def _table(
    connection: BaseDatabaseWrapper, table: str, columns: Sequence[Column], rows: Iterable[Row]
) -> tuple[str, list[Any]]:
    """Return SQL for `rows` as a table named `v`, and its parameters. Raises `ValueRefused`."""
    # Column by column, so that the encoder meets nothing it has to ask back about.
    given: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [() for _ in columns]
    known = [_limit(table, column) for column in columns]
    for limit, values in zip(known, given, strict=True):
        limit.check_all(values)
    try:
        texts = [_texts(connection, column.kind, values) for column, values in zip(columns, given, strict=True)]
        # The first column, a key as a rule, makes the rows.
        same = [place > 0 and _is_same(values) for place, values in enumerate(texts)]
        varied = [values for values, is_same in zip(texts, same, strict=True) if not is_same]
        document = json.dumps(list(zip(*varied, strict=True)), separators=(",", ":"), allow_nan=False)
    except ValueError:
        # A number that is not finite. Where JSON has it not, it is looked for.
        _check_each(known, given)
        raise
    _check_each(known, [values[:1] if is_same else () for values, is_same in zip(given, same, strict=True)])
    if limits.is_suspicious(document):
        _check_each(known, given)
    constants = [values[0] for values, is_same in zip(texts, same, strict=True) if is_same]
    return _unfolded(connection, columns, same), [*constants, document]


def _check_each(known: Sequence[Limit], given: Sequence[Sequence[Any]]) -> None:
    for limit, values in zip(known, given, strict=True):
        for value in values:
            limit.check(value)


def _is_same(values: Sequence[Any]) -> bool:
    """Whether all of `values`, of which there is one at least, are the same."""
    return bool(values) and values[0] == values[-1] and values.count(values[0]) == len(values)


def _unfolded(connection: BaseDatabaseWrapper, columns: Sequence[Column], same: Sequence[bool]) -> str:
    """Return the SQL of a table named `v`. Its parameters are the values that are the `same`, and the document."""
    places = iter(range(len(columns)))
    document = [(column, None if is_same else next(places)) for column, is_same in zip(columns, same, strict=True)]
    # The % of a LIKE or a path would be taken for a placeholder; there is none in here.
    match connection.vendor:
        case "postgresql":
            element, rows = "(e->>{0})::{1}", "jsonb_array_elements(%s::jsonb) e"
        case "mysql":
            element = "e.{2}"
            paths = ", ".join(
                f"{column.name} {_MARIADB_TYPES[column.kind]} PATH '$[{place}]'"
                for column, place in document
                if place is not None
            )
            rows = f"JSON_TABLE(%s, '$[*]' COLUMNS ({paths})) e"
        case "sqlite":
            element, rows = "json_extract(value, '$[{0}]')", "json_each(%s)"
        case _:
            raise NotImplementedError(f"No batches on {connection.vendor}.")
    sources = ", ".join(
        f"{_parameter(connection, column)} AS {column.name}"
        if place is None
        else f"{element.format(place, _POSTGRESQL_TYPES[column.kind], column.name)} AS {column.name}"
        for column, place in document
    )
    return f"(SELECT {sources} FROM {rows}) v"


def _parameter(connection: BaseDatabaseWrapper, column: Column) -> str:
    return f"%s::{_POSTGRESQL_TYPES[column.kind]}" if connection.vendor == "postgresql" else "%s"


def _limit(table: str, column: Column) -> Limit:
    return limits.of_table(table).get(column.name) or Limit(table, column.name, is_json=column.kind is Kind.JSON)


_json = json.JSONEncoder(allow_nan=False).encode
# Equal to nothing that is written otherwise, and what most rows hold.
_EMPTY: tuple[Any, ...] = ([], {})
_CONVERTED = frozenset({Kind.INSTANT, Kind.DAY})


def _texts(connection: BaseDatabaseWrapper, kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """Return `values` as they stand in the document. Raises ValueError where JSON has no word for one."""
    if kind is Kind.JSON:
        if values and values[0] in _EMPTY and values.count(values[0]) == len(values):
            return [_json(values[0])] * len(values)
        return [None if value is None else _json(value) for value in values]
    if kind is Kind.UUID:
        # Most stand in one row only.
        write = str if connection.features.has_native_uuid_field else attrgetter("hex")
        return [None if value is None else write(value) for value in values]
    if kind not in _CONVERTED:
        return values
    # The same few instants stand in row after row.
    texts: dict[Any, str | None] = {None: None}
    for value in values:
        if value not in texts:
            texts[value] = _plain(connection, value)
    return [texts[value] for value in values]


def _plain(connection: BaseDatabaseWrapper, value: Any) -> str:
    """Return the text in which Django stores `value`."""
    match value:
        case datetime():
            text = (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat(" ")
            return text if connection.vendor == "postgresql" else text[: -len("+00:00")]
        case UUID():
            return str(value) if connection.features.has_native_uuid_field else value.hex
        case date():
            return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of a batch.")


def _execute(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def locked(rows: QuerySet[M], *, skip: bool = True, whole: bool = False) -> QuerySet[M]:
    """Lock what `rows` reads, also through its inner joins, until the transaction ends.

    With `skip` rows that another holds are left out: a process that stopped in the middle of a transaction must not
    hold up those who have other rows to deal with. On SQLite the transaction itself is the lock. The lock lets others
    insert rows that refer to these, where the database can tell, unless it is `whole`, for rows that are to be deleted.
    """
    features = connections[rows.db].features
    if not features.has_select_for_update:
        return rows
    return rows.select_for_update(
        skip_locked=skip and features.has_select_for_update_skip_locked,
        no_key=not whole and features.has_select_for_no_key_update,
    )
