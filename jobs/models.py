"""Jobs, their executions and the lease row of the scheduler. Querysets hold queries, models facts about their row."""

import uuid
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from accounts.models import User
from cronsched.lib.ids import uuid7
from taxonomy.models import JobCategory, PicTeam

HOUR = 3600
DAY = 24 * HOUR
# Conclusions of a GitHub run that need no attention.
GOOD_CONCLUSIONS = ("success", "neutral", "skipped")
# Before the token that stands for a URL with a password, in the overrides of a run.
ENCRYPTED = "encrypted:"


class CatchUp(models.TextChoices):
    """What is run of the fire times that passed while no scheduler could fire them."""

    LATEST = "latest", "Latest: one late run for all that was missed"
    ALL = "all", "All: every fire time within the misfire grace time"
    NONE = "none", "None: nothing late is run"


class Overlap(models.TextChoices):
    """What happens at a fire time while an earlier execution of the job is still going."""

    ALLOW = "allow", "Allow: run beside it"
    SKIP = "skip", "Skip: record the fire time as skipped"
    QUEUE = "queue", "Queue: run when the earlier one has ended"


class RetryOn(models.TextChoices):
    """After which outcomes another attempt is made, where the job asks for attempts."""

    TEMPORARY = "temporary", "Temporary failures: no answer, 408, 425, 429, 5xx, right status with the wrong text"
    UNSENT = "unsent", "Only what certainly did not reach the target"
    ANY = "any", "Every failure"


class OnResume(models.TextChoices):
    """Which of the runs that a pause kept back are made up for when it ends."""

    SKIP = "skip", "Skip: none of them is run"
    LAST = "last", "Last: the latest of them is run"
    ALL = "all", "All: each of them is run"


class JobQuerySet(models.QuerySet["Job"]):
    def active(self) -> Self:
        return self.filter(is_active=True)

    def scheduled(self) -> Self:
        """Those that will fire: active, computable and with a fire time to come."""
        return self.filter(next_fire_at__isnull=False)

    def unschedulable(self) -> Self:
        """Active ones whose fire times cannot be computed; `schedule_error` says why."""
        # A job that is scheduled has no error; the index skips those.
        return self.active().filter(next_fire_at=None).exclude(schedule_error="")

    def due(self, now: datetime) -> Self:
        return self.filter(next_fire_at__lte=now).order_by("next_fire_at", "id")

    def with_last_execution(self, **columns: str) -> Self:
        """Add columns of the newest execution that was sent: `last_status="status"`.

        Walks the index over (job, started_at), so its cost does not grow with the history.
        """
        sent = JobExecution.objects.filter(job=OuterRef("pk")).exclude(status__in=NEVER_SENT_STATUSES)
        newest = sent.newest_first()
        return self.annotate(**{name: Subquery(newest.values(column)[:1]) for name, column in columns.items()})


