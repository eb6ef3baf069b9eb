"""Serializer fields that write values in the contract's form."""

from datetime import datetime

from rest_framework import serializers

from cronsched.lib.clock import utc_text


class UtcField(serializers.DateTimeField):
    """An instant in UTC with three decimals and `Z`."""

    def to_representation(self, value: datetime | None) -> str | None:  # type: ignore[override]
        return utc_text(value)
