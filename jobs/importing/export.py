"""Write jobs as a file: CSV that an upload reads back unchanged, or YAML to read (beyond.md, section 6)."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from jobs.definitions.github_names import GITHUB_FIELDS
from jobs.definitions.request_options import CELL_FIELDS
from jobs.definitions.scheduling_options import OPTION_FIELDS
from jobs.models import Job, JobQuerySet

# Header of the column -> what an upload takes it for.
COLUMNS = {
    "Job Name": "name",
    "Cron Expression": "cron_expression",
    "Status": "status",
    "Target URL": "target_url",
    "GitHub Owner": "github_owner",
    "Repo": "github_repo",
    "Workflow Name": "github_workflow_name",
    "Category": "category",
    "End Date": "end_date",
    "PIC Team": "pic_team",
    "Request Body": "metadata",
    **{name: name for name in (*OPTION_FIELDS, *CELL_FIELDS)},
}
ACTIVE, INACTIVE = "enable", "disable"


def cells_of(job: Job) -> dict[str, str]:
    """Return a job as the cells of a row, by what they mean. Blank stands for nothing, and for the default.

    Of two targets the one that runs is written: a row with a URL names no workflow.
    """
    fields = GITHUB_FIELDS if job.is_github else ("target_url",)
    target = {name: getattr(job, name) or "" for name in fields}
    options = {name: _cell(getattr(job, name)) for name in OPTION_FIELDS}
    stored = {name: _cell(job.request_options.get(name)) for name in CELL_FIELDS}
    return {
        **dict.fromkeys(("target_url", *GITHUB_FIELDS), ""),
        **target,
        "name": job.name,
        "cron_expression": job.cron_expression,
        "status": ACTIVE if job.is_active else INACTIVE,
        "category": job.category.slug,
        "end_date": job.end_date.isoformat(),
        "pic_team": job.pic_team.slug,
        "metadata": json.dumps(job.metadata, ensure_ascii=False) if job.metadata else "",
        **options,
        **stored,
    }


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def as_csv(jobs: JobQuerySet) -> str:
    """Return the jobs as a CSV file with a header."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for job in jobs.select_related("category", "pic_team"):
        cells = cells_of(job)
        writer.writerow(cells[meaning] for meaning in COLUMNS.values())
    return out.getvalue()


def as_yaml(jobs: JobQuerySet) -> str:
    """Return the jobs as YAML, metadata and addresses as they are and secret headers by their names."""
    documents = [_document(job) for job in jobs.select_related("category", "pic_team", "created_by")]
    return yaml.safe_dump({"jobs": documents}, sort_keys=False, allow_unicode=True, width=120)


def _document(job: Job) -> Mapping[str, Any]:
    owner = job.created_by
    plain = ("name", "cron_expression", "target_url", *GITHUB_FIELDS, "metadata")
    mail = ("enable_email_notifications", "notification_emails", "notify_on_success")
    document = {
        **{name: getattr(job, name) for name in plain},
        "category": job.category.slug,
        "pic_team": job.pic_team.slug,
        "owner": owner.username if owner else None,
        "is_active": job.is_active,
        "end_date": job.end_date.isoformat(),
        **{name: getattr(job, name) for name in (*mail, *OPTION_FIELDS)},
        **job.request_options,
    }
    return {name: value for name, value in document.items() if value not in (None, {}, [])}


FORMATS: Mapping[str, Callable[[JobQuerySet], str]] = {"csv": as_csv, "yaml": as_yaml}
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "yaml": "application/yaml; charset=utf-8"}
