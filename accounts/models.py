"""Accounts, their sign-ins and their preferences. Knows no other app."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"
    USER = "user", "User"
    VIEWER = "viewer", "Viewer"


class UserManager(BaseUserManager["User"]):
    def create_user(self, username: str, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(username=username.strip().lower(), email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(username, email, password, **{**fields, "role": Role.ADMIN})


class User(AbstractBaseUser):
    """A person or script that signs in. The role alone decides what it may do."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(max_length=80, unique=True)
    email = models.EmailField(max_length=120, unique=True)
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        db_table = "users"
        ordering = ["created_at", "id"]
        constraints = [models.CheckConstraint(name="users_role_known", condition=models.Q(role__in=Role.values))]

    def __str__(self) -> str:
        return self.username

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


class LoginSession(models.Model):
    """One sign-in over the API. Its id is the `sid` claim of every token the sign-in led to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_sessions")
    created_at = models.DateTimeField(default=timezone.now)
    # The expiry of the newest refresh token: after it the row is of no use to anybody.
    expires_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "user_sessions"

    def __str__(self) -> str:
        return str(self.id)

    def is_open(self, now: datetime) -> bool:
        return self.ended_at is None and now < self.expires_at


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
