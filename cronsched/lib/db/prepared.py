"""Querysets whose SQL is compiled once, for the queries of every request.

Django builds a query anew each time: dozens of objects and copies for one line of SQL, which takes far longer than the
database needs to find a few rows by a key. The query is still written as a queryset, with the same results; only values
differ from one call to the next, and `Param` marks their places.

    SESSION = PreparedQuery(lambda: LoginSession.objects.select_related("user").filter(id=Param("id", UUIDField())))
    session = SESSION.first(id=session_id)

A value must not change the SQL. So None, which needs another operator, is not allowed, and the number of values in a
list is part of the queryset.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Field, QuerySet
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.sql.compiler import SQLCompiler

from cronsched.lib.db import batches

Result = TypeVar("Result")


class Param(Expression):
    """The place of a value. `field` says in which form the database takes it."""

    def __init__(self, name: str, field: "Field[Any, Any]") -> None:
        super().__init__(output_field=field)
        self.name = name

    # A place is its name: questions that have places in them are compared when they are looked up.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Param) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:  # type: ignore[override]
        return "%s", [self]

    def bound(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return self.output_field.get_db_prep_value(value, connection)


class _Statement(NamedTuple):
    """A queryset in the words of the database. It knows no connection: threads share it."""

    sql: str
    parameters: Sequence[Any]
    converters: batches.Converters
    make: Callable[[tuple[Any, ...]], Any]


class PreparedQuery(Generic[Result]):
    """The queryset that `build` returns: a `values_list`, or models with what they refer to by `select_related`."""

    def __init__(self, build: "Callable[[], QuerySet[Any, Result]]") -> None:
        self._build = build
        self._statement: _Statement | None = None

    def all(self, **given: Any) -> list[Result]:
        """Return what the queryset finds with the values `given`, each by the name of its place."""
        return self._run(given)

    def slice(self, start: int, stop: int, /, **given: Any) -> list[Result]:
        """Return what stands in `all` from the index `start` up to `stop`, cut out by the database."""
        return self._run(given, " LIMIT %s OFFSET %s", (stop - start, start))

    def first(self, **given: Any) -> Result | None:
        """Return the first of `all`, None where there is none."""
        return next(iter(self._run(given)), None)

    def _run(self, given: dict[str, Any], ending: str = "", more: Sequence[int] = ()) -> list[Result]:
        if self._statement is None:
            # Two threads that come first do the same twice.
            self._statement = _compile(self._build())
        sql, parameters, converters, make = self._statement
        values = [
            place.bound(given[place.name], connection) if isinstance(place, Param) else place for place in parameters
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql + ending, [*values, *more])
            found = cursor.fetchall()
        return [make(row) for row in batches.converted(found, converters)]


def _compile(rows: QuerySet[Any, Any]) -> _Statement:
    compiler = rows.query.get_compiler(rows.db)
    sql, parameters = compiler.as_sql()
    make = _maker(compiler) if rows._iterable_class is ModelIterable else tuple
    return _Statement(sql, parameters, batches.converters(expression for expression, *_ in compiler.select), make)


def _maker(compiler: SQLCompiler) -> Callable[[tuple[Any, ...]], Any]:
    """Return what makes a model, and those that it refers to, of a row: the second half of Django's `ModelIterable`."""
    fields = compiler.klass_info["select_fields"]
    start, stop = fields[0], fields[-1] + 1
    names = [column.target.attname for column, *_ in compiler.select[start:stop]]
    # The stubs are those of a later Django.
    populators = get_related_populators(compiler.klass_info, compiler.select, compiler.using)  # type: ignore[call-arg, arg-type]
    model = compiler.klass_info["model"]

    def make(row: tuple[Any, ...]) -> Any:
        instance = model.from_db(compiler.using, names, row[start:stop])
        for populator in populators:
            populator.populate(row, instance)
        return instance

    return make
