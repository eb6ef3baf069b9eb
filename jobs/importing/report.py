"""The report on an uploaded file, for the API and the command."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cronsched.lib.errors import DomainError
from jobs.importing.csv_file import Row, Table
from jobs.importing.rows import RowResult
from jobs.models import Job

PREVIEWED = ("name", "is_active", "cron_expression", "end_date", "pic_team")
MAX_SHOWN = 80
MAX_SUMMARY = 500
# Which cell a fault is about, where it is named otherwise.
CELLS = {"is_active": "status"}
# How the summary words what the sentence of the answer says at length.
PHRASES = {
    ("Invalid PIC team", "Unknown"): "unknown PIC team",
    ("Invalid PIC team", "PIC team is required"): "no PIC team",
    ("Invalid PIC team", "PIC team is disabled"): "disabled PIC team",
    ("Invalid category", "Unknown"): "unknown category",
    ("Invalid end_date", "Invalid"): "end date not written YYYY-MM-DD",
    ("Invalid end_date", "end_date must be today"): "end date in the past",
    ("Missing required fields", "end_date"): "no end date",
    ("Missing required fields", "name and"): "no name or cron expression",
    ("Duplicate job name in CSV", ""): "name more than once in the file",
    ("Duplicate job name", ""): "name of a job that exists",
}


@dataclass(frozen=True)
class Report:
    """What became of a file. `jobs` are the good rows in file order, `errors` the others, as the answer has them."""

    dry_run: bool
    stats: Mapping[str, int]
    created: int
    updated: int
    changed: int
    jobs: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    warnings: list[dict[str, Any]] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    ignored_columns: Sequence[str] = ()
    undecodable: Mapping[int, int] = field(default_factory=dict)
    created_teams: Sequence[str] = ()

    @property
    def is_refused(self) -> bool:
        """Whether there were rows and not one of them was good."""
        return bool(self.errors) and not self.jobs

    @property
    def body(self) -> dict[str, Any]:
        return {
            **self._headline(),
            "dry_run": self.dry_run,
            "stats": dict(self.stats),
            "created_count": self.created,
            "error_count": len(self.errors),
            "created": self.created,
            "updated": self.updated,
            "changed": self.changed,
            "failed": len(self.errors),
            "summary": self.summary,
            "ignored_columns": list(self.ignored_columns),
            "undecodable_bytes": {"count": sum(self.undecodable.values()), "rows": list(self.undecodable)},
            "created_teams": list(self.created_teams),
            "warnings": self.warnings,
            "errors": self.errors,
            "jobs": self.jobs,
        }

    def _headline(self) -> dict[str, str]:
        match self.is_refused, self.dry_run:
            case False, False:
                return {"message": "Bulk upload processed"}
            case False, True:
                return {"message": "CSV validated successfully"}
            case True, False:
                message = "No jobs were created. Fix CSV errors and try again."
                return {"error": "Bulk upload failed", "message": message}
        return {"error": "CSV validation failed", "message": "CSV validation failed"}


def report(
    table: Table,
    results: Sequence[RowResult],
    jobs: list[dict[str, Any]],
    *,
    changed: int,
    created_teams: Sequence[str],
    dry_run: bool,
) -> Report:
    """Return the report on `results`; `jobs` are the items of the good ones, of which `changed` became others."""
    created = sum(result.is_new for result in results)
    return Report(
        dry_run,
        table.stats,
        created=created,
        updated=sum(result.is_good for result in results) - created,
        changed=changed,
        jobs=jobs,
        errors=[error_item(result.row, result.faults) for result in results if result.faults],
        warnings=[
            {**_named(result.row), "warnings": list(result.warnings)}
            for result in results
            if result.is_good and result.warnings
        ],
        summary=summary(results),
        ignored_columns=table.ignored_columns,
        undecodable=table.undecodable or {},
        created_teams=created_teams,
    )


def summary(results: Iterable[RowResult]) -> list[str]:
    """Return each fault once, with its value and the number of its rows, the most frequent first."""
    counts = Counter(_in_short(fault, result.row) for result in results for fault in result.faults)
    lines = [f"{text}: {count} row{'' if count == 1 else 's'}" for text, count in counts.most_common()]
    if len(lines) > MAX_SUMMARY:
        lines[MAX_SUMMARY:] = [f"and {len(lines) - MAX_SUMMARY} more faults, each with its row among the errors"]
    return lines


def _in_short(fault: DomainError, row: Row) -> str:
    message = fault.message or ""
    found = (words for (error, start), words in PHRASES.items() if error == fault.error and message.startswith(start))
    words = next(found, None) or fault.error[:1].lower() + fault.error[1:]
    value = row.cells.get(CELLS.get(fault.field or "", fault.field or ""), "")
    shown = f"{value[:MAX_SHOWN]}\u2026" if len(value) > MAX_SHOWN else value
    return f'{words} "{shown}"' if shown else words


def error_item(row: Row, faults: Sequence[DomainError]) -> dict[str, Any]:
    """Return the item of a row that was left out: the contract's first fault, and all of them."""
    listed = [{"field": fault.field, "error": fault.error, "message": fault.message} for fault in faults]
    return {**_named(row), **faults[0].body, "faults": listed}


def _named(row: Row) -> dict[str, Any]:
    name = row.cells["name"] or None
    return {"row": row.number, "job_name": name, "name": name}


def imported_item(job: Job) -> dict[str, Any]:
    return {"id": str(job.pk), "name": job.name, "is_active": job.is_active}


def preview_item(result: RowResult) -> dict[str, Any]:
    """Return what a good row would become."""
    stored = result.job or Job()
    values = result.values or {}
    outcome = {name: values[name] if name in values else getattr(stored, name) for name in PREVIEWED}
    return {**outcome, "end_date": outcome["end_date"].isoformat(), "pic_team": outcome["pic_team"].slug}
