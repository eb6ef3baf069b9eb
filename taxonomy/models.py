"""How jobs are sorted (categories) and who answers for them (teams)."""

import re
import uuid

from django.db import models
from django.utils import timezone

GENERAL_SLUG = "general"


def slugify(value: str) -> str:
    """Lower-case `value`, turn each run of characters outside a-z0-9 into one hyphen, strip hyphens at both ends.

    Unlike Django's, non-ASCII letters are not transliterated: `Über` becomes `ber` (contract, section 13).
    """
    return re.sub(r"[^a-z0-9]+", "-", value.strip().lower()).strip("-")


class Label(models.Model):
    """A named entry jobs refer to. Jobs speak of it by slug; rows refer to it by key, so a rename needs no cascade."""

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
    class Meta(Label.Meta):
        db_table = "job_categories"
        verbose_name_plural = "job categories"


class PicTeam(Label):
    """The team in charge of a job ("person in charge"), with the Slack handle that alerts mention."""

    slack_handle = models.CharField(max_length=255)

    class Meta(Label.Meta):
        db_table = "pic_teams"
        verbose_name = "PIC team"
