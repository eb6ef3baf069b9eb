"""What a client may ask of the list of jobs: part of it, in another order, by pages (beyond the contract).

A client that asks for nothing gets every job, newest first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import Concat, Lower

from cronsched.lib.errors import DomainError, Problem
from cronsched.lib.input import query
from jobs.api.serializers import job_objects
from jobs.models import Job, JobQuerySet

ORDERS: Mapping[str, F | Func] = {
    "name": Lower("name"),
    "created_at": F("created_at"),
    "updated_at": F("updated_at"),
    "end_date": F("end_date"),
    "category": F("category__slug"),
    "pic_team": F("pic_team__slug"),
}
SEARCHED = (
    "name",
    "target_url",
    "github_owner",
    "github_repo",
    "github_workflow_name",
    "category__name",
    "pic_team__name",
)
DEFAULT_LIMIT = 50
MAX_LIMIT = 500


@dataclass(frozen=True)
class Page:
    number: int
    limit: int


def page_of_jobs(params: Mapping[str, str], *, now: datetime) -> dict[str, Any]:
    """Return the body of the list. Raises `DomainError` (400) for parameters that cannot be read."""
    jobs = _ordered(_matching(Job.objects.all(), query.search(params)), query.ordering(params, list(ORDERS)))
    page = _page(params)
    if page is None:
        found = job_objects(jobs, now=now)
        return {"count": len(found), "jobs": found}
    total = jobs.count()
    start = (page.number - 1) * page.limit
    # Far pages are empty without asking: their offset may be beyond what a database can count.
    found = job_objects(jobs[start : start + page.limit], now=now) if start < total else []
    paging = {"total": total, "page": page.number, "limit": page.limit, "total_pages": -(-total // page.limit)}
    return {"count": len(found), "jobs": found, **paging}


def _matching(jobs: JobQuerySet, wanted: str) -> JobQuerySet:
    if not wanted:
        return jobs
    parts = [part for field in SEARCHED for part in (field, Value("\n"))]
    jobs = jobs.alias(words=Concat(*parts, output_field=TextField())).alias(lower_words=Lower("words"))
    # SQLite lowers ASCII only, so other letters are also looked for as they were typed.
    return jobs.filter(Q(lower_words__contains=wanted.lower()) | Q(words__contains=wanted))


def _ordered(jobs: JobQuerySet, order: str | None) -> JobQuerySet:
    if order is None:
        return jobs
    expression = ORDERS[order.removeprefix("-")]
    return jobs.order_by(expression.desc() if order.startswith("-") else expression.asc(), "id")


def _page(params: Mapping[str, str]) -> Page | None:
    if not {"page", "limit"} & set(params):
        return None
    return Page(
        _number(params, "page", query.Whole(default=1, low=1)),
        _number(params, "limit", query.Whole(default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT)),
    )


def _number(params: Mapping[str, str], name: str, kind: query.Whole) -> int:
    value = kind.read(name, params[name]) if name in params else kind.default
    if isinstance(value, Problem):
        bounds = f"of at least {kind.low}" if kind.high is None else f"from {kind.low} to {kind.high}"
        raise DomainError(f"Invalid {name}", f"{name} must be a whole number {bounds}.")
    return value
