"""The two moments at which the console asks for a second factor: after the password, and where one has to be added."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounts import second_factors, sessions
from accounts.console import next_page
from accounts.models import User

KEY, CHALLENGE = "signing_in", "passkey_challenge"
LASTS = timedelta(minutes=10)
STALE = "This sign-in was started too long ago, or the account has changed since. Start again."
ADD_ONE = "A second factor is required of you. Add an authenticator app or a passkey to go on."
# The pages an account may open that still has to add a factor.
OPEN_PAGES = ("account", "second_factors", "add_app", "add_passkey", "admin:logout", "admin:login", "admin:jsi18n")


def begin(request: HttpRequest, user: User) -> None:
    """Note the account whose password was right, and the next page, in the browser's session: not signed in yet."""
    now = timezone.now()
    until = (now + LASTS).timestamp()
    told = {"user": str(user.pk), "hash": user.get_session_auth_hash(), "until": until, "next": next_page(request)}
    request.session.cycle_key()
    request.session[KEY] = told


def begun(request: HttpRequest, *, now: datetime) -> tuple[User, str] | None:
    """Return who has given the password and where the sign-in leads; None where it no longer counts.

    A new password, a deactivation and the loss of the last factor end it.
    """
    told: dict[str, Any] = request.session.get(KEY) or {}
    if not told or datetime.fromtimestamp(told["until"], UTC) <= now:
        return None
    user = User.objects.filter(pk=told["user"], is_active=True).first()
    if user is None or user.get_session_auth_hash() != told["hash"] or not second_factors.has(user):
        return None
    return user, told["next"]


def forget(request: HttpRequest) -> None:
    for key in (KEY, CHALLENGE):
        request.session.pop(key, None)


def missing_step(request: HttpRequest) -> HttpResponse | None:
    """Return where a browser is led whose person needs a second factor and has not proven one; None for all others."""
    user = request.user
    if not isinstance(user, User) or not second_factors.is_required(user) or sessions.has_proven_factor(request):
        return None
    if second_factors.has(user):
        return sign_in_again(request, "A second factor is required of you now. Sign in again with it.")
    if request.path_info in {reverse(page) for page in OPEN_PAGES}:
        return None
    messages.warning(request, ADD_ONE)
    return HttpResponseRedirect(reverse("account"))


def sign_in_again(request: HttpRequest, why: str, *, to: str = "account") -> HttpResponse:
    """End the session and lead to the sign-in, which leads back."""
    sessions.end_console(request)
    request.session.flush()
    messages.warning(request, why)
    return HttpResponseRedirect(f"{reverse('admin:login')}?next={reverse(to)}")
