"""The page "Upload": a file is checked as a whole, corrected by options for all of its rows, and then imported.

The server keeps nothing between check and import: the browser sends the file again. Only a file with the digest of the
checked one is imported.
"""

import csv
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.console import account
from accounts.models import User
from cronsched.console import ConsoleAdmin
from cronsched.console.labels import in_labels
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs.definitions.error_texts import in_console
from jobs.definitions.validation import local_date
from jobs.importing import rejected
from jobs.importing.csv_file import Table, read_table
from jobs.importing.export import ACTIVE, COLUMNS
from jobs.importing.file_options import FileOptions, read_options
from jobs.importing.report import Report
from jobs.importing.weekdays import Weekdays
from jobs.importing.writer import import_jobs
from taxonomy.models import GENERAL_SLUG, PicTeam, name_key

SHOWN = 50
SHOWN_TEAMS = 100
SHOWN_FAULTS = 40
CREATE = "+"
EXAMPLE_DAYS = 90
CHANGED = "The file or the choices are not those that were checked. This is what would become of them now."


class TeamRemedy(NamedTuple):
    """A team as the file writes it, in how many rows, and which team is meant by it."""

    written: str
    rows: int
    chosen: str


class UploadPage(ConsoleAdmin):
    """Adds the page to the site, before the pages of single jobs."""

    def get_urls(self) -> list[URLPattern]:
        page = path("upload/", self.admin_site.admin_view(self.upload_view), name="jobs_upload")
        return [page, *super().get_urls()]

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        by, now = account(request), database_now()
        if not by.can_write:
            raise PermissionDenied
        if "template" in request.GET:
            return _template(now)
        context = {
            **self.admin_site.each_context(request),
            "title": "Upload",
            "page_name": "Upload",
            "teams": PicTeam.objects.filter(is_active=True).order_by("name"),
            "may_create_teams": by.is_admin,
            "create": CREATE,
            "weekdays": list(Weekdays),
            "limit": settings.MAX_UPLOAD_BYTES // (1024 * 1024),
        }
        if request.method == "POST":
            try:
                context |= _answer(request, by, now)
            except DomainError as refusal:
                context["error"] = _worded(refusal.message or refusal.error)
        return TemplateResponse(request, "console/upload.html", context)


def _answer(request: HttpRequest, by: User, now: datetime) -> dict[str, Any]:
    """Check the file, or import it where just this was checked; return what the page shows of it."""
    content = _content(request)
    options = _options(request.POST, by, now)
    table = read_table(content)
    checked = sha256(content + repr(options).encode()).hexdigest()
    wants_import = request.POST.get("act") == "import"
    is_dry = not (wants_import and request.POST.get("checked") == checked)
    report = import_jobs(table, by=by, now=now, options=options, dry_run=is_dry)
    return {
        "report": report,
        "rows": len(table.rows),
        "good": len(report.jobs),
        "checked": checked,
        "note": CHANGED if wants_import and is_dry else "",
        "summary": [_worded(line) for line in report.summary[:SHOWN_FAULTS]],
        "more_faults": max(0, len(report.summary) - SHOWN_FAULTS),
        "remedies": _remedies(table, report, options),
        "left_out": [_left_out(error) for error in report.errors[:SHOWN]],
        "warned": [
            (item["row"], item["name"], _worded(" ".join(item["warnings"]))) for item in report.warnings[:SHOWN]
        ],
        "preview": _preview(report),
        "shown": SHOWN,
        "rejected": _download(table, report),
    }


def _content(request: HttpRequest) -> bytes:
    file = request.FILES.get("file")
    if file is None:
        raise DomainError("Missing file", "Choose a CSV file, or drop one on the field.")
    if (file.size or 0) > settings.MAX_UPLOAD_BYTES:
        raise DomainError("Payload too large", f"A CSV file may have at most {settings.MAX_UPLOAD_BYTES} bytes.")
    return bytes(file.read())


def _options(sent: QueryDict, by: User, now: datetime) -> FileOptions:
    """Return what holds for the whole file. Teams are chosen beside their names in the file, in the same order."""
    chosen = dict(zip(map(name_key, sent.getlist("team")), sent.getlist("team_to"), strict=False))
    created = tuple(sorted(team for team, to in chosen.items() if to == CREATE))
    options = read_options(
        by=by,
        today=local_date(now),
        default_owner=sent.get("default_owner", ""),
        update_existing="update_existing" in sent,
        end_date=sent.get("end_date", ""),
        create_teams=bool(created),
        weekdays=sent.get("weekdays", ""),
    )
    team_map = {team: to for team, to in sorted(chosen.items()) if to not in ("", CREATE)}
    return replace(options, team_map=team_map, created_teams=created)


def _remedies(table: Table, report: Report, options: FileOptions) -> list[TeamRemedy]:
    """Return the teams that rows name in vain, the most frequent first, and those a remedy was chosen for."""
    wrong = {error["row"] for error in report.errors if _is_about_team(error)}
    counts = Counter(row.cells["pic_team"] for row in table.rows if row.number in wrong)
    chosen = {**options.team_map, **dict.fromkeys(options.created_teams, CREATE)}
    # A corrected row is no longer wrong, but the choice that corrected it has to stay.
    names = {name_key(team): team for team in counts}
    rows = [TeamRemedy(names.get(key, key), counts.get(names.get(key, key), 0), to) for key, to in chosen.items()]
    rows += [TeamRemedy(team, number, "") for team, number in counts.most_common() if name_key(team) not in chosen]
    return rows[:SHOWN_TEAMS]


def _is_about_team(error: Mapping[str, Any]) -> bool:
    return any(fault["field"] == "pic_team" for fault in error["faults"])


def _left_out(error: Mapping[str, Any]) -> tuple[int, str, list[str]]:
    return error["row"], error["name"] or "", [_worded(fault["message"] or fault["error"]) for fault in error["faults"]]


def _worded(text: str) -> str:
    return in_labels(in_console(text), rejected.TITLES)


def _preview(report: Report) -> list[list[str]]:
    if not report.dry_run:
        return []
    states = {True: "active", False: "paused"}
    names = ("name", "cron_expression", "is_active", "end_date", "pic_team")
    return [[states.get(item[name], item[name]) for name in names] for item in report.jobs[:SHOWN]]


def _download(table: Table, report: Report) -> str:
    """Return the rows that were left out as an address that holds them; blank where there are none."""
    if not report.errors:
        return ""
    return "data:text/csv;charset=utf-8;base64," + b64encode(rejected.as_csv(table, report).encode()).decode()


def _template(now: datetime) -> HttpResponse:
    """Answer a file with all columns and a row that shows how they are written."""
    team = PicTeam.objects.filter(is_active=True).order_by("name").first()
    example = {
        "name": "Daily backup",
        "cron_expression": "0 2 * * *",
        "status": ACTIVE,
        "target_url": "https://example.com/backup",
        "category": GENERAL_SLUG,
        "end_date": (local_date(now) + timedelta(days=EXAMPLE_DAYS)).isoformat(),
        "pic_team": team.slug if team else "",
        "metadata": '{"kind": "full"}',
    }
    return _file("jobs-template.csv", [COLUMNS, [example.get(meaning, "") for meaning in COLUMNS.values()]])


def _file(name: str, rows: Iterable[Iterable[str]]) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    csv.writer(response).writerows(rows)
    return response
