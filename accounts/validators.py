"""What a name and an e-mail address of an account may look like, for the API, the admin site and the commands."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

USERNAME_LENGTH = (3, 80)
EMAIL_LENGTH = 120
# The same rules in one expression, for the API description.
USERNAME_PATTERN = r"^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$"
INVALID_EMAIL = "Enter a valid email address."

# Without an allowlist: Django's own lets `someone@localhost` pass, which has no dotted domain.
_check_form = EmailValidator(INVALID_EMAIL, allowlist=[])


def validate_username(value: str) -> None:
    low, high = USERNAME_LENGTH
    if len(value) < low:
        raise ValidationError(f"String should have at least {low} characters", code="string_too_short")
    if len(value) > high:
        raise ValidationError(f"String should have at most {high} characters", code="string_too_long")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise ValidationError(
            "Username may contain only letters, digits, underscores and hyphens", code="string_pattern_mismatch"
        )
    if not re.search(r"[A-Za-z0-9]", value):
        raise ValidationError("Username must contain at least one letter or digit", code="string_pattern_mismatch")


def validate_email(value: str) -> None:
    if len(value) > EMAIL_LENGTH or value.endswith("]"):
        # An address literal (`[192.0.2.1]`) is well formed but no dotted domain.
        raise ValidationError(INVALID_EMAIL, code="value_error")
    try:
        _check_form(value)
    except ValidationError:
        raise ValidationError(INVALID_EMAIL, code="value_error") from None


def is_email(value: str) -> bool:
    try:
        validate_email(value)
    except ValidationError:
        return False
    return True


class NotBlankValidator:
    """Refuse passwords made of blanks alone, which the API's sign-in does not accept."""

    def validate(self, password: str, user: object | None = None) -> None:
        if not password.strip():
            raise ValidationError("Password must not be blank.", code="password_blank")

    def get_help_text(self) -> str:
        return "Your password must not consist of blanks alone."
