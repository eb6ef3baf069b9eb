"""Endpoints of the history (contract, section 11): over all jobs, and of one job."""

from dataclasses import replace
from typing import Any

from django.db.models import UUIDField
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cronsched.api import openapi
from cronsched.api.bodies import with_etag
from cronsched.api.openapi import BAD_RANGE, FROM, TO, Answer, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.db.prepared import Param, PreparedQuery
from cronsched.lib.errors import NotFound
from cronsched.lib.input import query
from jobs.api import filters
from jobs.api.lookup import ID, JOB_NOT_FOUND, UNKNOWN_ID, by_id, find_job
from jobs.api.serializers import ExecutionSerializer, Form, NamedJobSerializer, execution_object
from jobs.history import queries, snapshots
from jobs.models import ExecutionQuerySet, Job, JobExecution, Status

TAG = "Executions"
MAX_PAGE = 200
ORDERINGS = ("started_at",)
# Counted apart from the runs.
OTHER_COUNTS = (Status.MISSED, Status.SKIPPED, Status.UNKNOWN)


# --- Objects ---------------------------------------------------------------------------------------------------------


def listed_object(execution: JobExecution) -> dict[str, Any]:
    """Return a row of the global list: what the job is called now stands beside it."""
    job = execution.job
    return {**execution_object(execution), "job_name": job.name, "github_repo": job.github_repo}


def detailed(execution: JobExecution) -> dict[str, Any]:
    """Return what only a single execution shows: what was sent, and what became of earlier attempts."""
    return {"request": snapshots.whole(execution), "earlier_attempts": execution.earlier_attempts}


def _by_id() -> ExecutionQuerySet:
    fields = (*queries.LISTED_FIELDS, "request_snapshot", "shared_request_id", "earlier_attempts")
    return JobExecution.objects.select_related("job", "run").only(*fields).filter(pk=ID)


_EXECUTION = PreparedQuery(_by_id)
_EXECUTION_OF_JOB = PreparedQuery(lambda: _by_id().filter(job=Param("job", UUIDField())))


# --- Forms, for the description only ---------------------------------------------------------------------------------


class ListedExecutionSerializer(ExecutionSerializer):
    job_name = serializers.CharField()
    github_repo = serializers.CharField(allow_null=True)


class Detail(Form):
    request = serializers.DictField(allow_null=True, help_text="What was sent, without secrets.")
    earlier_attempts = serializers.ListField(child=serializers.DictField())


class ExecutionDetailSerializer(ExecutionSerializer, Detail):
    pass


class ListedExecutionDetailSerializer(ListedExecutionSerializer, Detail):
    pass


class ExecutionPageSerializer(Form):
    executions = ListedExecutionSerializer(many=True)
    total = serializers.IntegerField(help_text="Executions on all pages.")
    page = serializers.IntegerField()
    limit = serializers.IntegerField()
    total_pages = serializers.IntegerField()


class ExecutionAnswerSerializer(Form):
    execution = ListedExecutionDetailSerializer()


