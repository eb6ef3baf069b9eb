"""The columns of a job that the scheduler reads, as a tuple per row: a herd has thousands of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from cronsched.lib import crypto
from cronsched.lib.db import batches
from jobs.definitions.url_credentials import UrlCredentials
from jobs.executors.base import MAX_TARGET_LENGTH, shown_url, storable
from jobs.models import ENCRYPTED, ExecutionType, Job

# How long after its timeout an attempt may still be on its way to the row before the sweep calls it unknown.
DEADLINE_MARGIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What one manual run does differently. None means as stored; `metadata={}` means none.

    `github_token` is for the request alone: it is stored nowhere and never logged.
    """

    metadata: Mapping[str, Any] | None = None
    target_url: str | None = None
    github_owner: str | None = None
    github_repo: str | None = None
    github_workflow_name: str | None = None
    github_token: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return what `stored` holds. A URL that cannot be decrypted stays as it is, and is never sent to."""
        if not stored:
            return None
        overrides = cls(**stored)
        if not is_encrypted(overrides.target_url):
            return overrides
        try:
            return replace(overrides, target_url=crypto.decrypt(str(overrides.target_url).removeprefix(ENCRYPTED)))
        except crypto.Undecipherable:
            return overrides

    def values(self) -> dict[str, Any]:
        """Return what is overridden, by the names of the job's fields."""
        names = ("metadata", "target_url", "github_owner", "github_repo", "github_workflow_name")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def stored(self) -> dict[str, Any] | None:
        """Return what may stand in the execution's row, None where nothing was overridden.

        A URL with a password in it is encrypted as a whole.
        """
        values = self.values()
        if self.target_url is not None and UrlCredentials.of(self.target_url) is not None:
            values["target_url"] = ENCRYPTED + crypto.encrypt(self.target_url)
        return values or None


def is_encrypted(url: str | None) -> bool:
    return url is not None and url.startswith(ENCRYPTED)


@lru_cache(maxsize=4096)
def owner_key(created_by_id: Any, pic_team_id: Any = None) -> str:
    """Return by what places in flight are shared out: an account, or the team of a job that belongs to none."""
    return f"user {created_by_id}" if created_by_id else f"team {pic_team_id}"


class ScheduledJob(NamedTuple):
    """A job's definition as it stands in the row, in the order of `ScheduledJob._fields`."""

    id: UUID
    # From here to the grace time: what the plan of a job depends on.
    cron_expression: str
    timezone: str | None
    next_fire_at: datetime | None
    end_date: date
    catch_up: str
    misfire_grace_seconds: int
    name: str
    is_active: bool
    overlap: str
    spread_seconds: int
    target_url: str | None
    github_owner: str | None
    github_repo: str | None
    github_workflow_name: str | None
    metadata: dict[str, Any]
    timeout_seconds: int
    max_attempts: int
    backoff_seconds: int
    request_options: dict[str, Any]
    # As stored: decrypted only when a request is put together.
    encrypted_secrets: str | None
    created_by_id: Any = None
    pic_team_id: Any = None

    @classmethod
    def read(cls, jobs: QuerySet[Job]) -> list[Self]:
        return [cls._make(row) for row in batches.read(jobs.values_list(*cls._fields))]

    @property
    def timing(self) -> tuple[Any, ...]:
        """What jobs that fire together have in common, as a key."""
        return self[1:7]

    @property
    def owner(self) -> str:
        """Who shares places in flight with others: the job's owner, or its team where it has none."""
        return owner_key(self.created_by_id, self.pic_team_id)

    @property
    def zone_name(self) -> str:
        return self.timezone or settings.SCHEDULER_TIMEZONE

    @property
    def is_github(self) -> bool:
        """Whether all three GitHub fields are set; they win over a URL."""
        return bool(self.github_owner and self.github_repo and self.github_workflow_name)

    @property
    def execution_type(self) -> str | None:
        if self.is_github:
            return ExecutionType.GITHUB_ACTIONS.value
        return ExecutionType.WEBHOOK.value if self.target_url else None

    @property
    def target(self) -> str | None:
        """What the execution shows: the URL without its password, or `owner/repo/workflow`."""
        if self.is_github:
            target = f"{self.github_owner}/{self.github_repo}/{self.github_workflow_name}"
            return storable(target, MAX_TARGET_LENGTH)
        return shown_url(self.target_url) if self.target_url else None

    def deadline(self, sent_at: datetime) -> datetime:
        """Return until when the outcome of an attempt that leaves at `sent_at` must be in its row."""
        return sent_at + timedelta(seconds=self.timeout_seconds) + DEADLINE_MARGIN

    def overridden(self, overrides: Overrides) -> Self:
        """Return the definition with what one run changes."""
        return self._replace(**overrides.values())
