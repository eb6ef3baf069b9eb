"""Endpoints of jobs (contract, sections 6 and 8 to 10)."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.idempotency import idempotent
from accounts.models import User
from accounts.permissions import IsWriter
from cronsched.account_rates import RUNS, TESTS
from cronsched.api.bodies import json_object, with_etag
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError, PayloadTooLarge
from cronsched.lib.input import payload
from jobs import services
from jobs.api import descriptions as describe
from jobs.api.listing import exported_jobs, page_of_jobs
from jobs.api.lookup import find_job, shown_job
from jobs.api.serializers import execution_object, target_check
from jobs.definitions import scheduling_options, validation
from jobs.importing.csv_file import read_table
from jobs.importing.file_options import FileOptions, read_options
from jobs.importing.writer import import_jobs
from jobs.models import Job
from jobs.schedule.scheduled_job import owner_key
from jobs.targets import test_run

READING = {"list", "export", "retrieve"}
# As this API writes them.
ENTITY_TAG = re.compile(r'"[0-9]{1,9}"')
TRUE_WORDS = frozenset({"1", "true", "yes", "y", "on"})
# What a multipart body holds besides the file: boundaries, headers, the other fields.
MULTIPART_ALLOWANCE = 64 * 1024


class JobViewSet(APIViewSet):
    """Reading is for every account; users change their own jobs, admins all.

    What moves a schedule or starts a run takes the time from the database, as the scheduler does: the clock of this
    host need not agree with it.
    """

    token_scopes = {
        "list": "read",
        "retrieve": "read",
        "export": "read",
        "create": "write",
        "update": "write",
        "destroy": "write",
        "execute": "run",
        "check_target": "run",
        "renew_signing_secret": "write",
        "drop_previous_signing_secret": "write",
        "test_run": "run",
        "bulk_upload": "write",
    }

    rate_of: ClassVar[Mapping[str, str | None]] = {"execute": RUNS, "test_run": TESTS, "check_target": TESTS}

    def get_permissions(self) -> Sequence[BasePermission]:
        return [IsAuthenticated() if self.action in READING else IsWriter()]

    @describe.LIST_JOBS
    def list(self, request: Request) -> Response:
        body = page_of_jobs(request.query_params, by=caller(request), now=timezone.now())
        return with_etag(request, Response(body))

    @describe.EXPORT_JOBS
    def export(self, request: Request) -> HttpResponse:
        return exported_jobs(request.query_params, by=caller(request), now=timezone.now())

    @describe.GET_JOB
    def retrieve(self, request: Request, job_id: str) -> Response:
        return _tagged({"job": shown_job(job_id, timezone.now())})

    @describe.CREATE_JOB
    @idempotent
    def create(self, request: Request) -> Response:
        now = database_now()
        job = services.create_job(json_object(request), by=caller(request), now=now)
        return _tagged(_written("Job created successfully", job, now), status=201)

    @describe.UPDATE_JOB
    def update(self, request: Request, job_id: str) -> Response:
        now = database_now()
        job = find_job(job_id)
        services.check_may(caller(request), job, "update")
        seen = _seen_revisions(request)
        job = services.update_job(job.pk, json_object(request), by=caller(request), now=now, seen=seen)
        return _tagged(_written("Job updated successfully", job, now))

    @describe.DELETE_JOB
    def destroy(self, request: Request, job_id: str) -> Response:
        job = services.delete_job(find_job(job_id).pk, by=caller(request), now=database_now())
        deleted = {"id": job_id, "name": job.name}
        return Response({"message": "Job deleted successfully", "deleted_job": deleted})

    @describe.EXECUTE_JOB
    @idempotent
    def execute(self, request: Request, job_id: str) -> Response:
        now = database_now()
        job = find_job(job_id)
        # Before the body is read, in the contract's order.
        services.check_may(caller(request), job, "execute")
        services.refuse_expired(job, now=now)
        sent = json_object(request, empty_is_object=True)
        execution = services.run_now(job, sent, by=caller(request), now=now)
        body = {
            "message": "Job triggered successfully",
            "job_id": job_id,
            "execution": execution_object(execution),
        }
        return Response(body)

    @describe.CHECK_TARGET
    def check_target(self, request: Request, job_id: str) -> Response:
        now = database_now()
        findings = services.check_target(find_job(job_id).pk, by=caller(request), now=now)
        return Response({"message": "Target checked", "job_id": job_id, "target_check": target_check(findings, now)})

    @describe.RENEW_SIGNING_SECRET
    def renew_signing_secret(self, request: Request, job_id: str) -> Response:
        job = find_job(job_id)
        services.check_may(caller(request), job, "update")
        sent = json_object(request, empty_is_object=True)
        keep_previous = payload.flag(sent, "keep_previous", default=True)
        secret = services.renew_signing_secret(
            job.pk, keep_previous=keep_previous, by=caller(request), now=database_now()
        )
        return Response({"message": "Signing secret renewed", "job_id": job_id, "signing_secret": secret})

    @describe.DROP_SIGNING_SECRET
    def drop_previous_signing_secret(self, request: Request, job_id: str) -> Response:
        services.drop_previous_signing_secret(find_job(job_id).pk, by=caller(request), now=database_now())
        return Response({"message": "Previous signing secret dropped", "job_id": job_id})

    @describe.TEST_RUN
    def test_run(self, request: Request) -> Response:
        return Response(test_run.try_target(json_object(request), owner=owner_key(request.user.pk), now=timezone.now()))

    @describe.BULK_UPLOAD
    def bulk_upload(self, request: Request) -> Response:
        table = read_table(_uploaded_file(request).read())
        by, now = caller(request), database_now()
        options = _file_options(request, by, now)
        report = import_jobs(table, by=by, now=now, options=options, dry_run=_is_on(request, "dry_run"))
        return Response(report.body, status=400 if report.is_refused else 200)


def _written(message: str, job: Job, now: datetime) -> dict[str, Any]:
    """Return the answer to a write: the job as it is stored now, and the doubts about its expression."""
    warnings = scheduling_options.warnings_of(job.cron_expression)
    return {"message": message, "job": shown_job(str(job.pk), now), "warnings": warnings}


def _tagged(body: dict[str, Any], *, status: int = 200) -> Response:
    """Return an answer with a job whose entity tag is the revision of its definition."""
    return Response(body, status=status, headers={"ETag": f'"{body["job"]["revision"]}"'})


def _seen_revisions(request: Request) -> set[int] | None:
    """Return the revisions named in `If-Match`, None where every one will do (RFC 9110, section 13.1.1).

    Weak tags and what is no tag of ours match nothing.
    """
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    return {int(tag[1:-1]) for part in header.split(",") if ENTITY_TAG.fullmatch(tag := part.strip())}


def _uploaded_file(request: Request) -> "UploadedFile[bytes]":
    """Return the file of an upload. One that is too large is refused before it is read."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_UPLOAD_BYTES + MULTIPART_ALLOWANCE:
        raise _too_large()
    is_form = (request.content_type or "").lower().startswith("multipart/form-data")
    if is_form and (file := request.FILES.get("file")):
        if file.size is not None and file.size > settings.MAX_UPLOAD_BYTES:
            raise _too_large()
        return file
    # A file input without a file is sent as a field of that name.
    if is_form and "file" in request.POST:
        raise DomainError("Missing file", "No file selected.")
    raise DomainError("Missing file", 'Upload a CSV file using form field "file".')


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"A CSV file may have at most {settings.MAX_UPLOAD_BYTES} bytes.")


def _file_options(request: Request, by: User, now: datetime) -> FileOptions:
    return read_options(
        by=by,
        today=validation.local_date(now),
        default_owner=request.POST.get("default_github_owner", ""),
        update_existing=_is_on(request, "update_existing"),
        end_date=request.POST.get("end_date", ""),
        create_teams=_is_on(request, "create_teams"),
        map_team=request.POST.getlist("map_team"),
        weekdays=request.POST.get("weekdays", ""),
    )


def _is_on(request: Request, name: str) -> bool:
    return request.POST.get(name, "").strip().lower() in TRUE_WORDS
