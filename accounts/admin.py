"""Accounts on the admin site: administrators manage all of them, everybody else sees their own."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import BooleanFieldListFilter, ChoicesFieldListFilter
from django.contrib.admin.actions import delete_selected
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget

from accounts import second_factors, services, sessions
from accounts.console import account, is_admin
from accounts.forms import NewOwnerForm, NewPasswordForm, NewUserForm, UserForm
from accounts.models import NotificationPreferences, Role, User
from accounts.token_admin import TokenAdmin
from accounts.user_actions import OWNS_NOW, UserActions, left_behind
from cronsched.console.filters import titled
from cronsched.console.texts import moment
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id

__all__ = ["TokenAdmin", "UserAdmin"]

CANNOT_OWN = "Nothing was deleted: the chosen account cannot own jobs. Choose another."

# Rights follow from the role alone.
admin.site.unregister(Group)


class OwnOrAdmin:
    """View rights of a page about accounts: the caller's own, and all for administrators."""

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return request.user.is_active and (obj is None or obj == request.user or is_admin(request))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return is_admin(request)

    def has_add_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return is_admin(request)


@admin.register(User)
class UserAdmin(OwnOrAdmin, UserActions, DjangoUserAdmin):  # type: ignore[type-arg,misc]
    page_name = "People"
    # Django's own shows the beginning of the password's hash.
    form = UserForm
    add_form = NewUserForm
    list_display = ["username", "email", "shown_role", "active", "job_count", "signed_in", "created"]
    list_filter = [
        ("role", titled("Role", ChoicesFieldListFilter)),
        ("is_active", titled("Active", BooleanFieldListFilter)),
    ]
    list_filter_submit = False
    search_fields = ["username", "email"]
    ordering = ["username"]
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["username", "email", "password_link"]}),
        ("Rights", {"fields": [("shown_role", "active"), "second_factor"]}),
        ("Mail", {"fields": [UserForm.preferences[:3], UserForm.preferences[3:]]}),
        ("Times", {"fields": [("last_login", "created_at", "updated_at")]}),
    ]
    # Only for administrators. Others change their own password in the menu, which asks for the old one.
    own_fieldsets = [(None, {"fields": ["username", "email", "shown_role", "wishes", "last_login", "created_at"]})]
    actions = ["delete_selected"]
    actions_detail = ["change_role", "activate", "deactivate", "reset_second_factor"]
    add_fieldsets = [(None, {"fields": ["username", "email", "role", "is_active", "password1", "password2"]})]

    @display(
        description="Role",
        ordering="role",
        label={Role.ADMIN: "danger", Role.USER: "info", Role.VIEWER: "success"},
    )
    def shown_role(self, user: User) -> tuple[str, str]:
        return user.role, user.get_role_display()

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        users = super().get_queryset(request).annotate(number_of_jobs=Count("jobs"))
        return users if is_admin(request) else users.filter(pk=request.user.pk)

    @display(description="State", ordering="is_active", label={"Active": "success", "Deactivated": "warning"})
    def active(self, user: User) -> str:
        return "Active" if user.is_active else "Deactivated"

    @display(description="Jobs", ordering="number_of_jobs")
    def job_count(self, user: Any) -> str:
        address = f"{reverse('admin:jobs_job_changelist')}?owner={user.pk}"
        return format_html('<a class="console-link" href="{}">{}</a>', address, user.number_of_jobs)

    @display(description="Last sign-in", ordering="last_login", empty_value="Never")
    def signed_in(self, user: User) -> SafeString | None:
        return moment(user.last_login)

    @display(description="Mail", empty_value="As by default")
    def wishes(self, user: User) -> str | None:
        stored = NotificationPreferences.objects.filter(user=user).first()
        if stored is None:
            return None
        labels = (str(UserForm.base_fields[name].label) for name in UserForm.preferences if getattr(stored, name))
        return ", ".join(labels) or "None"

    @display(description="Second factor", empty_value="None")
    def second_factor(self, user: User) -> str:
        return ", ".join(map(str, second_factors.of(user)))

    @display(description="Password")
    def password_link(self, user: User) -> str:
        address = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html(
            '<a href="{}" class="text-primary-600 dark:text-primary-500">Set a new password</a>', address
        )

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set a password as `accounts.services` does, which needs to know by whom."""
        page = copy(self)
        session = sessions.console_session(request)
        page.change_password_form = partial(NewPasswordForm, by=account(request), keep_session=session)
        return DjangoUserAdmin.user_change_password(page, request, id, form_url)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None or is_admin(request):
            return super().get_fieldsets(request, obj)
        return self.own_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        # As in the API, a name is for ever.
        shown = [
            "password_link",
            "last_login",
            "created_at",
            "updated_at",
            "shown_role",
            "active",
            "wishes",
            "second_factor",
        ]
        return [*shown, *(["username"] if obj else [])]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "email":
            kwargs["widget"] = UnfoldAdminEmailInputWidget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    # --- Deleting ---

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return is_admin(request) and obj != request.user

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """List the accounts only: their rows are deleted with them, also where the user may not delete those alone."""
        refused = {"own account" for user in objs if not self.has_delete_permission(request, user)}
        listed = [f"{user}, with preferences and notifications. {left_behind(user)}" for user in objs]
        return listed, {"users": len(objs)}, refused, []

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        by, now = account(request), timezone.now()
        if change:
            form.apply(by=by, now=now)
            return
        super().save_model(request, obj, form, change)
        services.record_creation(obj, by=by, now=now)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        self._delete(request, [obj], "its")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with transaction.atomic():
            self._delete(request, list(queryset), "their")

    def _delete(self, request: HttpRequest, users: Sequence[User], whose: str) -> None:
        """Delete the accounts and hand their jobs over to the one the page names; raise `DomainError` if it may not."""
        form = NewOwnerForm(request.POST, leaving=[user.pk for user in users])
        if not form.is_valid():
            raise DomainError("Invalid owner", CANNOT_OWN)
        to, by, now = form.cleaned_data["hand_over_to"], account(request), timezone.now()
        number = sum(services.delete_account(user, by=by, now=now, hand_over_to=to).handed_over for user in users)
        if number:
            self.message_user(request, OWNS_NOW.format(to=to, whose=whose, number=number), messages.SUCCESS)

    @admin.action(description="Delete selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        page = delete_selected(self, request, queryset)
        if page is not None:
            page.context_data = {**(page.context_data or {}), **_hand_over([user.pk for user in queryset])}
        return page

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        key = known_id(object_id)
        context = {**_hand_over([key] if key else []), **(extra_context or {})}
        return self._or_refusal(request, super().delete_view, object_id, context)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._or_refusal(request, super().changelist_view, *args, **kwargs)

    def _or_refusal(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show why a deletion was refused. Two administrators may act on each other at the same moment."""
        # The history is written before the accounts are deleted: what is refused must not stand there as done. Only for
        # what changes something, since a transaction of SQLite keeps others from writing.
        whole = transaction.atomic() if request.method == "POST" else nullcontext()
        try:
            with whole:
                return view(request, *args, **kwargs)
        except DomainError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:accounts_user_changelist"))


def _hand_over(leaving: Sequence[UUID]) -> dict[str, Any]:
    """Return what a page needs that asks who gets the jobs of those who leave."""
    number = User.objects.filter(pk__in=leaving).aggregate(number=Count("jobs"))["number"]
    return {"hand_over": NewOwnerForm(leaving=leaving), "number_of_jobs": number}
