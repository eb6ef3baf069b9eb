"""Examples are derived from forms, and what is said of them is laid over that."""

from typing import Any

import pytest
from rest_framework import serializers

from cronsched.api.examples import example_of, merged


class Item(serializers.Serializer[Any]):
    name = serializers.CharField()
    status = serializers.ChoiceField(["queued", "running"])
    number = serializers.IntegerField(min_value=3)
    reason = serializers.CharField(allow_null=True)
    secret = serializers.CharField(write_only=True)
    extra = serializers.CharField(required=False)


class Page(serializers.Serializer[Any]):
    items = Item(many=True)
    total = serializers.IntegerField()


ITEM = {"name": "Daily backup", "status": "queued", "number": 3, "reason": None}


def test_an_example_holds_what_an_answer_always_holds():
    assert example_of(Page) == {"items": [ITEM], "total": 45}


def test_a_plain_type_has_no_example():
    assert example_of(str) is None


@pytest.mark.parametrize(
    "given, shown",
    [
        ({}, {"a": {"b": 1, "c": 2}, "d": [{"e": 3}]}),
        ({"a": {"b": 5}}, {"a": {"b": 5, "c": 2}, "d": [{"e": 3}]}),
        ({"d": [{}, {"f": 4}]}, {"a": {"b": 1, "c": 2}, "d": [{"e": 3}, {"e": 3, "f": 4}]}),
        ({"d": []}, {"a": {"b": 1, "c": 2}, "d": []}),
        ("text", "text"),
    ],
)
def test_what_is_given_is_laid_over_the_example(given, shown):
    assert merged({"a": {"b": 1, "c": 2}, "d": [{"e": 3}]}, given) == shown
