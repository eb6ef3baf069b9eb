"""Form fields that pages of several apps share."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextareaWidget

from cronsched.lib.errors import DomainError
from cronsched.lib.input import addresses


class AddressListField(forms.CharField):
    """Mail addresses, one per line or separated by commas; cleaned to a list."""

    def __init__(self, *, help_text: str = "One address per line.", **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})
        super().__init__(required=False, widget=widget, help_text=help_text, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]  # a list is what the model stores
        text = super().to_python(value) or ""
        return [item.strip() for item in text.replace(",", "\n").splitlines() if item.strip()]


class JSONObjectField(forms.JSONField):
    """A JSON object in a text area, which is empty where there is none; cleaned to None then."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 5, "spellcheck": "false"})
        super().__init__(required=False, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value is not None and not isinstance(value, dict):
            raise ValidationError(f"{self.label} must be a JSON object.")


class CheckedAddressListField(AddressListField):
    """The same where no rule of the domain looks at the addresses afterwards."""

    def run_validators(self, value: Any) -> None:
        try:
            addresses.checked(value, field="The list")
        except DomainError as error:
            raise ValidationError(str(error)) from None
