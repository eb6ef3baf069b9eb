"""The console's pages about one's own account: where it is signed in, and its password."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse, reverse_lazy
from django.utils import timezone
from django.utils.html import format_html

from accounts import second_factors, services, sessions
from accounts.console import account
from accounts.forms import OwnPasswordForm
from accounts.models import LoginSession, SecondFactor
from accounts.services import AccountChanges
from cronsched.console.texts import moment, one_line
from cronsched.lib.errors import DomainError

END = '<button type="submit" name="end" value="{}" class="console-link" aria-label="End the session of {}">End</button>'

NAME = '<input name="name-{}" value="{}" maxlength="60" aria-label="New name of {}" class="console-input">'
CHANGE = (
    '<button type="submit" name="rename" value="{0}" class="console-link" aria-label="Rename {1}">Rename</button> '
    '<button type="submit" name="remove" value="{0}" class="console-link" aria-label="Remove {1}">Remove</button>'
)


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """Return what the menu under one's name offers, for the theme."""
    password = {"title": "Change password", "link": reverse("admin:password_change")}
    return [
        {"title": "Account and sessions", "link": reverse("account")},
        *([password] if settings.LOCAL_PASSWORDS else []),
    ]


def show(request: HttpRequest) -> HttpResponse:
    """Show where the account is signed in, and end what is asked for."""
    by, now = account(request), timezone.now()
    if request.method == "POST":
        return _end(request, now=now)
    current = sessions.console_session(request)
    context = {
        **admin.site.each_context(request),
        "title": "Account",
        "page_name": "Account",
        "facts": [("Username", by.username), ("E-mail", by.email), ("Role", by.get_role_display())],
        "factors": {
            "headers": ["Kind", "Name", "Added", "Last used", ""],
            "rows": [_factor_row(factor) for factor in second_factors.of(by)],
        },
        "codes_left": second_factors.recovery_codes_left(by),
        "sessions": {
            "headers": ["Signed in", "By", "Last seen", "Address", "Program", "Ends", ""],
            "rows": [_row(session, is_own=session.pk == current) for session in sessions.listed(by, now=now)],
        },
    }
    return TemplateResponse(request, "console/account.html", context)


def _end(request: HttpRequest, *, now: datetime) -> HttpResponse:
    by = account(request)
    try:
        if "others" in request.POST:
            number = sessions.end_others(by, but=sessions.console_session(request), now=now)
            messages.success(request, f"{number} other session{'' if number == 1 else 's'} ended.")
        else:
            sessions.end(request.POST.get("end", ""), by=by, now=now)
            messages.success(request, "The session was ended.")
    except DomainError as refusal:
        messages.error(request, str(refusal))
    return HttpResponseRedirect(reverse("account"))


def _factor_row(factor: SecondFactor) -> list[Any]:
    return [
        factor.get_kind_display(),
        format_html(NAME, factor.pk, factor.name, factor.name),
        moment(factor.created_at),
        moment(factor.last_used_at) or "-",
        format_html(CHANGE, factor.pk, factor.name),
    ]


def _row(session: LoginSession, *, is_own: bool) -> list[Any]:
    when = f"{session.created_at:%Y-%m-%d %H:%M}"
    return [
        moment(session.created_at),
        session.get_kind_display(),
        moment(session.last_seen_at) or "-",
        session.address or "-",
        one_line(session.user_agent or "-"),
        moment(session.expires_at),
        "This one" if is_own else format_html(END, session.pk, when),
    ]


class OwnPasswordView(PasswordChangeView):
    """Django's page, with the change made by the service: it stands in the audit trail and ends all other sessions."""

    form_class = OwnPasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, **admin.site.each_context(self.request))

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        by = account(self.request)
        changes = AccountChanges(password=form.cleaned_data["new_password1"])
        session = sessions.console_session(self.request)
        services.update_account(by, changes, keep_session=session, by=by, now=timezone.now())
        update_session_auth_hash(self.request, by)
        return HttpResponseRedirect(str(self.get_success_url()))


urlpatterns = [
    path("account/", admin.site.admin_view(show), name="account"),
    path("password_change/", admin.site.admin_view(OwnPasswordView.as_view())),
]
