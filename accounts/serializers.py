"""Accounts as JSON, and the forms whose violations are answered with 422 (contract, sections 2 and 4)."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from accounts.models import NotificationPreferences, Role, User, default_table_columns
from accounts.validators import EMAIL_LENGTH, USERNAME_LENGTH, USERNAME_PATTERN, validate_email, validate_username
from cronsched.api.fields import UtcField
from cronsched.lib.config.env import FALSE_WORDS, TRUE_WORDS
from cronsched.lib.errors import Problem, SchemaError

# The library's names for what is wrong, in the words that clients of this contract know.
KINDS = {
    "required": "missing",
    "null": "string_type",
    "invalid": "string_type",
    "blank": "string_too_short",
    "min_length": "string_too_short",
    "max_length": "string_too_long",
    "null_characters_not_allowed": "value_error",
    "surrogate_characters_not_allowed": "value_error",
    "invalid_choice": "enum",
}


def validated(form: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """Return what `form` reads from `data`. Raises `SchemaError` naming every broken field."""
    filled = form(data=data)
    if filled.is_valid():
        return filled.validated_data
    problems = [_problem(field, error) for field, errors in filled.errors.items() for error in errors]
    raise SchemaError("body", problems)


def _problem(field: str, error: ErrorDetail) -> Problem:
    over_several = field == "non_field_errors"
    code = error.code or "value_error"
    return Problem(None if over_several else field, str(error), KINDS.get(code, code))


# --- Fields ----------------------------------------------------------------------------------------------------------


class TextField(serializers.CharField):
    """Text that is text in JSON as well; the library would take numbers."""

    default_error_messages = {
        "required": "Field required",
        "null": "Input should be a valid string",
        "invalid": "Input should be a valid string",
        "blank": "String should not be blank",
        "min_length": "String should have at least {min_length} characters",
        "max_length": "String should have at most {max_length} characters",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field(
    {
        "type": "string",
        "minLength": USERNAME_LENGTH[0],
        "maxLength": USERNAME_LENGTH[1],
        "pattern": USERNAME_PATTERN,
    }
)
class UsernameField(TextField):
    default_validators = [validate_username]


@extend_schema_field({"type": "string", "format": "email", "maxLength": EMAIL_LENGTH})
class EmailField(TextField):
    default_validators = [validate_email]


@extend_schema_field({"type": "string", "minLength": settings.MINIMUM_PASSWORD_LENGTH, "pattern": r"\S"})
class PasswordField(TextField):
    """A password: never trimmed, and not made of blanks alone, which no sign-in would accept."""

    default_error_messages = {"blank": "Password must not be blank"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, min_length=settings.MINIMUM_PASSWORD_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text.strip():
            self.fail("blank")
        return text


class RoleField(serializers.ChoiceField):
    default_error_messages = {
        "null": "Input should be 'admin', 'user' or 'viewer'",
        "invalid_choice": "Input should be 'admin', 'user' or 'viewer'",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data.strip() not in Role.values:
            self.fail("invalid_choice")
        return data.strip()


class FlagField(serializers.BooleanField):
    """A boolean or a word for one. Null counts as not given."""

    default_error_messages = {"invalid": "Input should be a valid boolean"}

    def to_internal_value(self, data: Any) -> bool:
        word = str(data).strip().lower() if isinstance(data, bool | int | str) else None
        if word in TRUE_WORDS:
            return True
        if word == "" or word in FALSE_WORDS:
            return False
        raise serializers.ValidationError(self.error_messages["invalid"], code="bool_parsing")


# --- Forms that are sent ---------------------------------------------------------------------------------------------


class LoginSerializer(serializers.Serializer[Any]):
    """Name or e-mail, and password. The name wins; it may hold an e-mail."""

    username = TextField(
        required=False,
        allow_null=True,
        allow_blank=True,
        min_length=USERNAME_LENGTH[0],
        max_length=USERNAME_LENGTH[1],
        help_text="Name or e-mail.",
    )
    email = EmailField(required=False, allow_null=True, allow_blank=True)
    password = PasswordField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (attrs.get("username") or attrs.get("email")):
            raise serializers.ValidationError("Either username or email is required", code="value_error")
        return attrs


class LoginFormSerializer(serializers.Serializer[Any]):
    """OAuth2's password form."""

    username = TextField(help_text="Name or e-mail.")
    password = TextField(trim_whitespace=False)
    grant_type = serializers.CharField(required=False, allow_blank=True, help_text="Ignored.")
    scope = serializers.CharField(required=False, allow_blank=True, help_text="Ignored.")
    client_id = serializers.CharField(required=False, allow_blank=True, help_text="Ignored.")
    client_secret = serializers.CharField(required=False, allow_blank=True, help_text="Ignored.")


