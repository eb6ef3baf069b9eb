"""Read a CSV file of jobs and judge its rows (contract, section 10). Writing them is `jobs.services.import_jobs`.

file -> `read_table` -> `Table` of rows whose cells are named by what they mean
     -> `Judge` -> one `Verdict` for each row: values for a job, or what is wrong
     -> `Report`, which the API answers and the command prints
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.conf import settings

from accounts.models import User
from cronsched.api.errors import parse_json
from cronsched.lib.errors import DomainError
from jobs.definitions import error_texts, github_names, validation
from jobs.definitions.github_names import GITHUB_FIELDS
from jobs.definitions.request_options import CELL_FIELDS
from jobs.definitions.scheduling_options import NUMBER_FIELDS, OPTION_FIELDS
from jobs.definitions.validation import JobValidator, Rules, Values
from jobs.models import Job
from taxonomy.models import slugify

# With these a file is judged and written well within the time a client waits.
MAX_ROWS = 20_000
MAX_ROWS_WITH_BLANK = 200_000
MAX_COLUMNS = 1_000

# What a column means -> the headers it may have, by precedence.
ALIASES = {
    "name": ("job name", "name"),
    "cron_expression": ("cron schedule (jst)", "cron expression", "cron", "cron_expression"),
    "status": ("status", "is_active", "active"),
    "target_url": ("target url", "target_url", "url"),
    "github_owner": ("github owner", "owner", "github_owner"),
    "github_repo": ("repo", "github repo", "github_repo"),
    "github_workflow_name": ("workflow name", "github workflow name", "github_workflow_name"),
    "dispatch_url": ("dispatch url", "dispatch_url", "github dispatch url", "github_dispatch_url"),
    "category": ("category", "job category", "job_category"),
    "end_date": ("end date", "end_date"),
    "pic_team": ("pic team", "pic_team", "pic team slug", "pic_team_slug"),
    "branch": ("branch", "ref"),
    "metadata": ("request body", "request_body", "metadata"),
    **{name: (name.replace("_", " "), name) for name in (*OPTION_FIELDS, *CELL_FIELDS)},
}
INACTIVE_WORDS = frozenset({"disable", "disabled", "inactive", "false", "0", "no", "n", "off"})
BRANCH_KEY = "branchDetails"
NUMBER_CELLS = frozenset({*NUMBER_FIELDS, "retry_max_age_seconds"})
PREVIEWED = ("name", "is_active", "cron_expression", "end_date", "pic_team")

# Stands behind the last line. It becomes a row of its own unless a quoted cell is still open there.
END = "\x00"


# --- Reading ---------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """`number` counts the header as 1 and leaves blank rows out. `cells` are trimmed, blank where there is none."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    rows: list[Row]
    stats: Mapping[str, int]

    @property
    def names(self) -> list[str]:
        return [name for row in self.rows if (name := row.cells["name"])]


def read_table(content: bytes) -> Table:
    """Return the rows of a CSV file. Raises `DomainError` (400) for a file that cannot be read as a whole."""
    records = _records(content.decode("utf-8-sig", "replace"))
    header = next(records, None)
    if header is None:
        raise _unusable("CSV is empty.")
    named = _named_places(header)
    columns = _columns(header)
    rows: list[Row] = []
    count = 0
    for record in records:
        count += 1
        if _has_content(record, named):
            rows.append(Row(len(rows) + 2, _cells(record, columns)))
        if len(rows) > MAX_ROWS:
            raise _unusable(f"CSV has more than {MAX_ROWS} rows. Split the file.")
        if count > MAX_ROWS_WITH_BLANK:
            raise _unusable(f"CSV has more than {MAX_ROWS_WITH_BLANK} rows, blank ones included.")
    stats = {
        "original_column_count": len(header),
        "original_row_count": count,
        "removed_column_count": len(header) - len(named),
        "removed_empty_row_count": count - len(rows),
    }
    return Table(rows, stats)


def _records(text: str) -> Iterator[list[str]]:
    if END in text:
        raise _unusable("This is no text in UTF-8.")
    if not text:
        return
    # The limit is the whole interpreter's, and its default is smaller than the bodies the API accepts.
    csv.field_size_limit(settings.MAX_BODY_BYTES)
    reader = csv.reader(io.StringIO(f"{text}{END}" if text[-1] in "\r\n" else f"{text}\n{END}", newline=""))
    begins = 1
    try:
        for record in reader:
            if record == [END]:
                return
            if record and record[-1].endswith(END):
                raise _unusable(f"A quote opened in the row that begins in line {begins} is never closed.")
            begins = reader.line_num + 1
            yield record
    except csv.Error as error:
        raise _unusable(f"Line {reader.line_num}: {error}.") from None


