"""Accounts, their sign-ins and their preferences. Knows no other app."""

import uuid
from collections.abc import Collection
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models, transaction
from django.utils import timezone

from accounts.signals import credentials_changed
from accounts.validators import EMAIL_LENGTH, USERNAME_LENGTH, validate_email, validate_username
from cronsched.lib.db.fields import EncryptedTextField


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"
    USER = "user", "User"
    VIEWER = "viewer", "Viewer"


class UserManager(BaseUserManager["User"]):
    def create_user(self, username: str, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(username=username, email=email, **fields)
        user.normalize()
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(username, email, password, **{**fields, "role": Role.ADMIN})


class User(AbstractBaseUser):
    """A person or script that signs in. The role alone decides what it may do."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        max_length=USERNAME_LENGTH[1],
        unique=True,
        validators=[validate_username],
        error_messages={"unique": "Username already exists"},
    )
    email = models.CharField(
        max_length=EMAIL_LENGTH,
        unique=True,
        validators=[validate_email],
        error_messages={"unique": "Email already exists"},
    )
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)
    is_active = models.BooleanField(default=True)
    # When all sessions were last ended, by deactivation. Cookies of the console carry a digest of it.
    sessions_ended_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[UserManager] = UserManager()

    # Django's own: the new password between `set_password` and the save that stores it.
    _password: str | None
    _kept_session: uuid.UUID | None = None

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        db_table = "users"
        ordering = ["created_at", "id"]
        constraints = [models.CheckConstraint(name="users_role_known", condition=models.Q(role__in=Role.values))]

    def __str__(self) -> str:
        return self.username

    def normalize(self) -> None:
        """Bring name and address into the form they are stored and compared in."""
        self.username = self.username.strip().lower()
        self.email = self.email.strip().lower()

    def clean(self) -> None:
        self.normalize()

    def set_password(self, raw_password: str | None, *, keep_session: uuid.UUID | None = None) -> None:
        """Hash a new password. The save that stores it ends every API session but `keep_session`."""
        super().set_password(raw_password)
        self._kept_session = keep_session

    def set_unusable_password(self) -> None:
        super().set_unusable_password()
        # Counts as a new password, for `save` below.
        self._password = ""
        self._kept_session = None

    def save(self, *args: Any, **kwargs: Any) -> None:
        # Here and not in a service: the admin site and `manage.py changepassword` save the model themselves. A hash
        # that was only renewed at sign-in is no change, Django keeps no password for it. Cookies of the admin site
        # end by themselves: they carry a digest of the password's hash.
        password_changed = self._password is not None and not self._state.adding
        if not self.is_active:
            self.sessions_ended_at = timezone.now()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "sessions_ended_at"}
        address = self._address_before(kwargs.get("update_fields"))
        changed = [*(["password"] if password_changed else []), *(["e-mail address"] if address != self.email else [])]
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
            if changed:
                credentials_changed.send(type(self), user=self, address=address, changed=changed)
            if not self.is_active:
                # A token must not come to life again with the account.
                self.login_sessions.all().delete()
                self.api_tokens.all().delete()
            elif password_changed:
                self.login_sessions.exclude(id__in=[self._kept_session] if self._kept_session else []).delete()

    def _address_before(self, update_fields: Collection[str] | None) -> str:
        """Return the stored address, or the one at hand where the next save does not change it."""
        if self._state.adding or (update_fields is not None and "email" not in update_fields):
            return self.email
        stored = User.objects.filter(pk=self.pk).values_list("email", flat=True).first()
        return stored or self.email

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Return what a cookie of the console must carry: it ends with the password, and with a deactivation."""
        digest = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]  # not in the stubs
        return f"{digest}{self.sessions_ended_at.timestamp()}" if self.sessions_ended_at else digest

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN

    @property
    def can_write(self) -> bool:
        """Whether the role may create jobs and change its own."""
        return self.role in (Role.ADMIN, Role.USER)

    @property
    def is_staff(self) -> bool:
        """Django's word for 'may enter the admin site': all three roles may, each with its own rights there."""
        return True

    @property
    def is_superuser(self) -> bool:
        return self.is_admin

    def has_perm(self, perm: str, obj: object | None = None) -> bool:
        """Everything for admins. What the others may do there, each admin page decides by role and ownership."""
        return self.is_active and self.is_admin

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active


class SessionKind(models.TextChoices):
    API = "api", "API"
    CONSOLE = "console", "Console"