class RegisterSerializer(serializers.Serializer[Any]):
    username = UsernameField(help_text="Stored in lower case.")
    email = EmailField(help_text="With a dotted domain. Stored in lower case.")
    password = PasswordField()
    role = RoleField(choices=Role.choices, default=Role.VIEWER)
    is_active = FlagField(allow_null=True, default=True)

    def validate_email(self, value: str) -> str:
        return value.lower()

    def validate_is_active(self, value: bool | None) -> bool:
        return value is not False


class RefreshSerializer(serializers.Serializer[Any]):
    refresh_token = serializers.CharField(required=False, help_text="Only read where there is no bearer token.")


class AccountChangeSerializer(serializers.Serializer[Any]):
    email = serializers.CharField(required=False, allow_null=True)
    password = serializers.CharField(required=False, allow_null=True)
    current_password = serializers.CharField(
        required=False, help_text="Needed for one's own address and password where REQUIRE_CURRENT_PASSWORD is on."
    )
    role = serializers.ChoiceField(Role.choices, required=False, help_text="Admins only.")
    is_active = serializers.BooleanField(required=False, help_text="Admins only.")
    hand_over_to = serializers.CharField(
        required=False, help_text="With `is_active: false`: id or name of the account that gets the jobs."
    )


# --- Forms that are answered -----------------------------------------------------------------------------------------


class UserSerializer(serializers.ModelSerializer[User]):
    created_at = UtcField(read_only=True)
    updated_at = UtcField(read_only=True)

    class Meta:
        model = User
        fields = ["id", "username", "email", "role", "is_active", "created_at", "updated_at"]
        read_only_fields = fields


class SignInSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    token_type = serializers.CharField()
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    user = UserSerializer()


class TokenPairSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds until the access token expires.")


class VerifySerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    user_id = serializers.UUIDField()
    username = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)
    message = serializers.CharField()


class SignOutSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    detail = serializers.CharField()


class RegisteredSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    user = UserSerializer()


class UserListSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    users = UserSerializer(many=True)


class UserAnswerSerializer(serializers.Serializer[Any]):
    user = UserSerializer()


class LeftJobsSerializer(serializers.Serializer[Any]):
    owned = serializers.IntegerField()
    handed_over = serializers.IntegerField()


class UserChangedSerializer(UserAnswerSerializer):
    message = serializers.CharField()
    updated_fields = serializers.ListField(child=serializers.CharField(), help_text="What was sent.")
    jobs = LeftJobsSerializer(required=False, help_text="Where an account that owns jobs was deactivated.")


class DeletedUserSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    username = serializers.CharField()


class UserDeletedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    deleted_user = DeletedUserSerializer()
    jobs = LeftJobsSerializer(required=False, help_text="Where the account owned jobs.")


PREFERENCE_FLAGS = [
    "email_on_job_success",
    "email_on_job_failure",
    "email_on_job_disabled",
    "browser_notifications",
    "daily_digest",
    "weekly_report",
]


class PreferencesSerializer(serializers.ModelSerializer[NotificationPreferences]):
    user_id = serializers.UUIDField(read_only=True)
    created_at = UtcField(read_only=True)
    updated_at = UtcField(read_only=True)

    class Meta:
        model = NotificationPreferences
        fields = ["id", "user_id", *PREFERENCE_FLAGS, "created_at", "updated_at"]
        read_only_fields = ["id"]


class PreferencesAnswerSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    preferences = PreferencesSerializer()


class PreferencesChangeSerializer(serializers.ModelSerializer[NotificationPreferences]):
    class Meta:
        model = NotificationPreferences
        fields = PREFERENCE_FLAGS
        extra_kwargs = {name: {"required": False} for name in PREFERENCE_FLAGS}


class TableColumnsSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            name: serializers.BooleanField(required=False, default=shown)
            for name, shown in default_table_columns().items()
        }


class UiPreferencesSerializer(serializers.Serializer[Any]):
    jobs_table_columns = TableColumnsSerializer()


class UiPreferencesAnswerSerializer(serializers.Serializer[Any]):
    preferences = UiPreferencesSerializer()
