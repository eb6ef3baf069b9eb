"""Endpoints of the audit trail and of a job's revisions (beyond the contract)."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.permissions import IsWriter
from audit import queries
from audit.models import AuditEntry
from audit.queries import Filters
from cronsched.api import openapi
from cronsched.api.bodies import json_object
from cronsched.api.openapi import Answer, Body, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now, utc_text
from cronsched.lib.csv_cells import harmless
from cronsched.lib.input import query, ranges
from jobs import services
from jobs.api.descriptions import JOB, JOB_ID, JOBS
from jobs.api.lookup import JOB_NOT_FOUND, find_job, shown_job
from jobs.api.pauses import BAD_REASON, NOT_YOURS
from jobs.api.serializers import ActedSerializer
from jobs.definitions import revisions
from jobs.definitions.owner_names import names_of, with_names
from jobs.schedule.pauses import read_reason

TAG = "Audit"
DEFAULT_LIMIT, MAX_LIMIT = 50, 500
# More than any revision has.
MAX_DIGITS = 12
# Rows of the CSV that are read at once: it may hold millions.
PORTION = 2000
COLUMNS = (
    "at",
    "actor",
    "actor_kind",
    "source_ip",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "changes",
    "reason",
    "request_id",
)

ACTOR = {"id": "7d0f2c1e-6d0b-4d6e-9a53-2f1f0b6c9d11", "name": "john", "kind": "user"}
CHANGES = {"cron_expression": ["0 2 * * *", "0 5 * * *"]}
ENTRY = {
    "id": "0198f2a4-7c1e-7d3a-9b52-3f1c0a6d8e11",
    "at": "2026-01-15T12:00:00.000Z",
    "actor": ACTOR,
    "source_ip": "192.0.2.7",
    "action": "job.updated",
    "object": {"type": "job", "id": "0b6d0c1e-4f0a-4c0e-9d53-6f1f0b6c9d22", "name": "Daily backup"},
    "changes": CHANGES,
    "reason": "The source is ready later now",
    "request_id": "5f0c4c3e6f3c4a539a550c5d3b6a2f10",
}
REVISION = {"number": 2, "at": ENTRY["at"], "actor": ACTOR, "changes": CHANGES, "reason": ENTRY["reason"]}

FILTERS = [
    OpenApiParameter("object", str, description="`job:<id>`, `user:<id>`, `team:<id>`, …"),
    OpenApiParameter("actor", str, description="Id of the account that acted."),
    OpenApiParameter("action", str, description="`job.updated`, `user.signed_in`, …"),
    openapi.FROM,
    openapi.TO,
]
BAD_FILTERS = [
    Refusal(400, "Invalid object", 'object must be written as "job:<id>".'),
    Refusal(400, "Invalid actor", "actor must be the id of an account."),
    *openapi.BAD_RANGE,
]


class ActorSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    kind = serializers.ChoiceField(["user", "token", "system", "command"])


class ObjectSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    id = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)


class EntrySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    actor = ActorSerializer()
    source_ip = serializers.CharField(allow_null=True)
    action = serializers.CharField()
    object = ObjectSerializer()
    changes = serializers.DictField(
        child=serializers.ListField(),
        help_text="`{field: [before, after]}`; beside the ids in `created_by`, names in `owner`.",
    )
    reason = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)


class TrailSerializer(serializers.Serializer[Any]):
    entries = EntrySerializer(many=True)
    total = serializers.IntegerField()
    page = serializers.IntegerField()
    limit = serializers.IntegerField()
    total_pages = serializers.IntegerField()


class RevisionSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = ActorSerializer()
    changes = serializers.DictField(child=serializers.ListField())
    reason = serializers.CharField(allow_null=True)


class RevisionsSerializer(serializers.Serializer[Any]):
    revisions = RevisionSerializer(many=True)


class RestoreSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_null=True, max_length=500)


class AuditViewSet(APIViewSet):
    """Administrators see all of the trail, everybody else their own acts and what happened to their jobs."""

    token_scopes = {"list": "read", "export": "read"}

    permission_classes = [IsAuthenticated]

    @operation(
        "list_audit_entries",
        tag=TAG,
        summary="Read the audit trail",
        description="Newest first. Administrators see everything, others their own acts and their jobs.",
        query=[
            *FILTERS,
            openapi.whole_number("page", text="Page, from 1.", default=1, low=1),
            openapi.whole_number("limit", text="Entries per page.", default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT),
        ],
        answers={
            200: Answer(TrailSerializer, {"entries": [ENTRY], "total": 1, "page": 1, "limit": 50, "total_pages": 1})
        },
        refusals=[*BAD_FILTERS, Refusal(400, "Invalid page", "page must be a whole number of at least 1.")],
    )
    def list(self, request: Request) -> Response:
        filters = _filters(request)
        page = query.page(request.query_params, default=DEFAULT_LIMIT, highest=MAX_LIMIT)
        total = queries.total(filters)
        found = queries.matching(filters)[page.start : page.start + page.limit] if page.start < total else []
        entries = _entry_objects(list(found))
        return Response({"entries": entries, "total": total, **page.described(total)})

    @operation(
        "export_audit_entries",
        tag=TAG,
        summary="Export the audit trail",
        description="All entries that match, as CSV, newest first.",
        query=FILTERS,
        answers={200: Answer(str, "at,actor,actor_kind\r\n", media_type="text/csv")},
        refusals=BAD_FILTERS,
    )
    def export(self, request: Request) -> HttpResponseBase:
        return StreamingHttpResponse(
            _csv_lines(_filters(request)),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="audit.csv"'},
        )


class RevisionViewSet(APIViewSet):
    """The definitions a job has had, and the way back to one."""

    token_scopes = {"list": "read", "restore": "write"}

    def get_permissions(self) -> list[BasePermission]:
        return [IsAuthenticated() if self.action == "list" else IsWriter()]

    @operation(
        "list_revisions",
        tag=JOBS,
        summary="List the revisions of a job",
        description="Newest first. Secrets show as `***`.",
        path=[JOB_ID],
        answers={200: Answer(RevisionsSerializer, {"revisions": [REVISION]})},
        refusals=[JOB_NOT_FOUND],
    )
    def list(self, request: Request, job_id: str) -> Response:
        entries = revisions.of_job(find_job(job_id).pk)
        names = names_of(entries)
        return Response({"revisions": [_revision(entry, names) for entry in entries]})

    @operation(
        "restore_revision",
        tag=JOBS,
        summary="Put a job's definition back",
        description="As it was in that revision, through the same validation as an edit. Executions, owner, pauses and"
        " secrets stay as they are.",
        access=openapi.WRITER,
        path=[JOB_ID, OpenApiParameter("number", int, OpenApiParameter.PATH, description="Number of the revision.")],
        body=Body(RestoreSerializer, {"A reason": {"reason": "The new schedule was wrong"}}),
        answers={200: Answer(ActedSerializer, {"message": "Job restored", "job": JOB})},
        refusals=[
            JOB_NOT_FOUND,
            NOT_YOURS,
            BAD_REASON,
            Refusal(404, "Revision not found", f"Job {JOB['id']} has no revision 7 that is still on record."),
        ],
    )
    def restore(self, request: Request, job_id: str, number: str) -> Response:
        now, job = database_now(), find_job(job_id)
        services.check_may(caller(request), job, "update")
        reason = read_reason(json_object(request, empty_is_object=True))
        acted = services.restore_job(job.pk, _number(job_id, number), by=caller(request), now=now, reason=reason)
        message = "Job restored" if acted.changed else "Job reads so already"
        return Response({"message": message, "job": shown_job(job_id, now)})


def _number(job_id: str, text: str) -> int:
    """Return the number of a revision written in a path. Raises `NotFound` for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) < MAX_DIGITS):
        raise revisions.not_found(job_id, text)
    return int(text)


