"""Write what a file says: the good rows of one upload are committed together (contract, section 10)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.models import User
from audit.services import Entry, record_all
from cronsched.lib.db import batches
from cronsched.lib.db.deadlocks import retried
from cronsched.lib.errors import Conflict
from jobs.definitions import quota, revisions
from jobs.definitions.revisions import Definition
from jobs.definitions.validation import Rules, local_date
from jobs.importing import bulk
from jobs.importing.csv_file import Table
from jobs.importing.file_options import FileOptions
from jobs.importing.report import Report, imported_item, preview_item, report
from jobs.importing.rows import RowResult, RowValidator
from jobs.models import Job
from jobs.schedule import pauses
from jobs.schedule.pauses import Terms
from jobs.schedule.reschedule import next_fire, reschedule_all
from taxonomy.models import PicTeam
from taxonomy.services import create_label

# Another upload may take a name between our check and our insert; then the check is repeated.
ATTEMPTS = 10
MAX_REASON = 500


def import_jobs(
    table: Table,
    *,
    by: User | None,
    now: datetime,
    options: FileOptions | None = None,
    dry_run: bool = False,
    on_row: Callable[[], None] = lambda: None,
) -> Report:
    """Create, or with `update_existing` also change, the jobs of a file. Sends no notice.

    Bad rows are reported and left out, the good ones are committed together. `by` None is the operator at the console:
    the jobs have no owner, and every job may be changed. `on_row` is called after each row.
    """
    options = options or FileOptions()
    owner = options.default_owner or settings.DEFAULT_GITHUB_OWNER
    existing = _jobs_named(table.names, Job.objects.select_related("category", "pic_team"))
    validator = RowValidator(Rules(local_date(now), owner), existing, by, options, Counter(table.names))
    results = []
    for row in table.rows:
        results.append(validator.validate(row))
        on_row()
    quota.check(by, sum(result.is_new for result in results))
    jobs: list[Job] = []
    if not dry_run:
        results, jobs = _commit(validator, results, now)
    return report(
        table,
        results,
        [preview_item(result) for result in results if result.is_good]
        if dry_run
        else [imported_item(job) for job in jobs],
        changed=sum(result.is_changed for result in results),
        created_teams=[team.slug for team in _used(validator.planned_teams, results)],
        dry_run=dry_run,
    )


def _jobs_named(names: Iterable[str], jobs: QuerySet[Job]) -> dict[str, Job]:
    return jobs.in_bulk(list(names), field_name="name")


def _commit(validator: RowValidator, results: Sequence[RowResult], now: datetime) -> tuple[list[RowResult], list[Job]]:
    """Write the good rows in one transaction; return what became of all rows, and the good ones' jobs."""
    # Built before the transaction: on SQLite no other connection can write while it lasts.
    built = {result.row.number: _new_job(result, validator.by, now) for result in results if result.is_new}
    for _ in range(ATTEMPTS):
        try:
            return _write(validator, results, built, now)
        except IntegrityError:
            # Another transaction took a name between our check and our insert; the next check finds it. Where the
            # uploading account was deleted, trying again does not help.
            if validator.by is not None and not User.objects.filter(pk=validator.by.pk).exists():
                raise
    raise Conflict("Conflict", "Others are changing the same jobs all the time. Try again.")


@retried
def _write(
    validator: RowValidator, results: Sequence[RowResult], built: Mapping[int, Job], now: datetime
) -> tuple[list[RowResult], list[Job]]:
    with transaction.atomic():
        current = list(_as_things_are(validator, results))
        teams = _made(_used(validator.planned_teams, current), validator.by, now)
        return current, _store([result for result in current if result.is_good], built, teams, validator.by, now)


def _used(planned: Mapping[str, PicTeam], results: Iterable[RowResult]) -> list[PicTeam]:
    """Return the planned teams that good rows name, in the order of the file."""
    if not planned:
        return []
    named = {team.pk for result in results if (team := (result.values or {}).get("pic_team"))}
    return [team for team in planned.values() if team.pk in named]


