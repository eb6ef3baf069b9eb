"""How jobs are sorted (categories) and who answers for them (teams)."""

import re
import uuid
from typing import ClassVar, Self, TypeVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

GENERAL_SLUG = "general"


def slugify(value: str) -> str:
    """Lower-case `value`, turn each run of characters outside a-z0-9 into one hyphen, strip hyphens at both ends.

    Unlike Django's, non-ASCII letters are not transliterated: `Über` becomes `ber` (contract, section 13).
    """
    return re.sub(r"[^a-z0-9]+", "-", value.strip().lower()).strip("-")


def name_key(name: str) -> str:
    """Return what two names have in common when they differ only in case."""
    return name.strip().casefold()


AnyLabel = TypeVar("AnyLabel", bound="Label")


class LabelQuerySet(models.QuerySet[AnyLabel]):
    def active(self) -> Self:
        return self.filter(is_active=True)

    def by_name(self) -> list[AnyLabel]:
        """Return the rows by name ignoring case. Sorted here: each database would do it in its own way."""
        return sorted(self, key=lambda label: (name_key(label.name), label.name, label.slug))

    def find(self, value: str) -> AnyLabel | None:
        """Return the label `value` means, enabled or not: by slug, else by name ignoring case (contract, section 6).

        Of several with that name the oldest counts.
        """
        if label := self.filter(slug=slugify(value)).first():
            return label
        wanted = name_key(value)
        # Compared here for the same reason, and there are few.
        by_age = self.order_by("created_at", "id")
        return next((label for label in by_age if wanted and name_key(label.name) == wanted), None)


class Label(models.Model):
    """A named entry jobs refer to: by its slug in the API, by its key in rows, so that a rename changes no job."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=255)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class JobCategory(Label):
    """What kind of job it is, and what holds for its jobs unless they say otherwise themselves."""

    notify_after_failures = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Alert from so many failures in a row on.",
    )
    notify_on_recovery = models.BooleanField(default=False, help_text="Tell when a failing job succeeds again.")
    remind_every_hours = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(7 * 24)],
        help_text="While a job keeps failing, alert only every so many hours; 0 alerts at each failure.",
    )
    max_extension_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3660)],
        help_text="How far from today a renewal may set the end date, in days. Blank: no limit.",
    )

    objects: ClassVar[LabelQuerySet["JobCategory"]] = LabelQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(Label.Meta):
        db_table = "job_categories"
        verbose_name_plural = "job categories"


class PicTeam(Label):
    """The team in charge of a job ("person in charge"), with the Slack handle that alerts mention."""

    slack_handle = models.CharField(max_length=255)
    emails = models.JSONField(
        default=list, blank=True, help_text="Addresses of the team: reminders of end dates, digests of its members."
    )
    quiet_from = models.TimeField(null=True, blank=True, help_text="From this time of day mail and Slack wait.")
    quiet_until = models.TimeField(null=True, blank=True, help_text="Until this time of day.")
    quiet_timezone = models.CharField(
        max_length=64, blank=True, default="", help_text="IANA zone of the quiet hours; blank: the scheduler's."
    )

    objects: ClassVar[LabelQuerySet["PicTeam"]] = LabelQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(Label.Meta):
        db_table = "pic_teams"
        verbose_name = "PIC team"
