"""The endpoint that tells why a job ran or did not (beyond.md, section 4)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from cronsched.api import openapi
from cronsched.api.openapi import Answer, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now, utc_text
from jobs.api.descriptions import JOB_ID, JOBS
from jobs.api.lookup import JOB_NOT_FOUND, find_job
from jobs.history import why_question
from jobs.history.why import Verdict
from jobs.history.why_facts import Explanation, explain, explain_at
from jobs.history.why_question import DEFAULT_LIMIT, MAX_DAYS, MAX_LIMIT, NOT_BOTH, TOO_LONG, Question
from jobs.models import Job

AT = OpenApiParameter(
    "at", OpenApiTypes.DATETIME, description="One time instead of a range; the minute it lies in is meant."
)
DESCRIPTION = (
    "One verdict for each time that the expression in force then named, or that today's does; newest first. `counts`"
    f" covers the whole range: the last 24 hours unless said otherwise, at most {MAX_DAYS} days. With `at` one time is"
    " judged; where nothing was due it is `not_due` with the due times before and after. Where no time can be computed"
    " from the expression, one `unschedulable` at the beginning of the range says why."
)


class VerdictSerializer(serializers.Serializer[Any]):
    due_at = serializers.DateTimeField()
    verdict = serializers.ChoiceField([verdict.value for verdict in Verdict])
    execution_id = serializers.UUIDField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    lateness_seconds = serializers.FloatField(allow_null=True)
    by = serializers.CharField(allow_null=True, help_text="Who paused, edited or created the job.")
    since = serializers.DateTimeField(
        allow_null=True, help_text="Since when that held, or since when no scheduler was running."
    )
    until = serializers.DateTimeField(allow_null=True, help_text="To when, where that is known.")
    reason = serializers.CharField(allow_null=True)
    sentence = serializers.CharField(help_text="All of it in words, in the job's time zone.")
    due_before = serializers.DateTimeField(allow_null=True, help_text="Of `not_due`: the due time before.")
    due_after = serializers.DateTimeField(allow_null=True, help_text="Of `not_due`: the due time after.")


class WhySerializer(serializers.Serializer[Any]):
    job_id = serializers.UUIDField()
    job_name = serializers.CharField()
    # Set below: `from` is a word of Python's.
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="`{verdict: number}`.")
    verdicts = VerdictSerializer(many=True)
    truncated = serializers.BooleanField(help_text="Whether `verdicts` was cut at `limit`.")

    def get_fields(self) -> dict[str, Any]:
        bounds = {"from": serializers.DateTimeField(), "to": serializers.DateTimeField()}
        fields = super().get_fields()
        return {name: fields.pop(name) for name in ("job_id", "job_name")} | bounds | fields


VERDICT = {
    "due_at": "2026-01-15T02:10:00.000Z",
    "verdict": Verdict.MISSED_NO_LEADER.value,
    "since": "2026-01-15T02:09:58.112Z",
    "until": "2026-01-15T02:14:03.207Z",
    "reason": "It was stopped.",
    "started_at": None,
    "lateness_seconds": None,
    "sentence": "No scheduler was running from 02:09 to 02:14.",
}


class WhyViewSet(APIViewSet):
    token_scopes = {"explain": "read"}

    permission_classes = [IsAuthenticated]

    @operation(
        "explain_job",
        tag=JOBS,
        summary="Explain why a job ran or did not",
        description=DESCRIPTION,
        path=[JOB_ID],
        query=[
            openapi.FROM,
            openapi.TO,
            AT,
            openapi.whole_number(
                "limit", text="How many verdicts to return.", default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT
            ),
        ],
        answers={200: Answer(WhySerializer, {"counts": {"missed_no_leader": 1}, "verdicts": [VERDICT]})},
        refusals=[
            JOB_NOT_FOUND,
            *openapi.BAD_RANGE,
            Refusal(400, "Invalid date range", TOO_LONG),
            Refusal(400, "Invalid at", NOT_BOTH),
            Refusal(400, "Invalid limit", f"limit must be a whole number from 1 to {MAX_LIMIT}."),
        ],
    )
    def explain(self, request: Request, job_id: str) -> Response:
        now = database_now()
        job = find_job(job_id)
        return Response(why_object(job, why_question.read(request.query_params, now=now), now=now))


def why_object(job: Job, question: Question, *, now: datetime) -> dict[str, Any]:
    """Return the answer to `question` as the API shows it."""
    if question.at is not None:
        verdicts: Sequence[Explanation] = [explain_at(job, question.at, now=now)]
        counts: Mapping[Verdict, int] = {verdicts[0].found.verdict: 1}
        is_truncated = False
    else:
        answer, verdicts = explain(job, start=question.start, end=question.end, limit=question.limit, now=now)
        counts, is_truncated = answer.counts, answer.is_truncated
    return {
        "job_id": str(job.pk),
        "job_name": job.name,
        "from": utc_text(question.start),
        "to": utc_text(question.end),
        "counts": {verdict.value: counts[verdict] for verdict in Verdict if verdict in counts},
        "verdicts": [verdict_object(explanation) for explanation in verdicts],
        "truncated": is_truncated,
    }


def verdict_object(explanation: Explanation) -> dict[str, Any]:
    """Return one verdict as the API shows it."""
    found, run = explanation.found, explanation.found.run
    late = run.lateness if run else None
    return {
        "due_at": utc_text(found.due_at),
        "verdict": found.verdict.value,
        "execution_id": str(explanation.execution_id) if explanation.execution_id else None,
        "started_at": utc_text(run.started_at) if run and late is not None else None,
        "lateness_seconds": None if late is None else late.total_seconds(),
        "by": found.by or None,
        "since": utc_text(found.since),
        "until": utc_text(found.until),
        "reason": found.reason or None,
        "sentence": explanation.sentence,
        "due_before": utc_text(found.other[0]),
        "due_after": utc_text(found.other[1]),
    }