class PeriodSerializer(Form):
    to = serializers.DateTimeField(allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `from` is no name Python lets a class have.
        return {"from": serializers.DateTimeField(allow_null=True), **super().get_fields()}


class StatisticsSerializer(Form):
    """Rates and totals are about runs; what never ran, or is not known, is counted apart."""

    total_executions = serializers.IntegerField()
    successful_executions = serializers.IntegerField()
    failed_executions = serializers.IntegerField()
    running_executions = serializers.IntegerField(help_text="Running and queued.")
    success_rate = serializers.FloatField(help_text="Per cent of all runs.")
    average_duration_seconds = serializers.FloatField()
    missed_executions = serializers.IntegerField()
    skipped_executions = serializers.IntegerField()
    unknown_executions = serializers.IntegerField()
    range = PeriodSerializer()


class JobExecutionsSerializer(Form):
    job_id = serializers.UUIDField()
    job_name = serializers.CharField()
    total_executions = serializers.IntegerField(help_text="Executions in this answer.")
    executions = ExecutionSerializer(many=True)


class JobExecutionSerializer(Form):
    job = NamedJobSerializer()
    execution = ExecutionDetailSerializer()


class JobStatisticsSerializer(Form):
    total_executions = serializers.IntegerField()
    success_count = serializers.IntegerField()
    failed_count = serializers.IntegerField()
    running_count = serializers.IntegerField(help_text="Running and queued.")
    success_rate = serializers.FloatField()
    average_duration_seconds = serializers.FloatField(allow_null=True, help_text="Of successful runs.")
    missed_count = serializers.IntegerField()
    skipped_count = serializers.IntegerField()
    unknown_count = serializers.IntegerField()


class JobStatisticsAnswerSerializer(Form):
    job_id = serializers.UUIDField()
    job_name = serializers.CharField()
    latest_execution = ExecutionSerializer(allow_null=True)
    statistics = JobStatisticsSerializer()


EXECUTION_NOT_FOUND = Refusal(404, "Execution not found", f"No execution found with ID: {UNKNOWN_ID}")
JOB_ID = openapi.path_id("job_id", "job")
EXECUTION_ID = openapi.path_id("execution_id", "execution")
LIMIT = openapi.whole_number("limit", default=50, low=1, high=MAX_PAGE, text="Rows to return.")


# --- Endpoints -------------------------------------------------------------------------------------------------------


class ExecutionViewSet(APIViewSet):
    """The history of all jobs."""

    token_scopes = {"list": "read", "retrieve": "read", "statistics": "read"}

    @operation(
        "list_executions",
        tag=TAG,
        summary="List executions",
        description="Newest first. Blank filters are ignored, unknown values match nothing.",
        query=[
            openapi.whole_number("page", default=1, low=1, text="Which page."),
            openapi.whole_number("limit", default=20, low=1, high=MAX_PAGE, text="Rows of a page."),
            filters.JOB_ID,
            filters.EXECUTION_TYPE,
            *filters.COMMON,
            filters.SEARCH,
            openapi.ordering(*ORDERINGS),
        ],
        answers={200: Answer(ExecutionPageSerializer)},
        refusals=[*BAD_RANGE, openapi.BAD_SEARCH, openapi.bad_ordering(*ORDERINGS), openapi.bad_number("page")],
    )
    def list(self, request: Request) -> Response:
        params = request.query_params
        asked = query.read(params, page=query.Whole(1, low=1), limit=query.Whole(20, low=1, high=MAX_PAGE))
        selection = filters.selection(params)
        oldest_first = query.ordering(params, ORDERINGS) == "started_at"
        page, limit = asked["page"], asked["limit"]
        total = queries.count(selection)
        offset = (page - 1) * limit
        rows = []
        # Beyond the end there is nothing to read; a huge offset would not even fit into the database's numbers.
        if offset < total:
            rows = queries.page(selection, offset=offset, limit=limit, oldest_first=oldest_first)
        body = {
            "executions": [listed_object(row) for row in rows],
            "total": total,
            "page": page,
            "limit": limit,
            "total_pages": -(-total // limit),
        }
        return with_etag(request, Response(body))

    @operation(
        "get_execution",
        tag=TAG,
        summary="Read an execution",
        path=[EXECUTION_ID],
        answers={200: Answer(ExecutionAnswerSerializer)},
        refusals=[EXECUTION_NOT_FOUND],
    )
    def retrieve(self, request: Request, execution_id: str) -> Response:
        execution = by_id(_EXECUTION, execution_id)
        if execution is None:
            raise NotFound("Execution not found", f"No execution found with ID: {execution_id}")
        return Response({"execution": {**listed_object(execution), **detailed(execution)}})

    @operation(
        "get_execution_statistics",
        tag=TAG,
        summary="Count executions",
        description="Missed, skipped and unknown ones have counts of their own and are not part of total and rate.",
        query=[filters.JOB_ID, FROM, TO],
        answers={200: Answer(StatisticsSerializer)},
        refusals=BAD_RANGE,
    )
    def statistics(self, request: Request) -> Response:
        selection = filters.selection_of_period(request.query_params)
        totals = queries.totals(selection)
        body = {
            "total_executions": totals.runs,
            "successful_executions": totals.count(Status.SUCCESS),
            "failed_executions": totals.count(Status.FAILED),
            "running_executions": totals.running,
            "success_rate": totals.success_rate,
            "average_duration_seconds": totals.average_seconds(*Status.values) or 0.0,
            **{f"{status}_executions": totals.count(status) for status in OTHER_COUNTS},
            "range": selection.period.echo(),
        }
        return with_etag(request, Response(body))


class JobExecutionViewSet(APIViewSet):
    """The history of one job."""

    token_scopes = {"list": "read", "retrieve": "read", "stats": "read"}

    @operation(
        "list_executions_of_job",
        tag=TAG,
        summary="List the executions of a job",
        description="Newest first. Blank filters are ignored, unknown values match nothing.",
        path=[JOB_ID],
        query=[LIMIT, *filters.COMMON],
        answers={200: Answer(JobExecutionsSerializer)},
        refusals=[*BAD_RANGE, JOB_NOT_FOUND, openapi.bad_number("limit")],
    )
    def list(self, request: Request, job_id: str) -> Response:
        limit = query.read(request.query_params, limit=query.Whole(50, low=1, high=MAX_PAGE))["limit"]
        job = find_job(job_id)
        selection = replace(filters.common_selection(request.query_params), jobs=frozenset({job.id}))
        rows = queries.page(selection, offset=0, limit=limit)
        return Response(
            {
                **_named(job),
                "total_executions": len(rows),
                "executions": [execution_object(row) for row in rows],
            }
        )

    @operation(
        "get_execution_of_job",
        tag=TAG,
        summary="Read an execution of a job",
        path=[JOB_ID, EXECUTION_ID],
        answers={200: Answer(JobExecutionSerializer)},
        refusals=[
            JOB_NOT_FOUND,
            Refusal(
                404,
                "Execution not found",
                f"No execution found with ID: {UNKNOWN_ID} for job: {UNKNOWN_ID}",
            ),
        ],
    )
    def retrieve(self, request: Request, job_id: str, execution_id: str) -> Response:
        job = find_job(job_id)
        execution = by_id(_EXECUTION_OF_JOB, execution_id, job=job.pk)
        if execution is None:
            text = f"No execution found with ID: {execution_id} for job: {job_id}"
            raise NotFound("Execution not found", text)
        answer = {**execution_object(execution), **detailed(execution)}
        return Response({"job": {"id": str(job.id), "name": job.name}, "execution": answer})

    @operation(
        "get_statistics_of_job",
        tag=TAG,
        summary="Count the executions of a job",
        description="Missed, skipped and unknown ones have counts of their own and are not part of total and rate.",
        path=[JOB_ID],
        answers={200: Answer(JobStatisticsAnswerSerializer)},
        refusals=[JOB_NOT_FOUND],
    )
    def stats(self, request: Request, job_id: str) -> Response:
        job = find_job(job_id)
        latest = queries.latest_of(job)
        totals = queries.totals(queries.Selection(jobs=frozenset({job.id})))
        average = totals.average_seconds(Status.SUCCESS)
        return Response(
            {
                **_named(job),
                "latest_execution": None if latest is None else execution_object(latest),
                "statistics": {
                    "total_executions": totals.runs,
                    "success_count": totals.count(Status.SUCCESS),
                    "failed_count": totals.count(Status.FAILED),
                    "running_count": totals.running,
                    "success_rate": round(totals.success_rate, 2),
                    "average_duration_seconds": None if average is None else round(average, 2),
                    **{f"{status}_count": totals.count(status) for status in OTHER_COUNTS},
                },
            }
        )


def _named(job: Job) -> dict[str, str]:
    return {"job_id": str(job.id), "job_name": job.name}
