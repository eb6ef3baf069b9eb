"""Filters, orders and pages of the list of jobs (beyond the contract).

A client that asks for nothing gets every job, newest first.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import Concat, Lower
from django.http import HttpResponse

from accounts.models import User
from cronsched.lib.errors import DomainError
from cronsched.lib.input import query
from jobs.api.serializers import job_objects
from jobs.definitions.job_filter import filtered
from jobs.definitions.validation import local_date
from jobs.importing.export import CONTENT_TYPES, FORMATS
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


def page_of_jobs(params: Mapping[str, str], *, by: User, now: datetime) -> dict[str, Any]:
    """Return the body of the list. Raises `DomainError` (400) for parameters that cannot be read."""
    jobs = _asked(params, by, now)
    page = _page(params)
    if page is None:
        found = job_objects(jobs, now=now)
        return {"count": len(found), "jobs": found}
    total = jobs.count()
    # Far pages are empty without asking: their offset may be beyond what a database can count.
    found = job_objects(jobs[page.start : page.start + page.limit], now=now) if page.start < total else []
    return {"count": len(found), "jobs": found, "total": total, **page.described(total)}


def exported_jobs(params: Mapping[str, str], *, by: User, now: datetime) -> HttpResponse:
    """Return the jobs of the list as a file. Raises `DomainError` (400) for parameters that cannot be read."""
    form = params.get("format", "").strip().lower() or "csv"
    if form not in FORMATS:
        raise DomainError("Invalid format", f"format must be one of: {', '.join(FORMATS)}.")
    response = HttpResponse(FORMATS[form](_asked(params, by, now)), content_type=CONTENT_TYPES[form])
    response["Content-Disposition"] = f'attachment; filename="jobs.{form}"'
    return response


def _asked(params: Mapping[str, str], by: User, now: datetime) -> JobQuerySet:
    jobs = filtered(Job.objects.all(), params, by=by, today=local_date(now))
    return _ordered(_matching(jobs, query.search(params)), query.ordering(params, list(ORDERS)))


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


def _page(params: Mapping[str, str]) -> query.Page | None:
    if not {"page", "limit"} & set(params):
        return None
    return query.page(params, default=DEFAULT_LIMIT, highest=MAX_LIMIT)
