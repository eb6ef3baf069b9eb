"""Validates the rows of a file: what each becomes, and all its faults (contract, section 10).

`csv_file.read_table` -> `RowValidator` -> one `RowResult` for each row: values for a job, or its faults in the
contract's order -> `writer.import_jobs`, which writes them and makes the `report`
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from accounts.models import User
from cronsched.lib.errors import DomainError
from cronsched.lib.input.strict_json import parse_json
from jobs.definitions import error_texts, github_names, request_options, scheduling_options, validation
from jobs.definitions.github_names import GITHUB_FIELDS
from jobs.definitions.request_options import CELL_FIELDS
from jobs.definitions.scheduling_options import NUMBER_FIELDS, OPTION_FIELDS
from jobs.definitions.validation import JobValidator, Rules, Values
from jobs.importing.csv_file import Row
from jobs.importing.export import cells_of
from jobs.importing.file_options import FileOptions
from jobs.importing.weekdays import Weekdays, translated
from jobs.models import Job
from taxonomy.models import PicTeam, name_key, slugify
from taxonomy.services import MAX_NAME, MAX_SLUG

INACTIVE_WORDS = frozenset({"disable", "disabled", "inactive", "false", "0", "no", "n", "off"})
BRANCH_KEY = "branchDetails"
NUMBER_CELLS = frozenset({*NUMBER_FIELDS, "retry_max_age_seconds"})
TARGET_CELLS = frozenset({"target_url", "dispatch_url", *GITHUB_FIELDS})

Cells = dict[str, str]


@dataclass(frozen=True)
class RowResult:
    """What became of a row: `values` for a new job, or for `job`; or its `faults`, the contract's first one first."""

    row: Row
    job: Job | None = None
    values: Values | None = None
    faults: tuple[DomainError, ...] = ()
    warnings: tuple[str, ...] = ()
    # Why it comes in paused although the row is active; blank where it does not.
    pause_reason: str = ""
    # Whether the job that exists becomes another one.
    is_changed: bool = False

    @property
    def is_good(self) -> bool:
        return not self.faults

    @property
    def is_new(self) -> bool:
        """Whether the row becomes a job that does not exist yet."""
        return self.is_good and self.job is None


@dataclass
class RowValidator:
    """Judges the rows of one file in their order. `existing` are the jobs that bear a name in the file.

    `by` None stands for the operator at the console, who may change every job. `names` counts the names in the file.
    `planned_teams` are those that do not exist yet and are to be made with the rows that name them.
    """

    rules: Rules
    existing: Mapping[str, Job]
    by: User | None
    options: FileOptions = field(default_factory=FileOptions)
    names: Mapping[str, int] = field(default_factory=Counter)
    planned_teams: dict[str, PicTeam] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def validate(self, row: Row) -> RowResult:
        """Return what becomes of the row, and remember its name."""
        return self._result(row, self.existing, self._seen)

    def validate_again(self, row: Row, existing: Mapping[str, Job]) -> RowResult:
        """Return what becomes of a row, already judged, now that the jobs of its name are others."""
        return self._result(row, existing, set())

    def _result(self, row: Row, existing: Mapping[str, Job], seen: set[str]) -> RowResult:
        namesake = existing.get(row.cells["name"])
        job = namesake if self.options.update_existing else None
        check = _RowCheck(self, row.cells, job, namesake)
        check.run(seen)
        if check.faults:
            return RowResult(row, faults=tuple(check.faults))
        check.validator.forget_findings()
        values = check.validator.values
        is_changed = job is not None and any(getattr(job, name) != value for name, value in values.items())
        return RowResult(row, job, values, (), tuple(check.warnings), check.pause_reason, is_changed)

    def plan_team(self, name: str) -> None:
        """Plan a team to be created with the rows that name it, unless it exists or its name is not allowed."""
        slug = slugify(name)
        is_possible = slug and len(slug) <= MAX_SLUG and len(name) < MAX_NAME
        if not (self.options.create_teams and is_possible) or self.rules.teams.find(name):
            return
        if self.options.created_teams and name_key(name) not in self.options.created_teams:
            return
        if slug not in self.planned_teams:
            self.planned_teams[slug] = PicTeam(name=name, slug=slug, slack_handle=f"@{slug}")
            self.rules.teams.add(self.planned_teams[slug])


