"""Forms of the admin site for accounts and for signing in. The rules are those of the API."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms import BooleanField, CharField, ChoiceField, Form, HiddenInput, ModelChoiceField
from django.http import HttpRequest
from django.utils import timezone
from unfold.forms import (
    AdminOwnPasswordChangeForm,
    AdminPasswordChangeForm,
    AuthenticationForm,
    BaseDialogForm,
    UserCreationForm,
)
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts import factor_steps, second_factors
from accounts.models import NotificationPreferences, Role, User
from accounts.services import (
    BAD_CREDENTIALS,
    INACTIVE,
    NO_PASSWORDS,
    AccountChanges,
    check_credentials,
    set_preferences,
    update_account,
)
from accounts.throttle import client_address
from accounts.validators import EMAIL_LENGTH
from audit.console import AuditedForm
from cronsched.lib.errors import TooManyRequests, Unauthorized

CODE_FIELD = {"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}


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
        if not settings.LOCAL_PASSWORDS:
            raise ValidationError(NO_PASSWORDS, code="local_passwords_off")
        try:
            return super().clean()
        except TooManyRequests as refusal:
            if self.request is not None:
                # For `accounts.middleware`, which gives the page its status.
                self.request.sign_in_refusal = refusal
            raise ValidationError(str(refusal), code="too_many_attempts") from refusal

    def confirm_login_allowed(self, user: Any) -> None:
        """Sign in only an account without a second factor; otherwise the next page asks for it (`factor_pages`)."""
        super().confirm_login_allowed(user)
        if self.request is not None and second_factors.has(user):
            factor_steps.begin(self.request, user)
            # For `accounts.middleware`, which leads there.
            self.request.second_factor_needed = True
            raise ValidationError("A second factor is needed.", code="second_factor")


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """Asks for the old password; wrong ones count like failed sign-ins."""

    def __init__(self, user: User, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self._request = request

    def clean_old_password(self) -> str:
        old: str = self.cleaned_data["old_password"]
        try:
            check_credentials(self.user.username, old, address=client_address(self._request), now=timezone.now())
        except Unauthorized as refusal:
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect") from refusal
        except TooManyRequests as refusal:
            self._request.sign_in_refusal = refusal  # type: ignore[attr-defined]  # as above
            raise ValidationError(str(refusal), code="too_many_attempts") from refusal
        return old


class FactorNameForm(Form):
    name = CharField(max_length=60, widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}))


class AppForm(FactorNameForm):
    """A new authenticator app proves that it has read the picture."""

    code = CharField(max_length=20, widget=UnfoldAdminTextInputWidget(attrs=CODE_FIELD))

    field_order = ["code", "name"]


class PasskeyForm(FactorNameForm):
    """What the browser answers is filled in by `passkeys.js`."""

    passkey = CharField(max_length=20_000, widget=HiddenInput)


class FactorForm(Form):
    """The second step of a sign-in."""

    code = CharField(
        label="Code of your app, or a recovery code", max_length=40, widget=UnfoldAdminTextInputWidget(attrs=CODE_FIELD)
    )


def _preference(label: str) -> BooleanField:
    return BooleanField(label=label, required=False, widget=UnfoldBooleanSwitchWidget)


class UserForm(AuditedForm):
    """Address and preferences. Role and state are changed by actions of their own, which ask first."""

    audited_as = "user"

    preferences = (
        *("email_on_job_success", "email_on_job_failure", "email_on_job_disabled"),
        *("daily_digest", "weekly_report", "browser_notifications"),
    )
    email_on_job_success = _preference("Mail when a job succeeds")
    email_on_job_failure = _preference("Mail when a job fails")
    email_on_job_disabled = _preference("Mail when a job is disabled")
    daily_digest = _preference("Daily digest")
    weekly_report = _preference("Weekly report")
    browser_notifications = _preference("Browser notifications")

    class Meta:
        model = User
        fields = ["email"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = NotificationPreferences.objects.filter(user=self.instance).first() or NotificationPreferences()
        for name in set(self.preferences) & set(self.fields):
            self.fields[name].initial = getattr(stored, name)

    def apply(self, *, by: User, now: datetime) -> None:
        """Write what was touched. Raises `DomainError`."""
        if "email" in self.touched:
            changes = AccountChanges(email=self.cleaned_data["email"])
            update_account(self.instance, changes, keep_session=None, by=by, now=now)
        values = {name: self.cleaned_data[name] for name in self.preferences if name in self.touched}
        if values:
            set_preferences(self.instance, NotificationPreferences, values, now=now)


class RoleForm(BaseDialogForm):
    """Asked for by the action that changes a role."""

    role = ChoiceField(choices=Role.choices, widget=UnfoldAdminSelectWidget)


class NewOwnerForm(Form):
    """Who gets the jobs of `leaving`, the accounts that are deactivated or deleted."""

    hand_over_to = ModelChoiceField(
        User.objects.filter(is_active=True, role__in=[Role.ADMIN, Role.USER]).order_by("username"),
        label="Hand the jobs over to",
        required=False,
        empty_label="Nobody: they stay as they are",
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, leaving: Collection[UUID] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("ModelChoiceField[User]", self.fields["hand_over_to"])
        field.queryset = field.queryset.exclude(pk__in=leaving)  # type: ignore[union-attr]  # it is given above


class HandOverForm(NewOwnerForm, BaseDialogForm):
    """The same as a dialog."""


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
    """A password that an administrator sets. `keep_session` is the session of the one who sets it."""

    def __init__(self, user: User, *args: Any, by: User, keep_session: UUID | None, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self._by, self._keep_session = by, keep_session
        self.fields.pop("usable_password", None)
        _require_passwords(self)

    def save(self, commit: bool = True) -> User:
        changes = AccountChanges(password=self.cleaned_data["password1"])
        update_account(self.user, changes, keep_session=self._keep_session, by=self._by, now=timezone.now())
        return self.user


def _require_passwords(form: Form) -> None:
    # Django leaves them out of the required fields for the sake of accounts without a password.
    for name in ("password1", "password2"):
        form.fields[name].required = True