class LoginSession(models.Model):
    """One sign-in, over the API or at the console. Its id is the `sid` claim of every token the sign-in led to, and
    stands in the data of the console's cookie.

    The row lives as long as the session: ending a session deletes it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_sessions")
    created_at = models.DateTimeField(default=timezone.now)
    # The expiry of the newest refresh token or of the cookie: after it the row is of no use.
    expires_at = models.DateTimeField(db_index=True)
    # The defaults of the database are for a release that does not know the columns and still runs beside this one.
    kind = models.CharField(
        max_length=10, choices=SessionKind, default=SessionKind.API, db_default=SessionKind.API.value
    )
    # To the minute, as is the address.
    last_seen_at = models.DateTimeField(null=True, blank=True)
    address = models.CharField(max_length=45, blank=True, default="", db_default="")
    user_agent = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        db_table = "user_sessions"

    def __str__(self) -> str:
        return str(self.id)


class Identity(models.Model):
    """A person at an identity provider, who signs in to an account. `key` is a digest of issuer and subject."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    key = models.CharField(max_length=64, unique=True)
    issuer = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "identities"
        verbose_name_plural = "identities"

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"


class FactorKind(models.TextChoices):
    APP = "app", "Authenticator app"
    PASSKEY = "passkey", "Passkey"


class SecondFactor(models.Model):
    """What an account proves at the console besides its password.

    `secret` is the key of an app (base32), or the id and public key of a passkey; `counter` the time step of the last
    code used, or what the passkey counted last. `key` is a digest of a passkey's id: it belongs to one account.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="second_factors")
    kind = models.CharField(max_length=10, choices=FactorKind)
    name = models.CharField(max_length=60)
    secret = EncryptedTextField()
    key = models.CharField(max_length=64, unique=True, null=True)
    counter = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "second_factors"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} “{self.name}”"


class RecoveryCode(models.Model):
    """A digest of a code that stands in once for a lost second factor. Using it deletes the row."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        db_table = "recovery_codes"

    def __str__(self) -> str:
        return f"A recovery code of {self.user}"


class ApiToken(models.Model):
    """A token that a script signs in with: it acts as its owner, with less. Only a digest of its secret is stored.

    `prefix` is the part of the secret that is shown, by which the row is found.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True, blank=True)
    # Networks (CIDR) it may be used from; none: from everywhere.
    allowed_ips = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # To the minute: a script that calls each second must not write a row each second.
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_ip = models.CharField(max_length=45, blank=True, default="", editable=False)
    last_refused_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "api_tokens"
        ordering = ["-created_at", "-id"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} (cron_{self.prefix})"


class IdempotentAnswer(models.Model):
    """The first answer to a request that its sender may repeat, for a day. `status` is null until there is one."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    # Digests: keys and bodies may be of any length, and bodies hold secrets.
    key = models.CharField(max_length=64)
    sent = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "idempotent_answers"
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="idempotent_answers_one_per_key")]

    def __str__(self) -> str:
        return f"{self.status or 'no answer yet'} at {self.created_at}"


class FailedSignIns(models.Model):
    """How often was tried in vain what `accounts.throttle` counts together. Forgotten at `expires_at`."""

    key = models.CharField(primary_key=True, max_length=64)
    failures = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "failed_sign_ins"

    def __str__(self) -> str:
        return f"{self.failures} failures until {self.expires_at}"


class KnownAddress(models.Model):
    """That an account was signed in to from an address, as a digest of both. Forgotten at `expires_at`."""

    key = models.CharField(primary_key=True, max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "known_addresses"
        verbose_name_plural = "known addresses"

    def __str__(self) -> str:
        return f"known until {self.expires_at}"


class NotificationPreferences(models.Model):
    """What an account wants to be mailed about."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="notification_preferences")
    email_on_job_success = models.BooleanField(default=True)
    email_on_job_failure = models.BooleanField(default=True)
    email_on_job_disabled = models.BooleanField(default=False)
    browser_notifications = models.BooleanField(default=False)
    daily_digest = models.BooleanField(default=False)
    weekly_report = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "user_notification_preferences"
        verbose_name_plural = "notification preferences"

    def __str__(self) -> str:
        return f"Notification preferences of {self.user}"


def default_table_columns() -> dict[str, bool]:
    return {
        "pic_team": True,
        "end_date": True,
        "cron_expression": False,
        "target_url": False,
        "last_execution_at": False,
    }


class UiPreferences(models.Model):
    """Which columns the web frontend shows an account."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="ui_preferences")
    jobs_table_columns = models.JSONField(default=default_table_columns)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "user_ui_preferences"
        verbose_name_plural = "UI preferences"

    def __str__(self) -> str:
        return f"UI preferences of {self.user}"
