"""Jobs: what each becomes here, and why some come in paused."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from audit.services import record_all
from cronsched.lib.errors import DomainError
from cronsched.lib.input import addresses
from jobs import cron
from jobs.definitions import error_texts, request_options, revisions
from jobs.definitions.github_names import GITHUB_FIELDS, check_github_name
from jobs.definitions.validation import MAX_NAME_LENGTH, MAX_URL_LENGTH, JobValidator, check_metadata_size
from jobs.importing.legacy import labels, values
from jobs.importing.legacy.accounts import USERS
from jobs.importing.legacy.source import Row
from jobs.importing.legacy.state import ImportState
from jobs.importing.legacy.tables import LegacyJob
from jobs.importing.weekdays import NEVER_RAN, Weekdays, translated
from jobs.models import Job, JobPause
from jobs.schedule.reschedule import next_fire
from taxonomy.models import PicTeam

JOBS = "jobs"
# One for all imports, so that what a broken-off one has paused is resumed together with the rest.
BATCH_ID = uuid5(values.NAMESPACE, "paused by the import")
BY = "import_legacy"
UNTIL_RESUMED = "Imported from the older service. Resume it when the older scheduler has stopped."
WAS_DISABLED = "It was disabled in the older service."
PAST_END = "Its end date has passed."
NO_TARGET = "It has neither a URL nor a complete GitHub workflow."
NO_TEAM = "It has no team: the one of --default-team."
NO_END_DATE = "It has no readable end date: the one of --default-end-date."
SECRET_KEY = re.compile(r"token|secret|passw|api_?key|credential", re.IGNORECASE)
SEPARATORS = re.compile(r"[,;\s]+")
MAX_REASON = 500
GITHUB_LIMIT = 255


def import_jobs(state: ImportState) -> None:
    known = set(Job.objects.values_list("pk", flat=True))
    names = set(Job.objects.values_list("name", flat=True))
    state.report.batch_id = str(BATCH_ID)
    for chunk in state.chunks(state.source.rows(LegacyJob)):
        new = [converted for row in chunk if (converted := _job(state, row, known, names))]
        with state.transaction():
            state.insert([job for job, _ in new])
            state.insert([pause for _, pause in new if pause])
            if not state.options.dry_run:
                _record(state, [job for job, _ in new])


def _record(state: ImportState, jobs: list[Job]) -> None:
    slugs = revisions.all_slugs()
    entries = []
    for job in jobs:
        changes = revisions.differences(revisions.NOTHING, revisions.definition_of(job), slugs=slugs)
        entries.append(revisions.entry(job, "created", changes, reason="Imported from the older service."))
    record_all(entries, by=None, now=state.now)


def _job(state: ImportState, row: Row, known: set[UUID], names: set[str]) -> tuple[Job, JobPause | None] | None:
    """Return the job that a row becomes, with its pause; None where it is here already, or is not to come in."""
    count = state.begin_row(JOBS)
    key, name = values.identity(JOBS, row["id"]), values.text(row["name"])
    if key is None:
        state.leave_out(JOBS, "", name, "The row has no id.")
        return None
    if key in known:
        state.jobs.add(key)
        count.present += 1
        return None
    if str(key) in state.deleted:
        state.leave_out(JOBS, key, name, "The job has been deleted here since it was imported.")
        return None
    team = labels.team_of(state, values.text(row["pic_team"]))
    if team is None and not state.options.dry_run:
        state.leave_out(JOBS, key, name, "It has no team.")
        return None
    conversion = Conversion(state, row, key, _name(state, key, name, names))
    known.add(key)
    state.jobs.add(key)
    count.imported += 1
    return conversion.job(team or PicTeam())


def _name(state: ImportState, key: UUID, written: str | None, names: set[str]) -> str:
    name = (written or f"Imported {key.hex[:8]}")[:MAX_NAME_LENGTH].strip()
    if name != written:
        state.note(JOBS, key, name, "The name is blank or too long: changed.", written)
    # MariaDB takes names that differ only by blanks at the end for the same; they are stripped already.
    if name in names:
        cut = name[: MAX_NAME_LENGTH - 8]
        name = next(text for n in range(2, 10**6) if (text := f"{cut} ({n})") not in names)
        state.note(JOBS, key, name, "Another job has this name: a number was added.", written)
    names.add(name)
    return name


@dataclass
class Conversion:
    """One row on its way. `reasons` say why it must come in paused, whatever the operator wishes for the others."""

    state: ImportState
    row: Row
    key: UUID
    name: str
    reasons: list[str] = field(default_factory=list)

    def note(self, decision: str, detail: object = "") -> None:
        self.state.note(JOBS, self.key, self.name, decision, detail)

    def text(self, column: str) -> str | None:
        return values.text(self.row[column])

    def job(self, team: PicTeam) -> tuple[Job, JobPause | None]:
        """Return the job and the pause it is in."""
        created_at = values.instant(self.row["created_at"]) or self.state.now
        if not (self.text("pic_team")):
            self.note(NO_TEAM)
        job = Job(
            id=self.key,
            name=self.name,
            cron_expression=self._cron_expression(),
            **self._target(),
            metadata=self._metadata(),
            category=labels.category_of(self.state, self.text("category")),
            pic_team=team,
            end_date=self._end_date(),
            **self._mail(),
            created_by_id=self._owner(),
            created_at=created_at,
            updated_at=values.instant(self.row["updated_at"]) or created_at,
            revision=1,
        )
        pause = self._pause(job)
        job.is_active = pause is None
        job.next_fire_at, job.schedule_error = next_fire(job, self.state.now)
        return job, pause

    def _pause(self, job: Job) -> JobPause | None:
        was_active = values.flag(self.row["is_active"], True)
        if was_active and job.end_date < self.state.rules.today:
            self.reasons.append(PAST_END)
        for reason in self.reasons:
            self.note(f"Comes in paused: {reason}", job.cron_expression)
        batch_id = None
        if was_active and not self.reasons:
            if self.state.options.activate:
                return None
            self.reasons.append(UNTIL_RESUMED)
            batch_id = BATCH_ID
        reason = " ".join([*([] if was_active else [WAS_DISABLED]), *self.reasons])[:MAX_REASON]
        return JobPause(job=job, began_at=self.state.now, by_name=BY, reason=reason, batch_id=batch_id)

    # --- When ---

    def _cron_expression(self) -> str:
        written = " ".join((self.text("cron_expression") or "").split())
        meant = self.state.options.weekdays or Weekdays.AS_WRITTEN
        translation = translated(written, meant)
        expression = translation.expression
        if expression != written:
            self.note("The weekday is written anew, so that it fires on the same days.", f"{written}: {expression}")
        if len(expression) > cron.MAX_LENGTH:
            self.note("The expression is too long: cut.", expression)
            self.reasons.append("Its expression was too long.")
            return expression[: cron.MAX_LENGTH]
        if translation.reason:
            self.reasons.append(translation.reason)
        elif problem := _unreadable(expression):
            self.reasons.append(
                NEVER_RAN if meant is Weekdays.AS_FIRED else f"Its expression cannot be read: {problem}"
            )
        return expression

    def _end_date(self) -> Any:
        found = values.day(self.row["end_date"])
        if found is None:
            self.note(NO_END_DATE, self.row["end_date"] or "")
            # In a dry run the question may still be open.
            return self.state.options.default_end_date or self.state.rules.today
        return found

    # --- What ---

    def _target(self) -> dict[str, Any]:
        validator = JobValidator({"target_url": self.text("target_url")}, error_texts.ROW, self.state.rules)
        github = dict(self._github())
        try:
            validator.check_target_url()
            found: dict[str, Any] = {**github, **validator.values}
        except DomainError as error:
            url = self.text("target_url") or ""
            found = {**github, "target_url": url[:MAX_URL_LENGTH]}
            self.note("The URL cannot be requested.", f"{error.message} {url}")
            if not all(github.values()):
                self.reasons.append("Its URL cannot be requested.")
        self._fill_owner(found)
        if not found["target_url"] and not all(found[name] for name in GITHUB_FIELDS):
            self.reasons.append(NO_TARGET)
        if validator.url_credentials:
            self.note("The URL's password is stored with the secrets and shown as ***.")
        return found | request_options.changed(
            {}, stored={}, encrypted=None, url=validator.url_credentials, url_changed=validator.url_changed
        )

    def _github(self) -> Iterator[tuple[str, str | None]]:
        for name in GITHUB_FIELDS:
            text = self.text(name)
            try:
                check_github_name(name, text or "")
            except DomainError as error:
                self.note(f"{name} is not as GitHub has it.", error.message)
                if not self.text("target_url"):
                    self.reasons.append(f"Its {name} is not as GitHub has it.")
            yield name, text[:GITHUB_LIMIT] if text else None

    def _fill_owner(self, found: dict[str, Any]) -> None:
        owner, repository, workflow = (found[name] for name in GITHUB_FIELDS)
        if found["target_url"]:
            if any((owner, repository, workflow)) and not all((owner, repository, workflow)):
                self.note("The GitHub fields are incomplete: it stays a webhook.")
        elif repository and workflow and not owner and self.state.rules.default_owner:
            found["github_owner"] = self.state.rules.default_owner
            self.note("No GitHub owner: the one of DEFAULT_GITHUB_OWNER.")

    def _metadata(self) -> dict[str, Any]:
        written = self.row["metadata"]
        if self.text("metadata") is None:
            return {}
        metadata = values.document(written)
        if metadata is None and self.text("metadata") == "null":
            return {}
        if not isinstance(metadata, dict):
            self.note("The metadata is no JSON object: blank here.", written)
            return {}
        if names := [name for name in metadata if SECRET_KEY.search(name)]:
            self.note("The metadata seems to hold a secret: move it to secret_headers.", ", ".join(names))
        try:
            return check_metadata_size(metadata)
        except DomainError as error:
            self.note("The metadata is kept, but has to become shorter at its next change.", error.message)
            return metadata

    # --- For whom ---

    def _mail(self) -> dict[str, Any]:
        enabled = values.flag(self.row["enable_email_notifications"], False)
        found = self._addresses()
        if found and not enabled:
            self.note("Mails are off: its addresses are not kept.", ", ".join(found))
        return {
            "enable_email_notifications": enabled,
            "notification_emails": found if enabled else [],
            "notify_on_success": enabled and values.flag(self.row["notify_on_success"], False),
        }

    def _addresses(self) -> list[str]:
        written = self.text("notification_emails") or ""
        listed = values.document(written) if written.startswith("[") else None
        items = [str(item).strip() for item in listed] if isinstance(listed, list) else SEPARATORS.split(written)
        given = list(dict.fromkeys(item for item in items if item))
        good = [item for item in given if addresses.is_address(item)]
        if bad := [item for item in given if item not in good]:
            self.note("Some of its e-mail addresses are none: left out.", ", ".join(bad))
        if len(good) > addresses.MAX_ADDRESSES:
            self.note("More e-mail addresses than a job may have: the first ones are kept.", ", ".join(good))
        return good[: addresses.MAX_ADDRESSES]

    def _owner(self) -> UUID | None:
        if self.text("created_by") is None:
            return None
        owner = self.state.accounts.get(values.identity(USERS, self.row["created_by"]) or UUID(int=0))
        if owner is None:
            self.note("Its owner is no account: it comes in without an owner.", self.row["created_by"])
        return owner


def _unreadable(expression: str) -> str:
    try:
        cron.parse(expression)
    except cron.CronError as error:
        return str(error)
    return ""
