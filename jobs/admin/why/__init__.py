"""The page "Why": each time that a job's expression named, with its verdict; also as a CSV file."""

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action

from cronsched.console import ConsoleAdmin
from cronsched.lib.clock import database_now
from cronsched.lib.csv_cells import harmless
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from jobs.admin.texts import page_link
from jobs.history import why_question
from jobs.history.why import Verdict
from jobs.history.why_facts import Explanation, explain, explain_at
from jobs.history.why_words import zone_of
from jobs.models import Job

SHOWN = 500
# More than 31 days have minutes.
ALL = 50_000
NO_JOB = "There is no job with that name or id."
COLUMNS = ("due_at", "verdict", "sentence", "by", "since", "until", "reason", "execution_id")
COLOURS = {
    **dict.fromkeys((Verdict.RAN, Verdict.RETRIED), "success"),
    **dict.fromkeys((Verdict.RUNNING, Verdict.WAITING, Verdict.UPCOMING, Verdict.NOT_DUE), "info"),
    **dict.fromkeys((Verdict.FAILED, Verdict.REFUSED, Verdict.RUN_FAILED, Verdict.UNKNOWN), "failed"),
    Verdict.UNSCHEDULABLE: "failed",
}


class WhyPage(ConsoleAdmin):
    """Adds the page to the site, before the pages of single jobs."""

    def get_urls(self) -> list[URLPattern]:
        page = path("why/", self.admin_site.admin_view(self.why_view), name="jobs_why")
        return [page, *super().get_urls()]

    @action(description="Why", icon="help")
    def why_job(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Redirect from the page of a job to the explanations of its runs."""
        return HttpResponseRedirect(f"{reverse('admin:jobs_why')}?{urlencode({'job': object_id})}")

    def why_view(self, request: HttpRequest) -> HttpResponse:
        now, named = database_now(), request.GET.get("job", "").replace("\x00", "").strip()
        job, is_file = _find(named), "csv" in request.GET
        asked = {name: request.GET.get(name, "").strip() for name in ("from", "to", "at")}
        shown: dict[str, Any] = {"error": NO_JOB if named and job is None else ""}
        if job is not None:
            try:
                counts, explanations = _answer(job, asked, limit=ALL if is_file else SHOWN, now=now)
            except DomainError as refusal:
                shown["error"] = refusal.message or refusal.error
            else:
                if is_file:
                    return _csv(job, explanations)
                shown |= _shown(job, counts, explanations)
        context = {
            **self.admin_site.each_context(request),
            "title": "Why",
            "page_name": "Why",
            "job": job,
            "named": job.name if job else named,
            "asked": asked,
            "csv": _csv_address(request),
            **shown,
        }
        return TemplateResponse(request, "console/why.html", context)


def _shown(job: Job, counts: Mapping[Verdict, int], explanations: Sequence[Explanation]) -> dict[str, Any]:
    return {
        "counts": [(verdict.replace("_", " "), counts[verdict]) for verdict in Verdict if verdict in counts],
        "table": _table(explanations, zone_of(job.zone_name)),
        "is_cut": sum(counts.values()) > len(explanations),
    }


def _find(text: str) -> Job | None:
    key = known_id(text)
    return (Job.objects.filter(pk=key).first() if key else None) or Job.objects.filter(name=text).first()


def _in_zone(asked: Mapping[str, str], zone: ZoneInfo) -> dict[str, str]:
    """Return what was asked with the offset of the job's zone; text that cannot be read is returned unchanged."""
    return {name: _with_offset(text, zone) for name, text in asked.items()}


def _with_offset(text: str, zone: tzinfo) -> str:
    try:
        moment = datetime.fromisoformat(text)
        return text if moment.tzinfo else moment.replace(tzinfo=zone).isoformat(timespec="seconds")
    except ValueError:
        return text


def _answer(
    job: Job, asked: Mapping[str, str], *, limit: int, now: datetime
) -> tuple[Mapping[Verdict, int], Sequence[Explanation]]:
    question = why_question.read(_in_zone(asked, zone_of(job.zone_name)), now=now)
    if question.at is not None:
        explanation = explain_at(job, question.at, now=now)
        return {explanation.found.verdict: 1}, [explanation]
    answer, found = explain(job, start=question.start, end=question.end, limit=limit, now=now)
    return answer.counts, found


def _table(explanations: Sequence[Explanation], zone: ZoneInfo) -> dict[str, Any]:
    rows = [[_due(item, zone), _verdict(item), item.sentence, _execution(item)] for item in explanations]
    return {"headers": [f"Due ({zone.key})", "Verdict", "Why", "Execution"], "rows": rows}


def _execution(item: Explanation) -> SafeString | str:
    return page_link("jobs_jobexecution_change", item.execution_id, "Execution") if item.execution_id else "-"


def _due(item: Explanation, zone: ZoneInfo) -> SafeString:
    local = item.found.due_at.astimezone(zone)
    return format_html(
        '<time class="whitespace-nowrap" datetime="{}">{}</time>', local.isoformat(), f"{local:%Y-%m-%d %H:%M}"
    )


def _verdict(item: Explanation) -> SafeString:
    verdict = item.found.verdict
    return format_html(
        '<span class="why-verdict why-{}">{}</span>', COLOURS.get(verdict, "missed"), verdict.replace("_", " ")
    )


def _csv_address(request: HttpRequest) -> str:
    query = request.GET.copy()
    query["csv"] = "1"
    return f"?{query.urlencode()}"


def _csv(job: Job, explanations: Sequence[Explanation]) -> HttpResponse:
    zone = zone_of(job.zone_name)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="why-{job.pk}.csv"'
    writer = csv.writer(response)
    writer.writerow(COLUMNS)
    for item in explanations:
        found = item.found
        times = [moment.astimezone(zone).isoformat() if moment else "" for moment in (found.since, found.until)]
        cells = [found.due_at.astimezone(zone).isoformat(), found.verdict.value, item.sentence, found.by, *times]
        writer.writerow([harmless(text) for text in [*cells, found.reason, str(item.execution_id or "")]])
    return response