class Job(models.Model):
    """A definition: when to fire (expression, zone, end date), what (target, metadata), whose it is."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255, unique=True)
    cron_expression = models.CharField(max_length=100)
    target_url = models.CharField(max_length=500, null=True, blank=True)
    github_owner = models.CharField(max_length=255, null=True, blank=True)
    github_repo = models.CharField(max_length=255, null=True, blank=True)
    github_workflow_name = models.CharField(max_length=255, null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    category = models.ForeignKey(JobCategory, on_delete=models.PROTECT, related_name="jobs")
    pic_team = models.ForeignKey(PicTeam, on_delete=models.PROTECT, related_name="jobs", verbose_name="PIC team")
    end_date = models.DateField()
    enable_email_notifications = models.BooleanField(default=False)
    notification_emails = models.JSONField(default=list, blank=True)
    notify_on_success = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="jobs", verbose_name="owner"
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    # How to schedule. The defaults are what jobs of the older service did.
    timezone = models.CharField(
        max_length=64, null=True, blank=True, help_text="IANA zone the expression is read in; blank: the scheduler's."
    )
    misfire_grace_seconds = models.PositiveIntegerField(
        default=HOUR,
        validators=[MaxValueValidator(7 * DAY)],
        help_text="How late a run may still start, in seconds.",
    )
    catch_up = models.CharField(max_length=10, choices=CatchUp, default=CatchUp.LATEST)
    overlap = models.CharField(max_length=10, choices=Overlap, default=Overlap.ALLOW)
    timeout_seconds = models.PositiveIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(HOUR)],
        help_text="Seconds the whole request may take.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text="1 never sends anything twice.",
    )
    backoff_seconds = models.PositiveIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(DAY)],
        help_text="Wait before the second attempt; doubles with each further one.",
    )
    spread_seconds = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(HOUR)],
        help_text="Start at a fixed point of this job's own within so many seconds of each fire time.",
    )

    pause_after_failures = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(1000)],
        help_text="Pause the job, with a notice, after so many failures in a row. Blank or 0: never.",
    )
    track_run = models.BooleanField(
        null=True,
        blank=True,
        verbose_name="follow GitHub runs",
        help_text="Follow the workflow's run to its end and tell how it ended. Blank: as the server is set up.",
    )
    # What a request has besides target and metadata, by the names of the API; what is not in it is as by default
    # (`jobs.definitions.request_options`). Most jobs have none of it, so that it is one column and not ten.
    request_options = models.JSONField(default=dict, blank=True, editable=False)
    # The secrets that go with it, encrypted (`jobs.definitions.request_options.Secrets`). The column keeps its older
    # name: two releases run side by side on one database.
    encrypted_secrets = models.TextField(null=True, blank=True, editable=False, db_column="sealed_secrets")
    # What the last check of the target found: a list of findings; null before the first.
    target_findings = models.JSONField(null=True, blank=True, editable=False)
    target_checked_at = models.DateTimeField(null=True, blank=True, editable=False)

    # When a failing job sends alerts. Blank: as its category says.
    notify_after_failures = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Alert from so many failures in a row on. Blank: as the category says.",
    )
    notify_on_recovery = models.BooleanField(
        null=True, blank=True, help_text="Tell when it succeeds again. Blank: as the category says."
    )
    remind_every_hours = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(7 * 24)],
        help_text="While it keeps failing, alert only every so many hours; 0 alerts at each failure."
        " Blank: as the category says.",
    )

    # Set if and only if the job is active, unexpired and computable. Nothing else says when it is due.
    next_fire_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Why `next_fire_at` cannot be computed; blank otherwise.
    schedule_error = models.CharField(max_length=500, blank=True, default="", editable=False)
    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)
    # Counts the changes of the definition: the newest revision in the audit trail, and the entity tag of the API.
    revision = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    # For a change of the key of all stored secrets.
    encrypted_columns = ("encrypted_secrets",)

    objects = JobQuerySet.as_manager()

    class Meta:
        db_table = "jobs"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["next_fire_at", "id"], name="jobs_due"),
            models.Index(fields=["-created_at", "-id"], name="jobs_newest"),
            models.Index(fields=["is_active", "end_date"], name="jobs_ending"),
        ]
        constraints = [
            models.CheckConstraint(
                name="jobs_inactive_is_unscheduled", condition=Q(is_active=True) | Q(next_fire_at__isnull=True)
            ),
            models.CheckConstraint(name="jobs_catch_up_known", condition=Q(catch_up__in=CatchUp.values)),
            models.CheckConstraint(name="jobs_overlap_known", condition=Q(overlap__in=Overlap.values)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zone_name(self) -> str:
        """The IANA zone the expression is read in."""
        return self.timezone or settings.SCHEDULER_TIMEZONE

    @property
    def is_github(self) -> bool:
        """Whether all three GitHub fields are set; such a job is dispatched, whatever URL stands beside them."""
        return bool(self.github_owner and self.github_repo and self.github_workflow_name)

    def has_expired(self, local_date: date) -> bool:
        """Whether the end date lies before `local_date`; on the day itself the job still runs."""
        return self.end_date < local_date

    def belongs_to(self, user: User) -> bool:
        return self.created_by_id is not None and self.created_by_id == user.pk

    def may_be_changed_by(self, user: User) -> bool:
        return user.is_admin or (user.can_write and self.belongs_to(user))


class JobPause(models.Model):
    """One pause of a job: from when to when, by whom and why. The open one is the pause the job is in."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="pauses", db_index=False)
    began_at = models.DateTimeField()
    by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # Kept when the account is gone; "scheduler" where no account asked for the pause.
    by_name = models.CharField(max_length=255)
    reason = models.CharField(max_length=500, blank=True, default="")
    # When the leader resumes the job by itself; null: a person has to.
    until = models.DateTimeField(null=True, blank=True)
    on_resume = models.CharField(max_length=4, choices=OnResume, default=OnResume.SKIP)
    # What one bulk act has paused.
    batch_id = models.UUIDField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by_name = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        db_table = "job_pauses"
        ordering = ["-began_at", "-id"]
        indexes = [
            models.Index(fields=["job", "-began_at", "-id"], name="pauses_of_job"),
            models.Index(fields=["ended_at", "until"], name="pauses_running_out"),
            models.Index(fields=["batch_id"], name="pauses_of_batch"),
        ]

    def __str__(self) -> str:
        return f"paused by {self.by_name} at {self.began_at:%Y-%m-%d %H:%M:%S}Z"


