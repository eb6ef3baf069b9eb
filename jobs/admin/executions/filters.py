"""What the list of executions is narrowed by."""

from datetime import timedelta
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from cronsched.console.filters import ChoiceFilter
from cronsched.lib.ids import known_id
from jobs.history import outcomes
from jobs.history.outcomes import Outcome
from jobs.models import Job
from taxonomy.models import PicTeam

WENT_WRONG = "trouble"
IN_PROGRESS = "open"
LATELY = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
# Conclusions of GitHub.
CONCLUSIONS = (
    *("success", "failure", "cancelled", "timed_out", "startup_failure"),
    *("action_required", "neutral", "skipped", "stale"),
)


class OutcomeFilter(ChoiceFilter):
    """By how executions ended, their GitHub runs included."""

    title = "Outcome"
    parameter_name = "outcome"
    groups = {WENT_WRONG: outcomes.TROUBLE, IN_PROGRESS: outcomes.OPEN}

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        names = [(WENT_WRONG, "Went wrong: failed, run failed, unknown, missed"), (IN_PROGRESS, "Not ended yet")]
        return [*names, *Outcome.choices]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(outcomes.where(self.groups.get(value, (value,))))


class LatelyFilter(ChoiceFilter):
    title = "Within"
    parameter_name = "within"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        names = ("The last hour", "The last 24 hours", "The last 7 days", "The last 30 days")
        return list(zip(LATELY, names, strict=True))

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(started_at__gte=timezone.now() - LATELY[value])


class ConclusionFilter(ChoiceFilter):
    title = "Conclusion of the GitHub run"
    parameter_name = "conclusion"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [(name, name.replace("_", " ").capitalize()) for name in CONCLUSIONS]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(run__conclusion=value)


class TeamFilter(ChoiceFilter):
    title = "PIC team"
    parameter_name = "team"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return list(PicTeam.objects.order_by("name").values_list("slug", "name"))

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(job__pic_team__slug=value)


class JobFilter(ChoiceFilter):
    """One job: reached from its page, and named here so that it can be taken away again."""

    title = "Job"
    parameter_name = "job"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        text = request.GET.get(self.parameter_name, "")
        if not text:
            return [("", "Choose it on the page of the job")]
        key = known_id(text)
        job = Job.objects.filter(pk=key).first() if key else None
        if job is None:
            raise IncorrectLookupParameters
        return [(text, job.name)]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(job_id=known_id(value))