class _RowCheck:
    """The check of one row. Collects faults; a check that depends on a faulty cell is left out."""

    def __init__(self, file: RowValidator, cells: Mapping[str, str], job: Job | None, namesake: Job | None) -> None:
        self.file = file
        self.job = job
        self.namesake = namesake
        self.faults: list[DomainError] = []
        self.warnings: list[str] = []
        self.pause_reason = ""
        self.cells = self._cells_to_judge(cells)
        self.written_team = cells["pic_team"]
        self.target: Mapping[str, str] | None = None
        self.validator = JobValidator({}, error_texts.ROW, file.rules, job)

    def run(self, seen: set[str]) -> None:
        """Check the row in the contract's order."""
        self._attempt(self._read_target)
        self._read_schedule()
        self.validator.sent = {**_sent(self.cells, blank_too=self.job is None), **(self.target or {})}
        self._pause_where_it_fires_differently()
        self.validator.accepts_past_end = not self._is_active
        self._attempt(self.validator.check_category)
        self._attempt(self.validator.check_end_date)
        self._attempt(self._check_team)
        self._check_name(seen)
        if self.cells["cron_expression"]:
            self._attempt(self._check_cron)
        self._attempt(lambda: self.validator.values.update(_metadata(self.cells, self.job)))
        self._check_target()
        self._attempt(self.validator.check_activity)
        if not any(fault.field in {"metadata", *TARGET_CELLS} for fault in self.faults):
            self._attempt(self.validator.check_inputs)
        self._check_options()

    def _attempt(self, check: Callable[[], object]) -> bool:
        try:
            check()
        except DomainError as error:
            self.faults.append(error)
            return False
        return True

    @property
    def _is_active(self) -> bool:
        stored = True if self.job is None else self.job.is_active
        return bool(self.validator.sent.get("is_active", stored))

    def _cells_to_judge(self, cells: Mapping[str, str]) -> Cells:
        """Return the cells with what holds for the whole file; those that say what the job says already are blank."""
        judged = dict(cells)
        if self.job is not None:
            as_stored = cells_of(self.job)
            if self.file.options.weekdays is Weekdays.AS_FIRED:
                # The same text may have meant another day.
                del as_stored["cron_expression"]
            judged |= {name: "" for name, text in as_stored.items() if name != "name" and text == cells[name]}
        team = judged["pic_team"]
        if team or self.job is None:
            judged["pic_team"] = self.file.options.team_map.get(name_key(team), team)
        judged["end_date"] = self._end_date(judged)
        return judged

    def _end_date(self, cells: Cells) -> str:
        own, given = cells["end_date"], self.file.options.end_date
        if given is None or (not own and self.job is not None):
            return own
        date = validation.read_date(own)
        is_past = date is not None and date < self.file.rules.today and cells["status"].lower() not in INACTIVE_WORDS
        return given.isoformat() if not own or is_past else own

    def _read_target(self) -> None:
        self.target = _sent_target(self.cells, blank_too=self.job is None)

    def _read_schedule(self) -> None:
        translation = translated(self.cells["cron_expression"], self.file.options.weekdays)
        self.cells["cron_expression"] = translation.expression
        if translation.reason:
            self.pause_reason = translation.reason
            self.warnings.append(translation.reason)

    def _pause_where_it_fires_differently(self) -> None:
        if self.pause_reason:
            self.validator.sent = {**self.validator.sent, "is_active": False}

    def _check_cron(self) -> None:
        self.validator.check_cron_expression()
        self.warnings += scheduling_options.warnings_of(self.cells["cron_expression"])

    def _check_team(self) -> None:
        self.file.plan_team(self.cells["pic_team"])
        try:
            self.validator.check_team()
        except DomainError as error:
            error.extra |= {"pic_team": self.written_team or None, "pic_team_slug": slugify(self.written_team) or None}
            raise

    def _check_name(self, seen: set[str]) -> None:
        name = self.cells["name"]
        reached = not self.faults
        if not name or not (self.cells["cron_expression"] or self.job):
            missing = "cron_expression" if name else "name"
            self.faults.append(
                DomainError("Missing required fields", "name and cron_expression are required.", field=missing)
            )
            reached = False
        if not name:
            return
        if name in seen or (not reached and self.file.names[name] > 1):
            which = "An earlier" if name in seen else "Another"
            message = f'{which} row is named "{name}", too.'
            self.faults.append(DomainError("Duplicate job name in CSV", message, field="name"))
        elif reached:
            seen.add(name)
        self._attempt(self._check_namesake)
        self.validator.values["name"] = name

    def _check_namesake(self) -> None:
        if self.namesake is None:
            return
        if not self.file.options.update_existing:
            raise error_texts.duplicate_name(self.namesake.name, self.validator.texts)
        if self.file.by is not None and not self.namesake.may_be_changed_by(self.file.by):
            raise error_texts.not_yours("update")

    def _check_target(self) -> None:
        validator = self.validator
        is_known = self.target is not None and self._attempt(validator.check_target_url)
        if validator.values.get("target_url"):
            validator.values |= dict.fromkeys(GITHUB_FIELDS)
        elif is_known:
            is_known = self._attempt(validator.check_github_fields)
        if "name" in validator.values:
            self._attempt(validator.check_name_length)
        if is_known and self._attempt(self._check_owner):
            validator.fill_owner()
            self._attempt(validator.check_target)

    def _check_owner(self) -> None:
        owner, repository, workflow = (self.validator.outcome(name) or "" for name in GITHUB_FIELDS)
        has_owner = owner or self.file.rules.default_owner
        if not self.validator.outcome("target_url") and (repository or workflow) and not has_owner:
            message = 'Provide "github_owner" column or default_github_owner.'
            raise DomainError("Missing GitHub owner", message, field="github_owner")

    def _check_options(self) -> None:
        before = len(self.faults)
        if self._attempt(self.validator.check_options):
            return
        # Which ones are wrong is looked up only where one is.
        del self.faults[before:]
        sent = self.validator.sent
        for name in OPTION_FIELDS:
            self._attempt(partial(scheduling_options.read_option, sent, name))
        for name in CELL_FIELDS:
            if name in sent:
                self._attempt(partial(request_options.changed, {name: sent[name]}, stored={}, encrypted=None))


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
