"""The two pages of single sign-on: one sends the browser to the identity provider, it comes back to the other."""

from dataclasses import asdict

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import identities, sessions, sso
from accounts.console import next_page
from accounts.sso import Flow, SignInFailed
from accounts.throttle import reported_address

COOKIE, SALT, SECONDS = "sso", "accounts.sso", 600


@never_cache
@require_GET
def begin(request: HttpRequest) -> HttpResponse:
    """Send the browser to the provider; by a link, since the console's forms may lead nowhere else."""
    if not sso.is_on():
        raise Http404
    flow = sso.new_flow(next_page(request))
    try:
        response = HttpResponseRedirect(sso.authorization_url(flow))
    except SignInFailed as failure:
        return _refused(request, failure)
    kept = signing.dumps(asdict(flow), salt=SALT)
    # Lax: it must come along when the provider sends the browser back.
    response.set_cookie(
        COOKIE, kept, SECONDS, path="/admin/sso/", httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
    )
    return response


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Sign in whom the provider has sent back."""
    if not sso.is_on():
        raise Http404
    now, claims = timezone.now(), {}
    try:
        flow = _flow(request)
        claims = sso.claims_of(request.GET.dict(), flow)
        user = identities.account_of(claims, now=now)
    except SignInFailed as failure:
        return _refused(request, failure, claims)
    # The provider asks for factors of its own, as it sees fit.
    setattr(request, sessions.FACTOR_KEY, "single sign-on")
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    response = HttpResponseRedirect(flow.next)
    response.delete_cookie(COOKIE, path="/admin/sso/")
    return response


def _flow(request: HttpRequest) -> Flow:
    try:
        return Flow(**signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=SECONDS))
    except signing.BadSignature as error:
        raise SignInFailed(sso.STALE, "no sign-in had begun in this browser") from error


def _refused(request: HttpRequest, failure: SignInFailed, claims: dict[str, object] | None = None) -> HttpResponse:
    identities.note_refusal(claims or {}, failure, address=reported_address(request), now=timezone.now())
    messages.error(request, str(failure))
    response = HttpResponseRedirect(reverse("admin:login"))
    response.delete_cookie(COOKIE, path="/admin/sso/")
    return response


urlpatterns = [path("sso/", begin, name="sso"), path("sso/callback/", callback, name="sso_callback")]