class JobRenewal(models.Model):
    """One extension of a job's end date: by whom, how far and why."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="renewals")
    old_end_date = models.DateField()
    new_end_date = models.DateField()
    reason = models.CharField(max_length=500)
    # The account that asked; null for the signed link, which names the address it was mailed to.
    renewed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    renewed_by_address = models.EmailField(max_length=254, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "job_renewals"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.old_end_date} to {self.new_end_date}"


class Status(models.TextChoices):
    """How far an execution is. The first two are open, the rest final (`unknown` may still be corrected)."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCESS = "success", "Success"
    FAILED = "failed", "Failed"
    MISSED = "missed", "Missed"
    SKIPPED = "skipped", "Skipped"
    UNKNOWN = "unknown", "Unknown"


OPEN_STATUSES = (Status.QUEUED, Status.RUNNING)
# These were never sent, so they are no "last execution" of a job.
NEVER_SENT_STATUSES = (Status.MISSED, Status.SKIPPED)


class TriggerType(models.TextChoices):
    SCHEDULED = "scheduled", "Scheduled"
    MANUAL = "manual", "Manual"


class ExecutionType(models.TextChoices):
    WEBHOOK = "webhook", "Webhook"
    GITHUB_ACTIONS = "github_actions", "GitHub Actions"


class ExecutionQuerySet(models.QuerySet["JobExecution"]):
    def newest_first(self) -> Self:
        return self.order_by("-started_at", "-id")

    def open(self) -> Self:
        return self.filter(status__in=OPEN_STATUSES)


