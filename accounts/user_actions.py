"""What administrators do to an account by a button of its page: role, state and second factors."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from accounts import second_factors, services
from accounts.console import account
from accounts.forms import HandOverForm, RoleForm
from accounts.models import Role, User
from accounts.services import AccountChanges
from cronsched.console import ConsoleAdmin
from cronsched.console.answers import redirected
from cronsched.console.dialogs import dialog_action
from cronsched.lib.errors import DomainError

OWNS_NOW = "{to} owns {whose} jobs now ({number})."


class UserActions(ConsoleAdmin):
    """The buttons of an account's page."""

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Return the buttons that would change something."""
        user = self.get_object(request, str(object_id))
        useless = ["_activate" if user and user.is_active else "_deactivate"]
        if user is None or not second_factors.has(user):
            useless.append("_reset_second_factor")
        offered = super().get_actions_detail(request, object_id)
        return [item for item in offered if not item.action_name.endswith(tuple(useless))]

    @dialog_action(
        "Change role",
        icon="badge",
        title="Change the role of this account?",
        text="Admins may do everything, users change their own jobs, viewers only read.",
        form=RoleForm,
    )
    def change_role(self, request: HttpRequest, form: RoleForm, object_id: str) -> HttpResponse:
        role = form.cleaned_data["role"]
        return self._changed(request, object_id, AccountChanges(role=role), f"is {Role(role).label} now")

    @dialog_action(
        "Deactivate",
        icon="person_off",
        title="Deactivate this account?",
        text="It is signed out at once and cannot sign in again. Its jobs go on running.",
        form=HandOverForm,
    )
    def deactivate(self, request: HttpRequest, form: HandOverForm, object_id: str) -> HttpResponse:
        to = form.cleaned_data["hand_over_to"]
        return self._changed(request, object_id, AccountChanges(is_active=False), "is deactivated", to=to)

    @dialog_action(
        "Activate",
        icon="person_check",
        title="Activate this account?",
        text="It can sign in again with its password.",
    )
    def activate(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._changed(request, object_id, AccountChanges(is_active=True), "is active again")

    @dialog_action(
        "Reset second factor",
        icon="phonelink_erase",
        title="Remove the second factors of this account?",
        text="For a person who has lost them. Signs the account out; its password alone signs it in again.",
        button="Reset",
    )
    def reset_second_factor(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        user = self.row_or_404(request, object_id)
        second_factors.reset(user, by=account(request), now=timezone.now())
        self.log_change(request, user, [{"changed": {"fields": ["second factor"]}}])
        self.message_user(request, f"{user} has no second factor now.", messages.SUCCESS)
        return redirected(reverse("admin:accounts_user_change", args=[user.pk]))

    def _changed(
        self, request: HttpRequest, object_id: str, changes: AccountChanges, done: str, *, to: User | None = None
    ) -> HttpResponse:
        user = self.row_or_404(request, object_id)
        try:
            left = services.update_account(
                user, changes, keep_session=None, by=account(request), now=timezone.now(), hand_over_to=to
            )
            self.log_change(request, user, [{"changed": {"fields": changes.fields}}])
            self.message_user(request, f"{user} {done}.", messages.SUCCESS)
            if left.handed_over:
                text = OWNS_NOW.format(to=to, whose="its", number=left.handed_over)
                self.message_user(request, text, messages.SUCCESS)
            elif left.owned:
                self.message_user(request, left_behind(user), messages.WARNING)
        except DomainError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        return redirected(reverse("admin:accounts_user_change", args=[user.pk]))


def left_behind(user: User) -> str:
    """Return the sentence on how many jobs an account leaves, and how they get another owner."""
    number = user.jobs.count()
    if not number:
        return "It owns no jobs."
    filtered = f"Jobs, filter Owner: {user.username}"
    return f"It owns {number} job{'s' if number != 1 else ''}. Hand them over first: {filtered}, action “Hand over”."
