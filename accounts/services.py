"""What can be done with accounts and sessions, for the API, the admin site and the commands alike."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts.models import LoginSession, User

# --- Sessions --------------------------------------------------------------------------------------------------------


def start_session(user: User, *, now: datetime) -> LoginSession | None:
    """Open a session for `user`, or return None if the password is no longer the one `user` was read with.

    The row of the account is locked meanwhile: a password changed between the check of the old one and this call
    must not leave a session of the old one behind.
    """
    expires_at = now + timedelta(seconds=settings.REFRESH_TOKEN_SECONDS)
    with transaction.atomic():
        current = User.objects.select_for_update().filter(id=user.id).first()
        if current is None or current.password != user.password:
            return None
        return LoginSession.objects.create(user=user, created_at=now, expires_at=expires_at)


def prune_sessions(now: datetime) -> int:
    """Delete the sessions whose last token has expired. Returns how many there were."""
    deleted, _ = LoginSession.objects.filter(expires_at__lte=now).delete()
    return deleted