def _made(planned: Sequence[PicTeam], by: User | None, now: datetime) -> dict[UUID, PicTeam]:
    """Create the planned teams; return them by the key that was planned. One that is there meanwhile is taken."""
    made = {}
    for team in planned:
        there = PicTeam.objects.filter(slug=team.slug).first()
        fields = {"name": team.name, "slug": team.slug, "slack_handle": team.slack_handle}
        made[team.pk] = there or create_label(PicTeam, fields, by=by, now=now)
    return made


def _new_job(result: RowResult, by: User | None, now: datetime) -> Job:
    # A microsecond apart, so that lists by age keep the order of the file.
    job = Job(created_by=by, created_at=now + timedelta(microseconds=result.row.number))
    _assign(job, result)
    job.next_fire_at, job.schedule_error = next_fire(job, now)
    return job


def _assign(job: Job, result: RowResult) -> None:
    for name, value in (result.values or {}).items():
        setattr(job, name, value)


def _as_things_are(validator: RowValidator, results: Sequence[RowResult]) -> Iterator[RowResult]:
    """Validate those rows again whose job appeared, changed or vanished meanwhile, and lock the jobs of the others."""
    names = [result.row.cells["name"] for result in results if result.is_good]
    known = [job.pk for job in _jobs_named(names, Job.objects.only("name")).values()]
    # In the order of the keys, so that two uploads of the same jobs do not deadlock.
    held = batches.locked(Job.objects.filter(pk__in=known).order_by("pk"), skip=False)
    stored = {job.name: job for job in held}
    for result in results:
        job = stored.get(result.row.cells["name"])
        if not result.is_good:
            yield result
        elif _stamp(job) == _stamp(result.job):
            # The row that is held: its fire time may have moved on.
            yield replace(result, job=job)
        else:
            yield validator.validate_again(result.row, stored)


def _stamp(job: Job | None) -> tuple[UUID, datetime] | None:
    return (job.pk, job.updated_at) if job else None


def _store(
    good: Sequence[RowResult],
    built: Mapping[int, Job],
    teams: Mapping[UUID, PicTeam],
    by: User | None,
    now: datetime,
) -> list[Job]:
    """Insert the new jobs and write the changed ones back; return the jobs of all good rows in their order."""
    new, changed, in_order, entries = [], [], [], []
    moves = Pauses(by, now)
    slugs = revisions.all_slugs()
    for result in good:
        job, before = result.job, revisions.NOTHING
        if job is None:
            job = built.get(result.row.number) or _new_job(result, by, now)
            new.append(job)
        elif result.is_changed:
            before = revisions.definition_of(job)
            _assign(job, result)
            changed.append(job)
        in_order.append(job)
        if result.job is None or result.is_changed:
            job.pic_team = teams.get(job.pic_team_id, job.pic_team)
            entries.append(_entry(job, before, slugs))
            moves.add(job, was_active=before.plain.get("is_active", True), reason=result.pause_reason)
    reschedule_all(changed, now=now)
    bulk.insert(new)
    bulk.update(changed)
    moves.write()
    record_all([entry for entry in entries if entry], by=by, now=now)
    return in_order


@dataclass
class Pauses:
    """Which jobs a file pauses, by reason, and which it resumes."""

    by: User | None
    now: datetime
    begun: defaultdict[str, list[Job]] = field(default_factory=lambda: defaultdict(list))
    ended: list[Job] = field(default_factory=list)

    def add(self, job: Job, *, was_active: bool, reason: str) -> None:
        if was_active and not job.is_active:
            self.begun[reason].append(job)
        elif job.is_active and not was_active:
            self.ended.append(job)

    def write(self) -> None:
        for reason, jobs in self.begun.items():
            pauses.begin(jobs, Terms(reason=reason[:MAX_REASON]), by=self.by, now=self.now)
        for job in self.ended:
            pauses.end(job, by=self.by, now=self.now)


def _entry(job: Job, before: Definition, slugs: Mapping[UUID, str]) -> Entry | None:
    """Count the revision of a job that a file creates or changes, and return its entry in the audit trail."""
    changes = revisions.differences(before, revisions.definition_of(job), slugs=slugs)
    if not changes:
        return None
    job.revision += 1
    return revisions.entry(job, "created" if before is revisions.NOTHING else "updated", changes)
