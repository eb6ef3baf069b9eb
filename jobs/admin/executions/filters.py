"""What the list of executions is narrowed by."""

from datetime import timedelta
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet, UUIDField
from django.http import HttpRequest
from django.utils import timezone

from cronsched.console.filters import ChoiceFilter
from cronsched.lib.ids import known_id
from jobs.history import daily_counts, outcomes
from jobs.history.outcomes import Outcome
from jobs.history.queries import Unindexed
from jobs.models import ExecutionType, Job, TriggerType
from taxonomy.models import PicTeam

WENT_WRONG = "trouble"
IN_PROGRESS = "open"
LATELY = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
# Conclusions of GitHub.
CONCLUSIONS = (
    *("success", "failure", "cancelled", "timed_out", "startup_failure"),
    *("action_required", "neutral", "skipped", "stale"),
)


# The histories of so many jobs may be sorted for a page.
LOOKED_UP = 20


def of_jobs(executions: QuerySet[Any], jobs: QuerySet[Job]) -> QuerySet[Any]:
    """Return the executions of some jobs. Of many, they are found in the order of time and fill a page soon."""
    keys = list(jobs.order_by().values_list("pk", flat=True)[: LOOKED_UP + 1])
    if len(keys) <= LOOKED_UP:
        return executions.filter(job__in=keys)
    # By the index of jobs all their rows would be sorted.
    any_job = Unindexed("job_id", output_field=UUIDField())
    return executions.alias(any_job=any_job).filter(any_job__in=jobs.order_by().values("pk"))


class OutcomeFilter(ChoiceFilter):
    """By how executions ended, their GitHub runs included."""

    title = "Outcome"
    parameter_name = "outcome"
    groups = {WENT_WRONG: outcomes.TROUBLE, IN_PROGRESS: outcomes.OPEN}

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        names = [(WENT_WRONG, "Went wrong: failed, run failed, unknown, missed"), (IN_PROGRESS, "Not ended yet")]
        return [*names, *Outcome.choices]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == IN_PROGRESS:
            return queryset.filter(outcomes.still_open())
        if value == Outcome.RUN_FAILED:
            queryset = daily_counts.bounded(queryset, execution_type=ExecutionType.GITHUB_ACTIONS)
        return queryset.filter(outcomes.where(self.groups.get(value, (value,))))


class LatelyFilter(ChoiceFilter):
    title = "Within"
    parameter_name = "within"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        names = ("The last hour", "The last 24 hours", "The last 7 days", "The last 30 days")
        return list(zip(LATELY, names, strict=True))

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(started_at__gte=timezone.now() - LATELY[value])


class TriggerFilter(ChoiceFilter):
    title = "Trigger"
    parameter_name = "trigger"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return list(TriggerType.choices)

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == TriggerType.MANUAL:
            # As the index of manual runs is asked.
            queryset = queryset.filter(scheduled_for=None)
        return daily_counts.bounded(queryset, trigger_type=value)


class KindFilter(ChoiceFilter):
    title = "Target"
    parameter_name = "kind"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return list(ExecutionType.choices)

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return daily_counts.bounded(queryset, execution_type=value)


class ConclusionFilter(ChoiceFilter):
    title = "Conclusion of the GitHub run"
    parameter_name = "conclusion"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [(name, name.replace("_", " ").capitalize()) for name in CONCLUSIONS]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(outcomes.concluded(value))


class TeamFilter(ChoiceFilter):
    title = "PIC team"
    parameter_name = "team"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return list(PicTeam.objects.order_by("name").values_list("slug", "name"))

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return of_jobs(queryset, Job.objects.filter(pic_team__slug=value))


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