def _filters(request: Request) -> Filters:
    by = caller(request)
    range_ = ranges.read(request.query_params)
    return queries.read_filters(request.query_params, range_, seen_by=None if by.is_admin else by.pk)


def _entry_objects(entries: Sequence[AuditEntry]) -> list[dict[str, Any]]:
    names = names_of(entries)
    return [entry_object(entry, names) for entry in entries]


def entry_object(entry: AuditEntry, names: Mapping[str, str]) -> dict[str, Any]:
    """Return an entry as the API shows it. `names` are those of owners by their ids."""
    return {
        "id": str(entry.id),
        "at": utc_text(entry.at),
        "actor": _actor(entry),
        "source_ip": entry.source_ip or None,
        "action": entry.action,
        "object": {"type": entry.object_type, "id": entry.object_id or None, "name": entry.object_name or None},
        "changes": with_names(entry.changes, names),
        "reason": entry.reason or None,
        "request_id": entry.request_id or None,
    }


def _actor(entry: AuditEntry) -> dict[str, Any]:
    actor_id = str(entry.actor_id) if entry.actor_id else None
    return {"id": actor_id, "name": entry.actor_name, "kind": entry.actor_kind}


def _revision(entry: AuditEntry, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "number": entry.revision,
        "at": utc_text(entry.at),
        "actor": _actor(entry),
        "changes": with_names(entry.changes, names),
        "reason": entry.reason or None,
    }


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _csv_lines(filters: Filters) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield cast(str, writer.writerow(COLUMNS))
    entries = queries.matching(filters).iterator(chunk_size=PORTION)
    while portion := list(islice(entries, PORTION)):
        names = names_of(portion)
        for entry in portion:
            yield cast(str, writer.writerow([harmless(value) for value in _row(entry, names)]))


def _row(entry: AuditEntry, names: Mapping[str, str]) -> tuple[str, ...]:
    return (
        utc_text(entry.at) or "",
        entry.actor_name,
        entry.actor_kind,
        entry.source_ip,
        entry.action,
        entry.object_type,
        entry.object_id,
        entry.object_name,
        json.dumps(with_names(entry.changes, names), ensure_ascii=False),
        entry.reason,
        entry.request_id,
    )
