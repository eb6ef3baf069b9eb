"""Examples of answers, derived from their forms: each field has one example for all answers that have it."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.fields import SkipField

Field = serializers.Field[Any, Any, Any, Any]

SAMPLES: dict[str, Any] = {
    "attempt": 1,
    "average_duration_seconds": 12.5,
    "category": "maintenance",
    "completed_at": "2026-01-15T12:00:10.000Z",
    "count": 1,
    "created_at": "2026-01-10T10:30:00.000Z",
    "created_by": "7d0f2c1e-6d0b-4d6e-9a53-2f1f0b6c9d11",
    "cron_expression": "0 2 * * *",
    "db_jobs_active": 10,
    "db_jobs_total": 12,
    "description": "At 02:00 AM every day",
    "duration_seconds": 10.0,
    "email": "john@example.com",
    "end_date": "2026-12-31",
    "execution_type": "webhook",
    "expires_in": 3600,
    "failed_count": 65,
    "failed_executions": 65,
    "is_active": True,
    "job_name": "Daily backup",
    "last_resync_at": "2026-01-15T10:30:00.000Z",
    "lateness_seconds": 0.4,
    "limit": 20,
    "max_attempts": 1,
    "name": "Daily backup",
    "output": "OK",
    "page": 1,
    "per_page": 20,
    "pic_team": "devops",
    "planned_at": "2026-01-15T12:00:00.000Z",
    "queued_at": "2026-01-15T12:00:00.000Z",
    "request": {"method": "POST", "url": "https://hooks.example.com/backup"},
    "response_status": 200,
    "role": "user",
    "running_count": 5,
    "running_executions": 5,
    "scheduled_for": "2026-01-15T12:00:00.000Z",
    "scheduled_jobs_count": 12,
    "scheduled_now": 11,
    "scheduler_is_leader": True,
    "scheduler_running": True,
    "slug": "night-watch",
    "started_at": "2026-01-15T12:00:00.000Z",
    "status": "success",
    "success": True,
    "success_count": 1180,
    "success_rate": 94.4,
    "successful_executions": 1180,
    "target": "https://hooks.example.com/backup",
    "target_url": "https://hooks.example.com/backup",
    "timeout_seconds": 10,
    "timezone": "Europe/Berlin",
    "title": "Job Failed",
    "token_type": "bearer",
    "total": 45,
    "total_executions": 1250,
    "total_pages": 3,
    "trigger_type": "scheduled",
    "type": "error",
    "unread_count": 12,
    "updated_at": "2026-01-10T10:30:00.000Z",
    "user_id": "7d0f2c1e-6d0b-4d6e-9a53-2f1f0b6c9d11",
    "username": "john",
    "valid": True,
    "version": "2.0.0",
}
# Of fields whose names say nothing more, the most special type first.
BY_TYPE: tuple[tuple[type[Field], Any], ...] = (
    (serializers.UUIDField, "0b6d0c1e-4f0a-4c0e-9d53-6f1f0b6c9d22"),
    (serializers.DateTimeField, "2026-01-15T12:00:10.000Z"),
    (serializers.DateField, "2026-12-31"),
    (serializers.BooleanField, False),
    (serializers.IntegerField, 0),
    (serializers.FloatField, 0.0),
    (serializers.EmailField, "john@example.com"),
    (serializers.URLField, "https://hooks.example.com/backup"),
    (serializers.DictField, {}),
    (serializers.JSONField, {}),
    (serializers.CharField, "text"),
)


def example_of(form: Any) -> Any:
    """Return an example of a form: a serializer or its class; None of a plain type."""
    if isinstance(form, type) and issubclass(form, serializers.BaseSerializer):
        form = form()
    if not isinstance(form, serializers.BaseSerializer):
        return None
    if isinstance(form, serializers.ListSerializer):
        return [example_of(form.child)]
    assert isinstance(form, serializers.Serializer)
    return {
        name: _value(name, field)
        for name, field in form.fields.items()
        if not field.write_only and (field.required or field.read_only)
    }


def merged(example: Any, given: Any) -> Any:
    """Return `example` with what is `given` in its place; each item of a list given is merged with the example's."""
    if isinstance(example, Mapping) and isinstance(given, Mapping):
        return {**example, **{key: merged(example.get(key), value) for key, value in given.items()}}
    if isinstance(example, list) and isinstance(given, list) and example:
        return [merged(example[0], item) for item in given]
    return given


def _value(name: str, field: Field) -> Any:
    if isinstance(field, serializers.BaseSerializer):
        return None if field.allow_null else example_of(field)
    if name in SAMPLES and _takes(field, SAMPLES[name]):
        return SAMPLES[name]
    if field.allow_null:
        return None
    if isinstance(field, serializers.ChoiceField):
        return next(choice for choice in field.choices if choice != "")
    if isinstance(field, serializers.ListField):
        return []
    sample = next((value for kind, value in BY_TYPE if isinstance(field, kind)), "text")
    return (
        max(sample, getattr(field, "min_value", None) or 0) if isinstance(field, serializers.IntegerField) else sample
    )


def _takes(field: Field, value: Any) -> bool:
    if field.read_only:
        return True
    try:
        field.run_validation(value)
    except (serializers.ValidationError, SkipField):
        return False
    return True
