"""Rows for tests. Every field has a value that works; a test names only what it is about."""

from itertools import count
from typing import Any

from taxonomy.models import JobCategory, PicTeam, slugify

_numbers = count(1)


def make_category(**fields: Any) -> JobCategory:
    name = fields.pop("name", f"Category {next(_numbers)}")
    return JobCategory.objects.create(**{"name": name, "slug": slugify(name), **fields})


def make_team(**fields: Any) -> PicTeam:
    name = fields.pop("name", f"Team {next(_numbers)}")
    return PicTeam.objects.create(**{"name": name, "slug": slugify(name), "slack_handle": "@oncall", **fields})


def general() -> JobCategory:
    """Return the category that the migrations seed."""
    return JobCategory.objects.get(slug="general")
