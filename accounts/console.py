"""Who may do what on the admin site: admins everything, users see all and change their own, viewers read."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import Role, User


def account(request: HttpRequest) -> User:
    """Return the account that is signed in; pages of the admin site require one."""
    assert isinstance(request.user, User)
    return request.user


def is_admin(request: HttpRequest) -> bool:
    """Whether an administrator is signed in. Also called by the sign-in page, without an account."""
    return isinstance(request.user, User) and request.user.is_active and request.user.is_admin


def next_page(request: HttpRequest) -> str:
    """Return where a sign-in leads: the page of the console that was asked for, never elsewhere."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/admin/")
    return wanted if is_ours else reverse("admin:index")


def is_writer(request: HttpRequest) -> bool:
    """Whether the signed-in account may change jobs."""
    return isinstance(request.user, User) and request.user.is_active and request.user.can_write


def possible_owners() -> QuerySet[User]:
    """Return the accounts that jobs may be handed over to."""
    return User.objects.filter(is_active=True).exclude(role=Role.VIEWER).order_by("username")


class OpenToAllRoles:
    """Every account may view; the pages add what it may change."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NeverEdited:
    """Pages of rows that are never edited: without the button to the history of edits, which is always empty."""

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "show_history": False}
        return super().changeform_view(request, object_id, form_url, context)  # type: ignore[misc]  # ModelAdmin's


class AdminsOnly(OpenToAllRoles):
    """For administrators only: pages about all accounts, or with secrets."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_admin(request)
