"""The page behind the signed link of a reminder: it shows the job; its button renews it."""

from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError, NotFound
from jobs import cron
from jobs.definitions import validation
from jobs.end_dates import renewal
from jobs.end_dates.renewal import EXTENSIONS, MAX_REASON, Invitation
from jobs.models import Job

PAGE = "notifications/renew.html"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def renew(request: HttpRequest, token: str) -> HttpResponse:
    try:
        invitation = renewal.open_link(token)
    except NotFound as error:
        return _refusal(request, error)
    if request.method == "POST":
        return _act(request, invitation)
    return _form(request, invitation)


def _act(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    days = request.POST.get("days", "")
    try:
        renewed = renewal.renew(
            invitation.job.pk,
            days=int(days) if days.isascii() and days.isdigit() and len(days) < 5 else days,
            reason=request.POST.get("reason", "").replace("\x00", ""),
            now=database_now(),
            address=invitation.address,
            link_for=invitation.job.end_date,
        )
    except NotFound as error:
        return _refusal(request, error)
    except DomainError as error:
        return _form(request, invitation, problem=str(error), status=error.status)
    return render(request, PAGE, {"job": renewed.job, "renewal": renewed})


def _refusal(request: HttpRequest, error: NotFound) -> HttpResponse:
    return render(request, PAGE, {"refusal": error.error}, status=404)


def _form(request: HttpRequest, invitation: Invitation, *, problem: str = "", status: int = 200) -> HttpResponse:
    job = invitation.job
    today = validation.local_date(database_now())
    latest = renewal.latest_end_date(job.category, today=today)
    choices = _choices(job, today, latest)
    allowed = any(choice["allowed"] for choice in choices)
    context = {
        "job": job,
        "schedule": _in_words(job),
        "address": invitation.address,
        "choices": choices,
        "limit": renewal.limit_in_words(job.category, latest) if latest and not allowed else None,
        "longest_reason": MAX_REASON,
        "problem": problem,
        "reason": request.POST.get("reason", ""),
    }
    return render(request, PAGE, context, status=status)


def _choices(job: Job, today: date, latest: date | None) -> list[dict[str, Any]]:
    ends = {days: renewal.extended(job.end_date, days, today=today) for days in EXTENSIONS}
    return [{"days": days, "end": end, "allowed": latest is None or end <= latest} for days, end in ends.items()]


def _in_words(job: Job) -> str:
    try:
        return cron.describe(job.cron_expression)
    except cron.CronError:
        return job.cron_expression
