"""The writing layer refuses, on every database alike and naming the field, what one of them would not take."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection, models, transaction
from django.db.models.signals import pre_save

from cronsched.lib.db import batches, limits
from cronsched.lib.db.batches import Column, Kind
from cronsched.lib.db.limits import ValueRefused

OWN = ("accounts", "audit", "taxonomy", "jobs", "notifications")
SURROGATE = json.loads('"\\ud83d"')
PAIR = "\U0001f600"


def text_fields() -> Iterator[tuple[type[models.Model], "models.Field[Any, Any]"]]:
    for app in OWN:
        for model in apps.get_app_config(app).get_models():
            for field in model._meta.concrete_fields:
                if limits.limit_of(field).longest is not None and not field.is_relation:
                    yield model, field


def whole_fields() -> Iterator[tuple[type[models.Model], "models.Field[Any, Any]"]]:
    for app in OWN:
        for model in apps.get_app_config(app).get_models():
            for field in model._meta.concrete_fields:
                if limits.limit_of(field).range is not None and not field.is_relation:
                    yield model, field


def named(case: Any) -> str:
    model, field = case
    return f"{model.__name__}.{field.name}"


@pytest.mark.parametrize("case", list(text_fields()), ids=named)
def test_a_text_of_one_character_too_many_is_refused_by_save_and_by_batches(db, case):
    model, field = case
    refuses(model, field, "x" * (field.max_length + 1), f"{field.max_length + 1} characters, at most")
    limits.limit_of(field).check("x" * field.max_length)


@pytest.mark.parametrize("case", list(whole_fields()), ids=named)
def test_a_number_out_of_range_is_refused_by_save_and_by_batches(db, case):
    model, field = case
    low, high = limits.limit_of(field).range or (0, 0)
    refuses(model, field, high + 1, f"is not from {low} to {high}")
    refuses(model, field, low - 1, f"is not from {low} to {high}")


@pytest.mark.parametrize("case", list(text_fields()), ids=named)
def test_what_is_no_text_to_a_database_is_refused(db, case):
    model, field = case
    refuses(model, field, "\x00", "holds a NUL character")
    refuses(model, field, SURROGATE, "holds half of a surrogate pair")


def refuses(model: type[models.Model], field: "models.Field[Any, Any]", value: Any, reason: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        # As `save` does it, which would stumble over other columns first.
        pre_save.send(
            model,
            instance=model(**{field.attname: value}),
            raw=False,
            using="default",
            update_fields=frozenset({field.name}),
        )
    assert (refused.value.field, reason in refused.value.reason) == (field.name, True)
    column = Column(str(field.column), Kind.TEXT if isinstance(value, str) else Kind.INTEGER)
    with pytest.raises(ValueRefused) as refused, transaction.atomic():
        batches.insert(connection, model._meta.db_table, [column], [[value]])
    assert (refused.value.field, reason in refused.value.reason) == (field.name, True)
    with pytest.raises(ValueRefused), transaction.atomic():
        batches.insert(connection, model._meta.db_table, [], [], same=[(column, value)])
    with pytest.raises(ValueRefused), transaction.atomic():
        batches.update(connection, model._meta.db_table, [column, column], [[value, value]])


@pytest.mark.parametrize("value", ["\x00", SURROGATE, float("nan"), float("inf")])
def test_json_is_judged_down_to_its_leaves(value):
    limit = limits.limit_of(apps.get_model("jobs", "Job")._meta.get_field("metadata"))
    for document in ({"a": [{"b": value}]}, {"a": {str(value): 1}} if isinstance(value, str) else [value]):
        with pytest.raises(ValueRefused, match=r"jobs\.metadata"):
            limit.check(document)
        with pytest.raises(ValueRefused, match=r"jobs\.metadata"):
            batches.update(
                connection, "jobs", [Column("id", Kind.UUID), Column("metadata", Kind.JSON)], [[UUID(int=1), document]]
            )


def test_a_number_that_is_not_finite_is_refused(db):
    columns = [Column("id", Kind.UUID), Column("duration_seconds", Kind.REAL)]
    with pytest.raises(ValueRefused, match=r"duration_seconds: not a finite number"):
        batches.update(connection, "job_executions", columns, [[UUID(int=1), float("inf")]])


@pytest.mark.database
def test_what_only_looks_suspicious_is_stored(db):
    team = apps.get_model("taxonomy", "PicTeam")
    text = "a \\u0000 \\ud83d " + PAIR
    columns = [Column("id", Kind.UUID), Column("name", Kind.TEXT)]
    row = team.objects.create(name="Team", slug="team", slack_handle="@team")
    assert batches.update(connection, team._meta.db_table, columns, [[row.pk, text]]) == 1
    assert team.objects.get(pk=row.pk).name == text


def test_what_is_saved_in_bulk_is_judged_too():
    incident = apps.get_model("notifications", "Incident")
    delivery = apps.get_model("notifications", "Delivery")
    limits.check_all([incident(failures=1), incident(failures=None), incident(failures=2**31 - 1)])
    with pytest.raises(ValueRefused, match="failures: 2147483648 is not from 0 to 2147483647"):
        limits.check_all([incident(failures=0), incident(failures=2**31)])
    with pytest.raises(ValueRefused, match="recipient: 255 characters, at most 254"):
        limits.check_all([delivery(recipient=""), delivery(recipient="x" * 255)])
    with pytest.raises(ValueRefused, match="payload: holds a NUL character"):
        limits.check_all([delivery(payload={}), delivery(payload={"a": "\x00"})])
    limits.check_all([])