def _named_places(header: list[str]) -> frozenset[int]:
    if len(header) > MAX_COLUMNS:
        raise _unusable(f"CSV has more than {MAX_COLUMNS} columns.")
    named = frozenset(place for place, title in enumerate(header) if title.strip())
    if not named:
        raise _unusable("CSV header row has no usable column names.")
    return named


def _columns(header: list[str]) -> dict[str, list[int]]:
    """Return for each meaning the places of its columns, by precedence of their headers, then from left to right."""
    titles = [title.strip().lower() for title in header]
    columns = {
        meaning: [place for alias in aliases for place, title in enumerate(titles) if title == alias]
        for meaning, aliases in ALIASES.items()
    }
    if not any(columns.values()):
        raise _unusable(
            'CSV header row has no column this service knows, such as "Job Name". Is it separated by commas?'
        )
    return columns


def _has_content(record: list[str], named: frozenset[int]) -> bool:
    return any(cell and not cell.isspace() for place, cell in enumerate(record) if place in named)


def _cells(record: list[str], columns: Mapping[str, list[int]]) -> dict[str, str]:
    # Short rows end early: what they lack is blank.
    return {
        meaning: next((text for place in places if place < len(record) and (text := record[place].strip())), "")
        for meaning, places in columns.items()
    }


def _unusable(message: str) -> DomainError:
    return DomainError("Invalid CSV", message)


# --- Judging ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What became of a row: `values` for a new job, or for `job`; or the `error`."""

    row: Row
    job: Job | None = None
    values: Values | None = None
    error: DomainError | None = None

    @property
    def is_good(self) -> bool:
        return self.error is None

    @property
    def is_new(self) -> bool:
        """Whether the row becomes a job that does not exist yet."""
        return self.is_good and self.job is None


@dataclass
class Judge:
    """Judges the rows of one file in their order. `existing` are the jobs that bear a name in the file.

    `by` None stands for the operator at the console, who may change every job.
    """

    rules: Rules
    existing: Mapping[str, Job]
    by: User | None
    update_existing: bool = False
    _seen: set[str] = field(default_factory=set)

    def judge(self, row: Row) -> Verdict:
        """Return what becomes of the row, and remember its name."""
        return self._verdict(row, self.existing, self._seen)

    def judge_again(self, row: Row, existing: Mapping[str, Job]) -> Verdict:
        """Return what becomes of a row, already judged, now that the jobs of its name are others."""
        return self._verdict(row, existing, set())

    def _verdict(self, row: Row, existing: Mapping[str, Job], seen: set[str]) -> Verdict:
        namesake = existing.get(row.cells["name"])
        try:
            values = self._values(row.cells, namesake, seen)
        except DomainError as error:
            return Verdict(row, error=error)
        return Verdict(row, job=namesake, values=values)

    def _values(self, cells: Mapping[str, str], namesake: Job | None, seen: set[str]) -> Values:
        job = namesake if self.update_existing else None
        sent = {**_sent(cells, blank_too=job is None), **_sent_target(cells, blank_too=job is None)}
        draft = JobValidator(sent, error_texts.ROW, self.rules, job)
        draft.check_category()
        draft.check_end_date()
        _check_team(draft, cells["pic_team"])
        self._check_name(draft, cells, namesake, seen)
        draft.check_cron_expression()
        draft.values |= _metadata(cells, job)
        _check_target(draft)
        draft.check_activity()
        draft.check_inputs()
        draft.check_options()
        draft.forget_findings()
        return draft.values

    def _check_name(self, draft: JobValidator, cells: Mapping[str, str], namesake: Job | None, seen: set[str]) -> None:
        name = cells["name"]
        if not name or not (cells["cron_expression"] or draft.job):
            raise DomainError("Missing required fields", "name and cron_expression are required.", field="name")
        if name in seen:
            raise DomainError("Duplicate job name in CSV", f'An earlier row is named "{name}", too.', field="name")
        seen.add(name)
        if namesake is not None and not self.update_existing:
            raise error_texts.duplicate_name(name, draft.texts)
        if namesake is not None and self.by is not None and not namesake.may_be_changed_by(self.by):
            raise error_texts.not_yours("update")
        draft.values["name"] = name


