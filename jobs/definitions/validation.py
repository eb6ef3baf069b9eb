"""Decide what a job definition may say: the one place for API, CSV rows and admin (contract, sections 6 and 10).

A `JobValidator` holds what was sent beside what is stored and is checked field by field, in the contract's order: the
first thing that is wrong is the answer. Create and update differ in some texts (`ErrorTexts`), rows of a CSV file in
the order as well. What comes out are values for the model's own fields; nothing is written here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings

from cronsched.lib.errors import DomainError
from cronsched.lib.http import RequestError
from cronsched.lib.http import urls as target_urls
from cronsched.lib.input import addresses, payload
from jobs.calendar import zone_label
from jobs.definitions import request_options
from jobs.definitions.error_texts import CREATE, UPDATE, ErrorTexts, duplicate_name
from jobs.definitions.github_names import GITHUB_FIELDS, check_github_name, read_shorthand
from jobs.definitions.scheduling_options import OPTION_FIELDS, check_cron, read_option
from jobs.definitions.url_credentials import UrlCredentials, is_marked, is_same_account, marked
from jobs.github import input_problems
from jobs.models import Job
from taxonomy.lookup import LabelIndex
from taxonomy.models import GENERAL_SLUG, JobCategory, PicTeam

REQUIRED_KEYS = ("name", "cron_expression", "end_date")
TARGET_FIELDS = ("target_url", *GITHUB_FIELDS)
MAX_NAME_LENGTH = 255
MAX_URL_LENGTH = 500
MAX_METADATA_BYTES = 64 * 1024
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
JOB_EXPIRED = "Job expired"

Values = dict[str, Any]


def for_create(sent: Mapping[str, Any], *, now: datetime) -> Values:
    """Return the fields of a new job. Raises `DomainError` for the first thing that is wrong."""
    missing = [key for key in REQUIRED_KEYS if key not in sent]
    if missing:
        raise DomainError("Missing required fields", field=missing[0], missing_fields=missing)
    return _checked(JobValidator(sent, CREATE, Rules(today=local_date(now))))


def for_update(job: Job, sent: Mapping[str, Any], *, now: datetime) -> Values:
    """Return the fields of `job` that the keys in `sent` decide. Raises `DomainError` for the first thing wrong."""
    return _checked(JobValidator(sent, UPDATE, Rules(today=local_date(now)), job))


def problems(sent: Mapping[str, Any], *, now: datetime, job: Job | None = None) -> list[DomainError]:
    """Return what is wrong with a new definition, or one of `job`, check by check: for a form, which shows all of it.

    A check that builds on another may complain, too, where that one failed; it then names the same field.
    """
    validator = JobValidator(sent, UPDATE if job else CREATE, Rules(today=local_date(now)), job)
    found = []
    for check in _CHECKS:
        try:
            check(validator)
        except DomainError as error:
            found.append(error)
    return found


def _checked(validator: "JobValidator") -> Values:
    for check in _CHECKS:
        check(validator)
    validator.forget_findings()
    return validator.values


# --- What a definition is judged against -----------------------------------------------------------------------------


def local_date(now: datetime) -> date:
    """Return the date in the scheduler's zone, which end dates are meant in."""
    return now.astimezone(ZoneInfo(settings.SCHEDULER_TIMEZONE)).date()


@dataclass
class Rules:
    """The day and what there is on it. Labels are read once, when first asked for."""

    today: date
    default_owner: str = field(default_factory=lambda: settings.DEFAULT_GITHUB_OWNER)

    @cached_property
    def categories(self) -> LabelIndex[JobCategory]:
        return LabelIndex(JobCategory.objects.all())

    @cached_property
    def teams(self) -> LabelIndex[PicTeam]:
        return LabelIndex(PicTeam.objects.all())


# --- The checks ------------------------------------------------------------------------------------------------------


