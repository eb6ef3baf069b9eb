"""The console's pages of second factors: the second step of a sign-in, and adding, renaming and removing one's own."""

from collections.abc import Callable
from typing import Any

import segno
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import login
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import factor_steps, second_factors, sessions
from accounts.console import account
from accounts.forms import AppForm, FactorForm, FactorNameForm, PasskeyForm
from accounts.throttle import client_address
from cronsched.lib import crypto
from cronsched.lib.errors import DomainError, TooManyRequests

NEW_SECRET = "new_app_secret"  # noqa: S105 the name of a place
TOO_LATE = "This page was shown too long ago. Let the app read the new picture."
AGAIN = "Your sign-in is more than 15 minutes old. Sign in again to change your second factors."

View = Callable[[HttpRequest], HttpResponse]


@never_cache
@require_http_methods(["GET", "POST"])
def second_step(request: HttpRequest) -> HttpResponse:
    """Ask for the second factor after the right password, and sign the account in."""
    now = timezone.now()
    begun = factor_steps.begun(request, now=now)
    if begun is None:
        factor_steps.forget(request)
        messages.error(request, factor_steps.STALE)
        return HttpResponseRedirect(reverse("admin:login"))
    user, next_page = begun
    form = FactorForm(request.POST or None)
    if request.method == "POST":
        address = client_address(request)
        try:
            if answer := request.POST.get("passkey"):
                state = request.session.pop(factor_steps.CHALLENGE, None)
                used = second_factors.check_passkey(user, state, answer, address=address, now=now)
            elif form.is_valid():
                used = second_factors.check_code(user, form.cleaned_data["code"], address=address, now=now)
            else:
                used = ""
        except DomainError as refusal:
            _refuse(request, form, refusal)
        else:
            if used:
                factor_steps.forget(request)
                setattr(request, sessions.FACTOR_KEY, used)
                login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
                return HttpResponseRedirect(next_page)
    asked = second_factors.ask_passkey(user)
    if asked:
        request.session[factor_steps.CHALLENGE] = asked[1]
    context = {
        **admin.site.each_context(request),
        "title": "Second factor",
        "form": form,
        "passkey": asked[0] if asked else None,
        "origin": second_factors.origin(),
    }
    return TemplateResponse(request, "console/second_factor.html", context)


def _refuse(request: HttpRequest, form: Form, refusal: DomainError) -> None:
    if isinstance(refusal, TooManyRequests):
        # For `accounts.middleware`, which gives the page its status.
        request.sign_in_refusal = refusal  # type: ignore[attr-defined]
    form.is_valid()
    form.errors.clear()
    form.add_error(None, str(refusal))


def _freshly(view: View) -> View:
    """Let an account change factors only shortly after a sign-in."""

    def checked(request: HttpRequest) -> HttpResponse:
        if not sessions.is_fresh(request, now=timezone.now()):
            return factor_steps.sign_in_again(request, AGAIN)
        return view(request)

    return checked


@require_http_methods(["GET", "POST"])
def add_app(request: HttpRequest) -> HttpResponse:
    """Show a new secret as a picture until the app that has read it shows a right code."""
    by = account(request)
    form = AppForm(request.POST or None, initial={"name": "App"})
    kept = _kept_secret(request)
    secret = kept or second_factors.new_secret()
    if not kept:
        # Encrypted, since sessions are rows.
        request.session[NEW_SECRET] = crypto.encrypt(secret)
        if form.is_bound:
            form.add_error(None, TOO_LATE)
    elif request.method == "POST" and form.is_valid():
        values, session = form.cleaned_data, sessions.console_session(request)
        try:
            codes = second_factors.add_app(
                by, secret, values["code"], name=values["name"], keep=session, now=timezone.now()
            )
        except DomainError as refusal:
            form.add_error(None, str(refusal))
        else:
            del request.session[NEW_SECRET]
            return _added(request, values["name"], codes)
    picture = segno.make_qr(second_factors.app_uri(by, secret)).svg_inline(scale=5, light="#fff", title="QR code")
    spaced = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    more = {"form": form, "picture": mark_safe(picture), "secret": spaced}  # noqa: S308 made here, of squares only
    return _page(request, "console/add_factor.html", "Add an authenticator app", **more)


def _kept_secret(request: HttpRequest) -> str:
    """Return the secret that the page has shown before; blank where it has not, or its key is gone meanwhile."""
    try:
        return crypto.decrypt(request.session.get(NEW_SECRET, ""))
    except crypto.Undecipherable:
        return ""


@require_http_methods(["GET", "POST"])
def add_passkey(request: HttpRequest) -> HttpResponse:
    """Show the page on which the browser makes a passkey, and store it."""
    by = account(request)
    form = PasskeyForm(request.POST or None, initial={"name": "Passkey"})
    if request.method == "POST" and form.is_valid():
        values, session = form.cleaned_data, sessions.console_session(request)
        state = request.session.pop(factor_steps.CHALLENGE, None)
        try:
            codes = second_factors.add_passkey(
                by, state, values["passkey"], name=values["name"], keep=session, now=timezone.now()
            )
        except DomainError as refusal:
            form.add_error(None, str(refusal))
        else:
            return _added(request, values["name"], codes)
    options, request.session[factor_steps.CHALLENGE] = second_factors.begin_passkey(by)
    more = {"form": form, "passkey": options, "origin": second_factors.origin()}
    return _page(request, "console/add_factor.html", "Add a passkey", **more)


@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Rename or remove a factor, or make new recovery codes."""
    by, now, asked = account(request), timezone.now(), request.POST
    try:
        if "codes" in asked:
            return _show_codes(request, second_factors.renew_recovery_codes(by, now=now))
        if "rename" in asked:
            form = FactorNameForm({"name": asked.get(f"name-{asked['rename']}", "")})
            if not form.is_valid():
                raise DomainError("Invalid name", "A name has 1 to 60 characters.")
            factor = second_factors.rename(by, asked["rename"], form.cleaned_data["name"], now=now)
            messages.success(request, f"It is called {factor.name} now.")
        else:
            factor = second_factors.remove(by, asked.get("remove", ""), now=now)
            messages.success(request, f"{factor} was removed.")
    except DomainError as refusal:
        messages.error(request, str(refusal))
    return HttpResponseRedirect(reverse("account"))


def _added(request: HttpRequest, name: str, codes: list[str]) -> HttpResponse:
    sessions.note_factor(request, f"adding {name}")
    messages.success(request, f"{name} was added. From now on the sign-in asks for it.")
    return _show_codes(request, codes) if codes else HttpResponseRedirect(reverse("account"))


def _show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    return _page(request, "console/recovery_codes.html", "Recovery codes", codes=codes)


def _page(request: HttpRequest, template: str, title: str, **more: Any) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, "page_name": "Account", **more}
    return TemplateResponse(request, template, context)


def _own_page(view: View) -> Any:
    return admin.site.admin_view(_freshly(view))


urlpatterns = [
    path("second_factor/", second_step, name="second_factor"),
    path("account/second_factors/", _own_page(change), name="second_factors"),
    path("account/add_app/", _own_page(add_app), name="add_app"),
    path("account/add_passkey/", _own_page(add_passkey), name="add_passkey"),
]