def _sent(cells: Mapping[str, str], *, blank_too: bool) -> dict[str, Any]:
    """Return the cells that need no rule of their own, as a caller of the API would send them."""
    names = ("cron_expression", "category", "end_date", "pic_team", *OPTION_FIELDS, *CELL_FIELDS)
    plain = {name: cells[name] for name in names}
    sent: dict[str, Any] = {name: _number(text) if name in NUMBER_CELLS else text for name, text in plain.items()}
    sent["is_active"] = cells["status"].lower() not in INACTIVE_WORDS
    blank = {name for name, text in {**plain, "is_active": cells["status"]}.items() if not text}
    return {name: value for name, value in sent.items() if blank_too or name not in blank}


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _sent_target(cells: Mapping[str, str], *, blank_too: bool) -> dict[str, str]:
    """Return the target's fields. A dispatch URL is the whole target; a repository may name its owner as well."""
    if cells["dispatch_url"]:
        return {**github_names.dispatch_target(cells["dispatch_url"], "Invalid dispatch_url"), "target_url": ""}
    owner, slash, repository = cells["github_repo"].partition("/")
    parts = {
        "target_url": cells["target_url"],
        "github_owner": cells["github_owner"] or (owner if slash else ""),
        "github_repo": repository if slash else owner,
        "github_workflow_name": cells["github_workflow_name"],
    }
    return {name: text for name, text in parts.items() if blank_too or text}


def _check_team(draft: JobValidator, text: str) -> None:
    try:
        draft.check_team()
    except DomainError as error:
        error.extra |= {"pic_team": text or None, "pic_team_slug": slugify(text) or None}
        raise


def _metadata(cells: Mapping[str, str], job: Job | None) -> dict[str, Any]:
    """Return the `metadata` of the job, or nothing where the row says nothing of it."""
    text, branch = cells["metadata"], cells["branch"]
    if job is not None and not text:
        return {"metadata": {**job.metadata, BRANCH_KEY: branch}} if branch else {}
    metadata = _request_body(text) if text else {}
    if branch:
        metadata.setdefault(BRANCH_KEY, branch)
    return {"metadata": metadata}


def _request_body(text: str) -> dict[str, Any]:
    try:
        document = parse_json(text)
    except DomainError as error:
        title = "Invalid JSON in Request Body" if error.error == "Invalid JSON" else "Invalid Request Body"
        raise DomainError(title, error.message, field="metadata") from None
    if not isinstance(document, dict):
        raise DomainError("Invalid Request Body", "Request Body must be a JSON object.", field="metadata")
    return validation.check_metadata_size(document, "Invalid Request Body")


def _check_target(draft: JobValidator) -> None:
    draft.check_target_url()
    if draft.values.get("target_url"):
        draft.values |= dict.fromkeys(GITHUB_FIELDS)
    else:
        draft.check_github_fields()
    draft.check_name_length()
    owner, repository, workflow = (draft.outcome(name) or "" for name in GITHUB_FIELDS)
    if not draft.outcome("target_url") and (repository or workflow) and not (owner or draft.rules.default_owner):
        message = 'Provide "github_owner" column or default_github_owner.'
        raise DomainError("Missing GitHub owner", message, field="github_owner")
    draft.fill_owner()
    draft.check_target()


# --- The result ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """What became of a file. `jobs` are the good rows in file order, `errors` the others, as the answer has them."""

    dry_run: bool
    stats: Mapping[str, int]
    created: int
    updated: int
    jobs: list[dict[str, Any]]
    errors: list[dict[str, Any]]

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
            "failed": len(self.errors),
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


def report(table: Table, verdicts: Sequence[Verdict], jobs: list[dict[str, Any]], *, dry_run: bool) -> Report:
    """Return the report on `verdicts`; `jobs` are the items of the good ones."""
    created = sum(verdict.is_new for verdict in verdicts)
    updated = sum(verdict.is_good for verdict in verdicts) - created
    errors = [error_item(verdict.row, verdict.error) for verdict in verdicts if verdict.error]
    return Report(dry_run, table.stats, created, updated, jobs, errors)


def error_item(row: Row, error: DomainError) -> dict[str, Any]:
    name = row.cells["name"] or None
    return {"row": row.number, "job_name": name, "name": name, **error.body}


def imported_item(job: Job) -> dict[str, Any]:
    return {"id": str(job.pk), "name": job.name, "is_active": job.is_active}


def preview_item(verdict: Verdict) -> dict[str, Any]:
    """Return what a good row would become."""
    draft = verdict.job or Job()
    values = verdict.values or {}
    outcome = {name: values[name] if name in values else getattr(draft, name) for name in PREVIEWED}
    return {**outcome, "end_date": outcome["end_date"].isoformat(), "pic_team": outcome["pic_team"].slug}
