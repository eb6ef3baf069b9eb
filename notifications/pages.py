"""Unsubscribes from a digest by the link in its mail. The page's button acts; mail programs may do so themselves."""

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.models import NotificationPreferences, User

PAGE = "notifications/unsubscribe.html"
LINK_SALT = "notifications.unsubscribe"
# Which preference a link may switch off, and what it is called.
DIGESTS = {"daily_digest": "daily digest", "weekly_report": "weekly report"}


def unsubscribe_link(user: User, preference: str) -> str:
    """Return the address that switches one of `DIGESTS` off for `user`. It never expires: old mails must work too."""
    token = signing.dumps([str(user.pk), preference], salt=LINK_SALT)
    return f"{settings.PUBLIC_BASE_URL.rstrip('/')}/links/unsubscribe/{token}"


# A mail program's one click (RFC 8058) brings no cookie; the signed address alone says what may be done.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    try:
        user_id, preference = signing.loads(token, salt=LINK_SALT)
    except signing.BadSignature:
        return render(request, PAGE, {"refused": True}, status=404)
    preferences = NotificationPreferences.objects.filter(user=user_id)
    if request.method == "POST":
        preferences.update(**{preference: False}, updated_at=timezone.now())
    return render(request, PAGE, {"name": DIGESTS[preference], "done": request.method == "POST"})
