"""Accounts on the admin site: administrators manage all of them, everybody else sees their own."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin, StackedInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget

from accounts import services
from accounts.forms import NewPasswordForm, NewUserForm, UserForm
from accounts.models import NotificationPreferences, Role, User
from cronsched.lib.errors import DomainError

# Rights follow from the role alone.
admin.site.unregister(Group)


class OwnOrAdmin:
    """View rights of a page about accounts: the caller's own, and all for administrators."""

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return request.user.is_active and (obj is None or obj == request.user or _is_admin(request))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _is_admin(request)

    def has_add_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _is_admin(request)


class NotificationPreferencesInline(OwnOrAdmin, StackedInline):
    model = NotificationPreferences
    can_delete = False
    hide_title = True
    fields = [
        ("email_on_job_success", "email_on_job_failure", "email_on_job_disabled"),
        ("daily_digest", "weekly_report", "browser_notifications"),
    ]

    def get_extra(self, request: HttpRequest, obj: User | None = None, **kwargs: Any) -> int:
        # Whoever may not add the row is shown no empty form for it.
        return 1 if _is_admin(request) else 0


@admin.register(User)
class UserAdmin(OwnOrAdmin, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    # Django's own shows the beginning of the password's hash.
    form = UserForm
    add_form = NewUserForm
    change_password_form = NewPasswordForm
    list_display = ["username", "email", "shown_role", "active", "last_login", "created_at"]
    list_filter = ["role", "is_active"]
    list_filter_submit = False
    search_fields = ["username", "email"]
    ordering = ["username"]
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["username", "email", "password_link"]}),
        ("Rights", {"fields": ["role", "is_active"]}),
        ("Times", {"fields": ["last_login", "created_at", "updated_at"]}),
    ]
    # Whoever is no administrator changes the own password by the menu, where the old one is asked for.
    own_fieldsets = [(None, {"fields": ["username", "email", "role", "last_login", "created_at"]})]
    add_fieldsets = [(None, {"fields": ["username", "email", "role", "is_active", "password1", "password2"]})]

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[type[StackedInline]]:
        # Whoever only looks would be shown a heading above nothing.
        has_any = _is_admin(request) or NotificationPreferences.objects.filter(user=obj).exists()
        return [NotificationPreferencesInline] if obj and has_any else []

    @display(
        description="role",
        ordering="role",
        label={Role.ADMIN: "danger", Role.USER: "info", Role.VIEWER: "success"},
    )
    def shown_role(self, user: User) -> tuple[str, str]:
        return user.role, user.get_role_display()

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        users = super().get_queryset(request)
        return users if _is_admin(request) else users.filter(pk=request.user.pk)

    @display(description="active", ordering="is_active", boolean=True)
    def active(self, user: User) -> bool:
        return user.is_active

    @display(description="password")
    def password_link(self, user: User) -> str:
        address = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html(
            '<a href="{}" class="text-primary-600 dark:text-primary-500">Set a new password</a>', address
        )

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None or _is_admin(request):
            return super().get_fieldsets(request, obj)
        return self.own_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        # As in the API, a name is for ever.
        return ["password_link", "last_login", "created_at", "updated_at", *(["username"] if obj else [])]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "email":
            kwargs["widget"] = UnfoldAdminEmailInputWidget
        if db_field.name == "is_active":
            kwargs["label"] = "Active"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _is_admin(request) and obj != request.user

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Ask for the accounts only: what belongs to them goes along, whatever the rights to delete it alone."""
        refused = {"own account" for user in objs if not self.has_delete_permission(request, user)}
        listed = [f"{user}, with preferences and notifications; the jobs stay, without an owner" for user in objs]
        return listed, {"users": len(objs)}, refused, []

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        by, now = _account(request), timezone.now()
        if not change:
            super().save_model(request, obj, form, change)
            services.record_creation(obj, by=by, now=now)
            return
        before = User.objects.select_for_update().get(pk=obj.pk)
        super().save_model(request, obj, form, change)
        services.record_changes(obj, before, fields=form.changed_data, by=by, now=now)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.delete_account(obj, by=_account(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with transaction.atomic():
            for user in queryset:
                services.delete_account(user, by=_account(request), now=timezone.now())

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._or_refusal(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._or_refusal(request, super().changelist_view, *args, **kwargs)

    def _or_refusal(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Tell what a deletion was refused for. Two administrators may act on each other at the same moment."""
        # The history is written before the accounts are deleted: what is refused must not stand there as done. Only for
        # what changes something, since a transaction of SQLite keeps others from writing.
        whole = transaction.atomic() if request.method == "POST" else nullcontext()
        try:
            with whole:
                return view(request, *args, **kwargs)
        except DomainError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:accounts_user_changelist"))


def _account(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _is_admin(request: HttpRequest) -> bool:
    return request.user.is_active and isinstance(request.user, User) and request.user.is_admin