class JobExecution(models.Model):
    """One fire time or one manual run of a job, and its outcome."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Several indexes begin with it: none of its own.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="executions", db_index=False)
    status = models.CharField(max_length=10, choices=Status)
    trigger_type = models.CharField(max_length=10, choices=TriggerType)
    execution_type = models.CharField(max_length=20, choices=ExecutionType, null=True, blank=True)
    target = models.CharField(max_length=500, null=True, blank=True)

    # The fire time (UTC, whole minutes); null for manual runs.
    scheduled_for = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField()
    # When the (first) request left; until then the time of insertion, so that lists have one order.
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)

    response_status = models.PositiveIntegerField(null=True, blank=True)
    error_message = models.TextField(null=True, blank=True)
    output = models.TextField(null=True, blank=True)
    # Why it did not run, or why the outcome is unknown: for missed, skipped and unknown.
    reason = models.CharField(max_length=500, null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=1)
    # What became of the attempts before the current one.
    earlier_attempts = models.JSONField(default=list, blank=True)
    # What was sent, never with a secret; what is long in it stands once for all runs that sent the same
    # (`jobs.history.snapshots`). No foreign key: nothing is looked up from there to here.
    request_snapshot = models.JSONField(null=True, blank=True)
    shared_request_id = models.UUIDField(null=True, blank=True, editable=False)
    # Overrides of a manual run, with the password of a URL encrypted; null for "as stored".
    overrides = models.JSONField(null=True, blank=True)
    # GitHub run id, address and the like: facts the target gave back.
    details = models.JSONField(default=dict, blank=True)
    # For one row that stands for many missed fire times: the first of them and how many.
    missed_from = models.DateTimeField(null=True, blank=True)
    missed_count = models.PositiveIntegerField(null=True, blank=True)

    # Who may write the outcome of the current attempt, and until when it must be there.
    sender = models.UUIDField(null=True, blank=True, editable=False)
    deadline_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When it is planned to be sent: its place in the spread, the next attempt, or its turn at GitHub. A queued row is
    # not sent before. Kept afterwards, so that the plan stands beside `started_at`.
    not_before = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ExecutionQuerySet.as_manager()

    # For a change of the key of all stored secrets: where the token is in the JSON, and how its text begins.
    encrypted_in_json: ClassVar = {"overrides": ("target_url", ENCRYPTED)}

    class Meta:
        db_table = "job_executions"
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["job", "scheduled_for"], name="executions_one_per_fire_time"),
            models.CheckConstraint(name="executions_status_known", condition=Q(status__in=Status.values)),
            models.CheckConstraint(name="executions_trigger_known", condition=Q(trigger_type__in=TriggerType.values)),
        ]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="executions_newest"),
            models.Index(fields=["job", "-started_at", "-id"], name="executions_of_job"),
            models.Index(fields=["status", "-started_at", "-id"], name="executions_of_status"),
            # Whether a run of a job is still open is asked at each claim where runs may not overlap: that must not
            # take longer with a longer history.
            models.Index(fields=["job", "status", "-started_at", "-id"], name="executions_of_job_by_status"),
            # Manual runs are few among many. On MariaDB, which has no conditions, the trigger is its first column.
            models.Index(fields=["-started_at", "-id"], name="executions_manual", condition=Q(scheduled_for=None)),
        ]

    def __str__(self) -> str:
        # Written into logs and titles: not worth a query.
        job = self.job if JobExecution.job.is_cached(self) else self.job_id
        return f"{job} at {timezone.localtime(self.scheduled_for or self.queued_at):%Y-%m-%d %H:%M:%S}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def planned_at(self) -> datetime | None:
        """When it was to be sent: later than the fire time for its place in the spread, a retry or a turn at GitHub."""
        return self.not_before or self.scheduled_for

    @property
    def github_run(self) -> "GitHubRun | None":
        """The run it started, None where it started none or nothing is known of it."""
        return getattr(self, "run", None) if self.execution_type == ExecutionType.GITHUB_ACTIONS else None

    @property
    def lateness_seconds(self) -> float | None:
        """Seconds from the fire time to the first request; None for manual runs and rows that never left."""
        if self.scheduled_for is None or self.status in (Status.QUEUED, *NEVER_SENT_STATUSES):
            return None
        return (self.started_at - self.scheduled_for).total_seconds()


class SharedRequest(models.Model):
    """What runs of one job sent alike: headers, body or inputs, where they are long (`jobs.history.snapshots`)."""

    # Follows from job and content.
    id = models.UUIDField(primary_key=True, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")
    # The latest day (UTC) on which a run was started with it.
    last_used_on = models.DateField(db_index=True)
    content = models.JSONField()

    class Meta:
        db_table = "job_shared_requests"

    def __str__(self) -> str:
        return str(self.pk)


class Tracking(models.TextChoices):
    """How far we are with a GitHub run; what GitHub says about it is its `status` and `conclusion`."""

    NOT_FOLLOWED = "not_followed", "Not followed"
    FOLLOWED = "followed", "Followed"
    CONCLUDED = "concluded", "Concluded"
    LOST = "lost", "Lost: it cannot be found or seen any more"
    GIVEN_UP = "given_up", "Given up: it took too long"


class GitHubRun(models.Model):
    """The workflow run that an execution started, as far as GitHub told. A table of its own: most executions have none.

    The row is all that following a run needs, so that any leader can go on with it.
    """

    execution = models.OneToOneField(JobExecution, on_delete=models.CASCADE, primary_key=True, related_name="run")
    # `owner/name` in lower case, as GitHub compares them.
    repository = models.CharField(max_length=511)
    # Null while GitHub has not said which one it is (older Enterprise servers do not).
    run_id = models.BigIntegerField(null=True, blank=True)
    url = models.CharField(max_length=500, blank=True, default="")
    status = models.CharField(max_length=50, blank=True, default="")
    conclusion = models.CharField(max_length=50, blank=True, default="")
    # Grows when the run is run again under the same id.
    attempt = models.PositiveIntegerField(default=1)
    failed_job = models.CharField(max_length=500, blank=True, default="")
    failed_step = models.CharField(max_length=500, blank=True, default="")
    concluded_at = models.DateTimeField(null=True, blank=True)

    tracking = models.CharField(max_length=12, choices=Tracking, default=Tracking.NOT_FOLLOWED)
    # Whether mails, alarms and the count of failures wait for the run's end instead of taking the dispatch for it.
    decides = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    # Set while it is followed: when to look again, and until when at all.
    next_poll_at = models.DateTimeField(null=True, blank=True)
    follow_until = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    polls = models.PositiveIntegerField(default=0)
    etag = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        db_table = "github_runs"
        verbose_name = "GitHub run"
        indexes = [
            models.Index(fields=["next_poll_at"], name="github_runs_polls"),
            models.Index(fields=["tracking"], name="github_runs_tracked"),
            models.Index(fields=["run_id"], name="github_runs_of_id"),
            models.Index(fields=["repository", "created_at"], name="github_runs_of_repository"),
        ]
        constraints = [
            # Any number of rows do not know theirs.
            models.UniqueConstraint(fields=["repository", "run_id"], name="github_runs_one_execution_each"),
            models.CheckConstraint(
                name="github_runs_polled_if_followed",
                condition=Q(tracking=Tracking.FOLLOWED) | Q(next_poll_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.repository} {self.run_id or '?'}: {self.conclusion or self.status or 'unknown'}"


class RateLimitBucket(models.Model):
    """The rate limit of one credential at GitHub, shared by all processes: what left lately, and how long to wait."""

    # Names the credential without giving it away.
    name = models.CharField(max_length=100, primary_key=True)
    # When the latest dispatches left, as seconds since 1970, oldest first; as many as the widest limit counts.
    sent = models.JSONField(default=list)
    # GitHub asked for no calls until then, so many times in a row.
    blocked_until = models.DateTimeField(null=True, blank=True)
    refusals = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "github_lanes"
        verbose_name = "rate limit bucket"

    def __str__(self) -> str:
        return self.name


class DailyCount(models.Model):
    """How many executions of one kind ended and when they had started: one day (UTC), one job or all jobs.

    Counting a history row by row gets slower with each of them; these sums are kept up to date in the transaction that
    settles a row (`jobs.history.daily_counts`). Executions that are still open are not in here.
    """

    # No foreign key: the nil UUID stands for all jobs.
    job_key = models.UUIDField()
    day = models.DateField()
    status = models.CharField(max_length=10)
    trigger_type = models.CharField(max_length=10)
    # Blank where the execution has none.
    execution_type = models.CharField(max_length=20)
    count = models.BigIntegerField()
    # Of these, how many took a known time, and how long together.
    timed = models.BigIntegerField()
    seconds = models.FloatField()

    class Meta:
        db_table = "job_execution_days"
        constraints = [
            models.UniqueConstraint(
                name="execution_days_one_per_kind",
                fields=["job_key", "day", "status", "trigger_type", "execution_type"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.count} {self.status}"


class JobCount(models.Model):
    """How many executions of one kind of one job ended and are kept: the sum of its daily counts.

    Where many jobs are asked for, their days would be too many to add up for one answer.
    """

    # No foreign key, as in the daily counts: a row is forgotten with them.
    job_key = models.UUIDField()
    status = models.CharField(max_length=10)
    trigger_type = models.CharField(max_length=10)
    # Blank where the execution has none.
    execution_type = models.CharField(max_length=20)
    count = models.BigIntegerField()
    # Of these, how many took a known time, and how long together.
    timed = models.BigIntegerField()
    seconds = models.FloatField()

    class Meta:
        db_table = "job_execution_counts"
        constraints = [
            models.UniqueConstraint(
                name="execution_counts_one_per_kind", fields=["job_key", "status", "trigger_type", "execution_type"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_key}: {self.count} {self.status}"


class TotalSeries(models.TextChoices):
    """What an `ExecutionTotal` adds up."""

    ENDED = "ended", "Ended executions"
    LATENESS = "lateness", "Seconds from the fire time to the first request"
    DURATION = "duration", "Seconds from the first request to the outcome"


class ExecutionTotal(models.Model):
    """A counter for monitors that only ever grows (`jobs.history.totals`): what ended, by kind or by bucket."""

    series = models.CharField(max_length=10, choices=TotalSeries)
    # Blank where the series has no such label.
    status = models.CharField(max_length=10, blank=True)
    trigger_type = models.CharField(max_length=10, blank=True)
    execution_type = models.CharField(max_length=20, blank=True)
    # Upper bound of a histogram's bucket in seconds, as Prometheus writes it.
    bucket = models.CharField(max_length=12, blank=True)
    count = models.BigIntegerField()
    seconds = models.FloatField()

    class Meta:
        db_table = "execution_totals"
        constraints = [
            models.UniqueConstraint(
                name="execution_totals_one_per_kind",
                fields=["series", "status", "trigger_type", "execution_type", "bucket"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.series} {self.status or self.bucket}: {self.count}"


def empty_summary() -> dict[str, Any]:
    return {}


# A lease that was not renewed for so long may be taken over: its holder no longer leads.
LEASE_TTL = timedelta(seconds=15)


class SchedulerLease(models.Model):
    """The one row that says which process schedules. It also publishes what that process does."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    # Blank while no process leads.
    holder = models.CharField(max_length=255, blank=True, default="")
    # Grows by one with each change of holder; `seq` with each renewal.
    fence = models.BigIntegerField(default=0)
    seq = models.BigIntegerField(default=0)
    leading_since = models.DateTimeField(null=True, blank=True)
    renewed_at = models.DateTimeField(null=True, blank=True)
    # When the leader last had nothing left to claim.
    last_pass_at = models.DateTimeField(null=True, blank=True)

    scheduled_jobs = models.PositiveIntegerField(default=0)
    last_reconcile_at = models.DateTimeField(null=True, blank=True)
    last_reconcile = models.JSONField(default=empty_summary, blank=True)
    # When each chore with a cron expression was done last.
    chores_done = models.JSONField(default=empty_summary, blank=True)
    # A reconcile answers all requests counted before it began.
    resync_requested = models.BigIntegerField(default=0)
    resync_answered = models.BigIntegerField(default=0)
    # The leader has no free place and rows wait: standbys send them, too. The database has the default as well, because
    # an older release that inserts the row does not know the column.
    help_wanted = models.BooleanField(default=False, db_default=False)
    # Celery's workers should send, but the leader sends itself because the broker or all workers are away.
    sends_alone = models.BooleanField(default=False, db_default=False)

    class Meta:
        db_table = "scheduler_lease"
        constraints = [models.CheckConstraint(name="scheduler_lease_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return self.holder or "none"


class SenderKind(models.TextChoices):
    """What a sending process is: it leads, stands by, or works for a broker."""

    LOCAL = "local", "Leader"
    STANDBY = "standby", "Standby"
    CELERY = "celery", "Celery worker"


# A sender whose heartbeat is older counts as dead.
SENDER_DEAD_AFTER = timedelta(seconds=15)


class Sender(models.Model):
    """A process that sends, with its heartbeat (`jobs.scheduler.senders`). Its token is in the rows that it took."""

    token = models.UUIDField(primary_key=True, editable=False)
    host = models.CharField(max_length=255)
    kind = models.CharField(max_length=10, choices=SenderKind)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    in_flight = models.PositiveIntegerField(default=0)
    limit = models.PositiveIntegerField()
    # How long the HTTP client's loop leaves what is ready unhandled: the 99th percentile of its last turns.
    loop_delay_seconds = models.FloatField(default=0.0, db_default=0.0)

    class Meta:
        db_table = "senders"

    def __str__(self) -> str:
        return f"{self.kind} on {self.host}"