@dataclass
class JobValidator:
    """A definition under examination: what was `sent`, the stored `job` it changes (None: a new one), what was found.

    For a new job an absent field counts as blank; for a stored one it is left alone.
    """

    sent: Mapping[str, Any]
    texts: ErrorTexts
    rules: Rules
    job: Job | None = None
    values: Values = field(default_factory=dict)
    # What the URL gave away, to be kept among the secrets; and whether that is decided anew.
    url_credentials: UrlCredentials | None = None
    url_changed: bool = False
    # For a row that is disabled; enabling the job later asks for a new date.
    accepts_past_end: bool = False

    def is_asked(self, *fields: str) -> bool:
        return self.job is None or any(name in self.sent for name in fields)

    def outcome(self, name: str) -> Any:
        """Return what the model's field `name` will hold."""
        return self.values[name] if name in self.values else getattr(self.job, name, None)

    def check_name(self) -> None:
        if not self.is_asked("name"):
            return
        name = payload.text(self.sent, "name")
        if name is None:
            raise DomainError("Job name cannot be empty", field="name")
        self.values["name"] = name
        self.check_name_length()

    def check_name_length(self) -> None:
        if len(self.values["name"]) > MAX_NAME_LENGTH:
            raise DomainError("Invalid name", f"Job name must be at most {MAX_NAME_LENGTH} characters.", field="name")

    def check_name_is_free(self) -> None:
        if "name" not in self.values:
            return
        namesakes = Job.objects.filter(name=self.values["name"])
        if self.job is not None:
            namesakes = namesakes.exclude(pk=self.job.pk)
        if namesakes.exists():
            raise duplicate_name(self.values["name"], self.texts)

    def check_cron_expression(self) -> None:
        if not self.is_asked("cron_expression"):
            return
        expression = payload.text(self.sent, "cron_expression") or ""
        check_cron(expression)
        self.values["cron_expression"] = expression

    def check_target_url(self) -> None:
        if not self.is_asked("target_url"):
            return
        text = payload.text(self.sent, "target_url")
        if text and (shorthand := read_shorthand(text)):
            self.values |= {**shorthand, "target_url": None}
            return
        if text:
            _check_url(text, self.texts)
        self.values["target_url"] = self._without_credentials(text)

    def _without_credentials(self, text: str | None) -> str | None:
        """Return the URL as it is stored, its credentials set apart. The mark means those that are kept already."""
        stored = self.job.target_url if self.job else None
        if is_marked(text):
            assert text
            if not is_same_account(text, stored):
                message = "target_url must give the password: none is stored for this user and host."
                raise _bad_target_url(message)
            return text
        self.url_credentials = UrlCredentials.of(text) if text else None
        self.url_changed = self.url_credentials is not None or is_marked(stored)
        return marked(text) if text and self.url_credentials else text

    def check_github_fields(self) -> None:
        for name in GITHUB_FIELDS:
            text = payload.text(self.sent, name)
            # owner/repo/workflow in place of the URL has named all three.
            if name not in self.values and self.is_asked(name):
                self.values[name] = text
            check_github_name(name, self.values.get(name) or "")

    def check_category(self) -> None:
        if not self.is_asked("category"):
            return
        category = self.rules.categories.find(payload.text(self.sent, "category") or GENERAL_SLUG)
        if category is None:
            message = "Unknown category. Create it in Settings → Categories first, or choose General."
            raise DomainError("Invalid category", message, field="category")
        self.values["category"] = category

    def check_metadata(self) -> None:
        if not self.is_asked("metadata"):
            return
        metadata = self.sent.get("metadata")
        if metadata is None:
            metadata = {}
        if not isinstance(metadata, dict):
            raise DomainError("Invalid metadata", "metadata must be a JSON object", field="metadata")
        self.values["metadata"] = check_metadata_size(metadata)

    def check_mail(self) -> None:
        """Check the three mail fields. While mails are off, no address and no wish is kept."""
        enabled = self._flag("enable_email_notifications")
        recipients = self._addresses()
        on_success = self._flag("notify_on_success")
        self.values |= {
            "enable_email_notifications": enabled,
            "notification_emails": recipients if enabled else [],
            "notify_on_success": enabled and on_success,
        }

    def _flag(self, name: str) -> bool:
        return payload.flag(self.sent, name, bool(self.outcome(name)))

    def _addresses(self) -> list[str]:
        name = "notification_emails"
        if name not in self.sent:
            return self.outcome(name) or []
        items = self.sent[name]
        if items is None and self.job is not None:
            return []
        if not isinstance(items, list):
            raise DomainError("Invalid notification_emails", "notification_emails must be a list", field=name)
        return addresses.checked(items, field=name)

    def check_end_date(self) -> None:
        if not self.is_asked("end_date"):
            return
        text = payload.text(self.sent, "end_date")
        if text is None:
            error, message = self.texts.no_end_date
            raise DomainError(error, message, field="end_date")
        end_date = read_date(text)
        if end_date is None:
            raise DomainError("Invalid end_date", "Invalid end_date. Use YYYY-MM-DD.", field="end_date")
        if end_date < self.rules.today and not self.accepts_past_end:
            message = f"end_date must be today or in the future ({zone_label(self.rules.today)})."
            raise DomainError("Invalid end_date", message, field="end_date")
        self.values["end_date"] = end_date

    def check_team(self) -> None:
        if not self.is_asked("pic_team", "pic_team_slug"):
            return
        text = payload.text(self.sent, "pic_team") or payload.text(self.sent, "pic_team_slug")
        if text is None:
            raise _bad_team("PIC team is required. Create one in Settings → PIC Teams.")
        team = self.rules.teams.find(text)
        if team is None:
            raise _bad_team("Unknown PIC team. Create it in Settings → PIC Teams first.")
        if not team.is_active:
            raise _bad_team("PIC team is disabled. Enable it in Settings → PIC Teams or choose another.")
        self.values["pic_team"] = team

    def check_activity(self) -> None:
        """Check `is_active` against the end date as it will be."""
        stored = True if self.job is None else self.job.is_active
        self.values["is_active"] = payload.flag(self.sent, "is_active", stored)
        end_date = self.outcome("end_date")
        if self.values["is_active"] and end_date is not None and end_date < self.rules.today:
            message = "Job cannot be enabled after end_date has passed. Update end_date first."
            raise DomainError(JOB_EXPIRED, message, field="is_active")

    def fill_owner(self) -> None:
        """Take the default owner where repository and workflow are all a job without a URL has."""
        owner, repository, workflow = (self.outcome(name) for name in GITHUB_FIELDS)
        if not self.outcome("target_url") and repository and workflow and not owner:
            self.values["github_owner"] = self.rules.default_owner or None

    def check_target(self) -> None:
        if not (self.outcome("target_url") or all(self.outcome(name) for name in GITHUB_FIELDS)):
            raise DomainError("Missing target configuration", self.texts.no_target, field="target_url")

    def check_inputs(self) -> None:
        """Check what a workflow would get as inputs against GitHub's limits, now and not at the first fire time."""
        if self.is_asked("metadata", *TARGET_FIELDS) and all(self.outcome(name) for name in GITHUB_FIELDS):
            # None where they were refused already.
            for problem in input_problems(self.outcome("metadata") or {}):
                raise DomainError("Invalid metadata", problem, field="metadata")

    def check_options(self) -> None:
        """Check how the job is scheduled and how its request is sent. Null and blank mean the default."""
        for name in OPTION_FIELDS:
            if self.is_asked(name):
                self.values[name] = read_option(self.sent, name)
        stored = self.job.request_options if self.job else {}
        encrypted = self.job.encrypted_secrets if self.job else None
        self.values |= request_options.changed(
            self.sent, stored=stored, encrypted=encrypted, url=self.url_credentials, url_changed=self.url_changed
        )

    def forget_findings(self) -> None:
        """Take back what a check found about a target that is another one now."""
        fields = ("metadata", *TARGET_FIELDS)
        if self.job is not None and any(self.outcome(name) != getattr(self.job, name) for name in fields):
            self.values |= {"target_findings": None, "target_checked_at": None}


