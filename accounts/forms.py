"""Forms of the admin site for accounts and for signing in. The rules are those of the API."""

from typing import Any

from django.core.exceptions import ValidationError
from django.forms import Form, ModelForm
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, AuthenticationForm, UserCreationForm
from unfold.widgets import UnfoldAdminEmailInputWidget

from accounts.models import Role, User
from accounts.services import BAD_CREDENTIALS, INACTIVE, keep_an_administrator
from accounts.validators import EMAIL_LENGTH
from cronsched.lib.errors import DomainError, TooManyRequests


class SignInForm(AuthenticationForm):
    """Takes a name or an e-mail, and says how long to wait after too many failures."""

    error_messages = {"invalid_login": f"{BAD_CREDENTIALS}.", "inactive": INACTIVE}

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        field = self.fields["username"]
        field.label = "Username or e-mail"
        # Django cuts the field to the length of a name.
        field.widget.attrs["maxlength"] = EMAIL_LENGTH

    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except TooManyRequests as refusal:
            raise ValidationError(str(refusal), code="too_many_attempts") from refusal


class UserForm(ModelForm):  # type: ignore[type-arg]  # generic to the stubs only
    def clean(self) -> dict[str, Any]:
        """Judge by the rule of the API. The page is handled in one transaction, so it still holds when it is saved."""
        values = super().clean() or self.cleaned_data
        if values.get("role") != Role.ADMIN or not values.get("is_active"):
            try:
                keep_an_administrator(but=self.instance)
            except DomainError as refusal:
                self.add_error(None, str(refusal))
        return values


class NewUserForm(UserCreationForm):
    # An account without a password could never be entered: there is no other way to sign in.
    usable_password = None

    class Meta:
        model = User
        fields = ["username", "email", "role", "is_active"]
        widgets = {"email": UnfoldAdminEmailInputWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _require_passwords(self)

    def clean_username(self) -> str:
        # Django's own check would hand the model None for a taken name. The model's constraint finds them, too.
        return self.cleaned_data["username"]


class NewPasswordForm(AdminPasswordChangeForm):
    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields.pop("usable_password", None)
        _require_passwords(self)


def _require_passwords(form: Form) -> None:
    # Django leaves them out of the required fields for the sake of accounts without a password.
    for name in ("password1", "password2"):
        form.fields[name].required = True
