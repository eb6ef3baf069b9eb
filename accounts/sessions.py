"""Sessions: where an account is signed in, over the API and at the console. Its owner sees and ends them.

A session ends with its tokens or its cookie, and at the latest `SESSION_MAX_AGE_DAYS` after the sign-in.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import LoginSession, SessionKind, User
from audit import origin
from audit.services import Entry, record
from cronsched.lib.errors import DomainError, Forbidden, NotFound
from cronsched.lib.ids import known_id

# Precision of "last seen": a page that polls each second must not write a row each second.
NOTED_EVERY = timedelta(minutes=1)
# Where the id of the session stands in the data of the console's cookie.
COOKIE_KEY = "login_session"
# The key of the factor by which a person signed in besides the password, or instead of it.
FACTOR_KEY = "second_factor"
# For how long after the sign-in the factors themselves may be changed.
FRESH_FOR = timedelta(minutes=15)
ADDRESS_LENGTH, USER_AGENT_LENGTH = 45, 200


# --- How long ---------------------------------------------------------------------------------------------------------


def expiry(created_at: datetime, *, lasts: timedelta, now: datetime) -> datetime:
    """Return when a session ends that is used now and would last for `lasts`."""
    latest = _latest(created_at)
    return now + lasts if latest is None else min(now + lasts, latest)


def is_over(session: LoginSession, *, now: datetime) -> bool:
    """Return whether a session has reached the age that the setting allows, whatever its tokens say."""
    latest = _latest(session.created_at)
    return latest is not None and latest <= now


def time_left(session: LoginSession, *, now: datetime) -> timedelta:
    """Return how long a token of the session may be of use."""
    latest = _latest(session.created_at)
    return timedelta.max if latest is None else latest - now


def _latest(created_at: datetime) -> datetime | None:
    days: int = settings.SESSION_MAX_AGE_DAYS
    return created_at + timedelta(days=days) if days else None


# --- Beginning and using ----------------------------------------------------------------------------------------------


def begin(user: User, kind: SessionKind, *, lasts: timedelta, now: datetime) -> LoginSession:
    """Open a session of `user`, who comes from the current origin."""
    where = origin.current()
    return LoginSession.objects.create(
        user=user,
        kind=kind,
        created_at=now,
        expires_at=expiry(now, lasts=lasts, now=now),
        last_seen_at=now,
        address=where.source_ip[:ADDRESS_LENGTH],
        user_agent=_printable(where.user_agent)[:USER_AGENT_LENGTH],
    )


def note_use(session: LoginSession, *, now: datetime) -> None:
    """Write down that a session is in use, and from where; at most once a minute."""
    if session.last_seen_at is not None and session.last_seen_at > now - NOTED_EVERY:
        return
    address = origin.current().source_ip[:ADDRESS_LENGTH]
    LoginSession.objects.filter(pk=session.pk).update(last_seen_at=now, address=address)


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())


# --- The console's cookie ---------------------------------------------------------------------------------------------


def begin_console(request: HttpRequest, user: User, *, now: datetime) -> None:
    """Open the session of a browser that has just signed in. It lasts from the sign-in, not from the last page."""
    lasts = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    session = begin(user, SessionKind.CONSOLE, lasts=lasts, now=now)
    request.session[COOKIE_KEY] = str(session.pk)
    note_factor(request, factor_of_sign_in(request))
    request.session.set_expiry(session.expires_at)


def factor_of_sign_in(request: HttpRequest) -> str:
    """Return what the request that signs in has proven besides a password."""
    return getattr(request, FACTOR_KEY, "")


def note_factor(request: HttpRequest, factor: str) -> None:
    request.session[FACTOR_KEY] = factor


def has_proven_factor(request: HttpRequest) -> bool:
    return bool(request.session.get(FACTOR_KEY))


def is_fresh(request: HttpRequest, *, now: datetime) -> bool:
    """Return whether the person of this browser has signed in lately: a cookie alone changes no factors."""
    session = console_session(request)
    return session is not None and LoginSession.objects.filter(pk=session, created_at__gt=now - FRESH_FOR).exists()


def end_console(request: HttpRequest) -> None:
    if session_id := console_session(request):
        LoginSession.objects.filter(pk=session_id).delete()


def console_session(request: HttpRequest) -> UUID | None:
    """Return the id of the session that a browser's cookie stands for."""
    return known_id(request.session.get(COOKIE_KEY, ""))


def check_console(request: HttpRequest, *, now: datetime) -> None:
    """Sign a browser out whose session has been ended or has run out; note the use of any other.

    A cookie from before sessions were listed gets its row now.
    """
    if not isinstance(request.user, User):
        return
    session_id = console_session(request)
    if session_id is None:
        begin_console(request, request.user, now=now)
        return
    session = LoginSession.objects.filter(pk=session_id, user=request.user, kind=SessionKind.CONSOLE).first()
    if session is None or session.expires_at <= now or is_over(session, now=now):
        request.session.flush()
        request.user = AnonymousUser()
        return
    note_use(session, now=now)


# --- Listing and ending -----------------------------------------------------------------------------------------------


def listed(by: User, *, owner: str = "", now: datetime) -> QuerySet[LoginSession]:
    """Return the open sessions that `by` may see: the own ones, or for administrators those of `owner`.

    Raises `Forbidden` and `DomainError`.
    """
    return LoginSession.objects.filter(user=_owner(by, owner), expires_at__gt=now).order_by("-created_at", "-id")


def end(session_id: str, *, by: User, now: datetime) -> None:
    """End a session: its tokens or its cookie are refused from now on. Raises `NotFound` for what `by` may not see."""
    known = known_id(session_id)
    visible = LoginSession.objects.select_related("user")
    session = (visible if by.is_admin else visible.filter(user=by)).filter(pk=known).first() if known else None
    if session is None:
        raise NotFound("Session not found", f"No session found with ID: {session_id}")
    with transaction.atomic():
        if LoginSession.objects.filter(pk=session.pk).delete()[0]:
            record(_entry(session), by=by, now=now)


def end_others(by: User, *, but: UUID | None, owner: str = "", now: datetime) -> int:
    """End all sessions of an account, the own ones unless an administrator names its `owner`, except `but`.

    Return how many there were. Raises `Forbidden` and `DomainError`.
    """
    with transaction.atomic():
        sessions = LoginSession.objects.select_related("user").filter(user=_owner(by, owner))
        ended = [session for session in sessions if session.pk != but]
        LoginSession.objects.filter(pk__in=[session.pk for session in ended]).delete()
        record(*(_entry(session) for session in ended), by=by, now=now)
    return len(ended)


def _owner(by: User, owner: str) -> User:
    if not owner or owner == str(by.pk):
        return by
    if not by.is_admin:
        raise Forbidden("Insufficient permissions", "Admin access required")
    known = known_id(owner)
    found = User.objects.filter(pk=known).first() if known else None
    if found is None:
        raise DomainError("Invalid owner", "owner must be the id of an account.", field="owner")
    return found


def _entry(session: LoginSession) -> Entry:
    return Entry("session.ended", str(session.pk), session.user.username, owner_id=session.user_id)