# In the contract's order.
_CHECKS = (
    JobValidator.check_name,
    JobValidator.check_name_is_free,
    JobValidator.check_cron_expression,
    JobValidator.check_target_url,
    JobValidator.check_github_fields,
    JobValidator.check_category,
    JobValidator.check_metadata,
    JobValidator.check_mail,
    JobValidator.check_end_date,
    JobValidator.check_team,
    JobValidator.check_activity,
    JobValidator.fill_owner,
    JobValidator.check_target,
    JobValidator.check_inputs,
    JobValidator.check_options,
)


def read_date(text: str) -> date | None:
    """Return the date `text` writes as YYYY-MM-DD, None for anything else."""
    try:
        return date.fromisoformat(text) if DATE.fullmatch(text) else None
    except ValueError:
        return None


def check_metadata_size(metadata: dict[str, Any], title: str = "Invalid metadata") -> dict[str, Any]:
    """Return `metadata` if it is small enough to be read with every list of jobs. Raises `DomainError`."""
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    if size > MAX_METADATA_BYTES:
        message = f"metadata must be at most {MAX_METADATA_BYTES} bytes as JSON (64 KB); it has {size}."
        raise DomainError(title, message, field="metadata")
    return metadata


def _check_url(text: str, texts: ErrorTexts) -> None:
    if not _has_scheme_and_host(text):
        raise _bad_target_url(texts.bad_target_url)
    if len(text) > MAX_URL_LENGTH:
        raise _bad_target_url(f"target_url must be at most {MAX_URL_LENGTH} characters.")
    try:
        target_urls.parse(text)
    except RequestError as error:
        # A URL that can never be requested is refused now, not at its first fire time.
        raise _bad_target_url(f"target_url cannot be requested: {error.reason}.") from None


def _has_scheme_and_host(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and "://" in text and bool(parts.hostname)
    except ValueError:
        return False


def _bad_target_url(message: str) -> DomainError:
    return DomainError("Invalid target_url", message, field="target_url")


def _bad_team(message: str) -> DomainError:
    return DomainError("Invalid PIC team", message, field="pic_team")
