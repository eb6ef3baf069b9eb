"""When and how often a job runs: its expression, zone and the options beside them, each with its limits."""

from collections.abc import Mapping
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from cronsched.lib.errors import DomainError
from cronsched.lib.input import payload
from jobs import cron
from jobs.models import CatchUp, Job, Overlap

CHOICE_FIELDS = {"catch_up": CatchUp, "overlap": Overlap}
NUMBER_FIELDS = (
    "misfire_grace_seconds",
    "timeout_seconds",
    "max_attempts",
    "backoff_seconds",
    "spread_seconds",
    "pause_after_failures",
    "notify_after_failures",
    "remind_every_hours",
)
# True, false, or null for "as the server is set up" or "as the category says".
TRISTATE_FIELDS = ("track_run", "notify_on_recovery")
OPTION_FIELDS = ("timezone", *CHOICE_FIELDS, *NUMBER_FIELDS, *TRISTATE_FIELDS)


def check_cron(expression: str) -> cron.Schedule:
    """Read an expression for a caller of the API. Raises `DomainError` with the engine's reason and hint."""
    try:
        return cron.parse(expression)
    except cron.CronError as error:
        hint = {"hint": error.hint} if error.hint else {}
        raise DomainError("Invalid cron expression", error.message, field="cron_expression", **hint) from None


def warnings_of(expression: str) -> list[str]:
    """Return the doubts about a stored expression, none where it cannot be read."""
    try:
        return list(cron.parse(expression).warnings)
    except cron.CronError:
        return []


def read_option(sent: Mapping[str, Any], name: str) -> Any:
    """Return the option `name` as it is to be stored. Null and blank mean the default. Raises `DomainError`."""
    value = sent.get(name)
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        return _model_field(name).get_default()
    if name == "timezone":
        return check_zone(value)
    if name in CHOICE_FIELDS:
        return _read_choice(name, value)
    if name in TRISTATE_FIELDS:
        return payload.flag(sent, name, default=False)
    return _read_number(name, value)


def check_zone(value: Any) -> str:
    """Return the name of an IANA zone. Raises `DomainError` for anything else."""
    try:
        return cron.zone(value).key
    except cron.ZoneError as error:
        raise DomainError("Invalid timezone", str(error), field="timezone") from None


def _read_choice(name: str, value: Any) -> str:
    choices = CHOICE_FIELDS[name].values
    if not isinstance(value, str) or value.lower() not in choices:
        raise DomainError(f"Invalid {name}", f"{name} must be one of: {', '.join(choices)}.", field=name)
    return value.lower()


def _read_number(name: str, value: Any) -> int:
    low, high = limits(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DomainError(f"Invalid {name}", f"{name} must be a whole number from {low} to {high}.", field=name)
    return value


def limits(name: str) -> tuple[int, int]:
    """Return the least and greatest value of a number field, as the model declares them."""
    validators = _model_field(name).validators
    low = max([0, *(item.limit_value for item in validators if isinstance(item, MinValueValidator))])
    high = min(item.limit_value for item in validators if isinstance(item, MaxValueValidator))
    return low, high


def _model_field(name: str) -> "models.Field[Any, Any]":
    found = Job._meta.get_field(name)
    assert isinstance(found, models.Field)
    return found
