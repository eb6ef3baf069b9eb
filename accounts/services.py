"""What can be done with accounts and sessions, for the API, the admin site and the commands alike."""

import dataclasses
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts import api_tokens, hashing, sessions, throttle
from accounts.authentication import REVOKED, USER_NOT_FOUND, open_session
from accounts.models import LoginSession, NotificationPreferences, Role, SessionKind, UiPreferences, User
from accounts.signals import LeaverJobs, leaving
from accounts.tokens import RefreshToken, TokenPair, issue_pair
from audit.services import MASKED, Entry, differences, record
from cronsched.lib.db import batches
from cronsched.lib.errors import Conflict, DomainError, Forbidden, NotFound, Unauthorized
from cronsched.lib.ids import known_id

security = logging.getLogger("cronsched.security")

BAD_CREDENTIALS = "Invalid email/username or password"
INACTIVE = "Account is inactive. Contact administrator."
USERNAME_TAKEN = "Username already exists"
EMAIL_TAKEN = "Email already exists"
NO_PASSWORDS = "Passwords are switched off here. Sign in to the console by single sign-on; scripts use API tokens."
LAST_ADMIN = "At least one active administrator is needed."
NO_JOBS = LeaverJobs(0, 0)


# --- Signing in ------------------------------------------------------------------------------------------------------


class SignIn(NamedTuple):
    user: User
    tokens: TokenPair


def sign_in(identifier: str, password: str, *, address: str, now: datetime) -> SignIn:
    """Open a session. Raises `Unauthorized` or `TooManyRequests`; says "inactive" only after the right password."""
    if not settings.LOCAL_PASSWORDS:
        raise Forbidden("Local sign-in is off", NO_PASSWORDS)
    while True:
        user = check_credentials(identifier, password, address=address, now=now)
        if not user.is_active:
            raise Unauthorized(INACTIVE, error="Account inactive")
        if session := start_session(user, now=now):
            return SignIn(user, issue_pair(session, now=now))


def check_credentials(identifier: str, password: str, *, address: str, now: datetime) -> User:
    """Return the account, active or not, whose name or e-mail and password these are.

    Raises `Unauthorized`, after as much work for an unknown account as for a wrong password, and `TooManyRequests`
    after too many failures (`accounts.throttle`) or while too many sign in at once.
    """
    hashing.refuse_when_full()
    attempt = throttle.Attempt(identifier, address)
    attempt.refuse_early(now=now)
    user = find_account(identifier)
    account = user.id if user else None
    attempt.refuse_crowded(account, now=now)
    with hashing.turn():
        if user is None:
            # Without it the time of the answer would tell which accounts exist.
            make_password(password)
        is_right = user is not None and user.check_password(password)
    if user is None or not is_right:
        # Without the name where it is none of ours: people also type their password into that field.
        security.warning("A sign-in of %s was refused, from %s", user or "an unknown name", address or "a command")
        attempt.failed(user, now=now)
        raise Unauthorized(BAD_CREDENTIALS, error="Invalid credentials")
    attempt.succeeded(user.id, now=now)
    return user


def find_account(identifier: str) -> User | None:
    """Return the account of this username (case-sensitive) or else of this e-mail (in any case)."""
    by_name = User.objects.filter(username=identifier).first()
    return by_name or User.objects.filter(email=identifier.lower()).first()


def start_session(user: User, *, now: datetime) -> LoginSession | None:
    """Open a session for `user`, or return None if the password is no longer the one `user` was read with.

    The row of the account is locked meanwhile: a password changed between the check of the old one and this call
    must not leave a session of the old one behind.
    """
    with transaction.atomic():
        current = User.objects.select_for_update().filter(id=user.id).first()
        if current is None or current.password != user.password:
            return None
        User.objects.filter(id=user.id).update(last_login=now)
        record(_entry("user.signed_in", user), by=user, now=now)
        return sessions.begin(user, SessionKind.API, lasts=_refreshable(), now=now)


def record_console_sign_in(request: HttpRequest, user: User, **_: Any) -> None:
    """Open the console's session and put the sign-in into the audit trail. Called by Django's signal."""
    now = timezone.now()
    with transaction.atomic():
        sessions.begin_console(request, user, now=now)
        factor = sessions.factor_of_sign_in(request)
        entry = replace(_entry("user.signed_in", user), reason=f"by {factor}" if factor else "")
        record(entry, by=user, now=now)


def record_console_sign_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    """End the console's session and put the sign-out into the audit trail, where there was a session."""
    if user is None:
        return
    with transaction.atomic():
        sessions.end_console(request)
        record(_entry("user.signed_out", user), by=user, now=timezone.now())


def refresh(token: str, *, now: datetime) -> TokenPair:
    """Exchange a refresh token for a new pair of the same session. The one used stays valid. Raises `Unauthorized`."""
    session = open_session(token, RefreshToken, now=now)
    expires_at = sessions.expiry(session.created_at, lasts=_refreshable(), now=now)
    if not LoginSession.objects.filter(id=session.id).update(expires_at=expires_at):
        raise Unauthorized(REVOKED)
    return issue_pair(session, now=now)


def _refreshable() -> timedelta:
    return timedelta(seconds=settings.REFRESH_TOKEN_SECONDS)


def sign_out(session: LoginSession, *, now: datetime) -> None:
    """End a session: its tokens are refused from now on."""
    with transaction.atomic():
        session.delete()
        record(_entry("user.signed_out", session.user), by=session.user, now=now)


def prune(now: datetime) -> dict[str, int]:
    """Delete what has run out: sessions, cookies of the admin site, counts of failed sign-ins. Returns the counts.

    A chore of the leader. Signs no account out: what has run out is refused already.
    """
    sessions, _ = LoginSession.objects.filter(expires_at__lte=now).delete()
    cookies, _ = Session.objects.filter(expire_date__lte=now).delete()
    return {"sessions": sessions, "cookies": cookies, "failed sign-ins": throttle.prune_failures(now)}


# --- Accounts --------------------------------------------------------------------------------------------------------


# What the trail shows of an account.
AUDITED_FIELDS = ("username", "email", "role", "is_active")


def _entry(action: str, user: User, changes: Mapping[str, tuple[Any, Any]] | None = None) -> Entry:
    return Entry(action, str(user.pk), user.username, changes or {}, owner_id=user.pk)


def _described(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in AUDITED_FIELDS}


def record_creation(user: User, *, by: User | None, now: datetime) -> None:
    """Put a new account into the audit trail, within the transaction that creates it."""
    created = {name: (None, value) for name, value in _described(user).items()}
    record(_entry("user.created", user, created), by=by, now=now)


def record_changes(user: User, before: User, *, fields: Collection[str], by: User | None, now: datetime) -> None:
    """Put what differs in `fields` from the account as it was into the audit trail; nothing where nothing does."""
    changes = differences(
        *({name: value for name, value in _described(row).items() if name in fields} for row in (before, user))
    )
    if "password" in fields:
        changes["password"] = (MASKED, MASKED)
    if changes:
        record(_entry("user.updated", user, changes), by=by, now=now)


def create_account(
    *,
    username: str,
    email: str,
    password: str | None,
    role: str = Role.VIEWER,
    is_active: bool = True,
    by: User | None,
    now: datetime,
) -> User:
    """Create an account from values of the right form; without a password it is entered by single sign-on only.

    Raises `Conflict` for a taken name or address.
    """
    user = User(username=username, email=email, role=role, is_active=is_active)
    user.normalize()
    _refuse_taken_username(user)
    refuse_taken_email(user.email, but=user)
    # Hashing takes a good part of a second; no transaction waits for it.
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            record_creation(user, by=by, now=now)
    except IntegrityError:
        # Another request was faster. The constraint decided; these only choose the text.
        _refuse_taken_username(user)
        refuse_taken_email(user.email, but=user)
        raise
    return user


@dataclass(frozen=True)
class AccountChanges:
    """What to change about an account; None leaves a field alone."""

    email: str | None = None
    password: str | None = None
    role: str | None = None
    is_active: bool | None = None

    @property
    def fields(self) -> list[str]:
        """The names of what changes, in the contract's order."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None]


def update_account(
    user: User,
    changes: AccountChanges,
    *,
    keep_session: UUID | None,
    by: User | None,
    now: datetime,
    hand_over_to: User | None = None,
) -> LeaverJobs:
    """Apply `changes`. A new password ends the account's sessions, in API and admin, but `keep_session`.

    Where they deactivate the account, its jobs are handed over to `hand_over_to`; returned is what it leaves. Raises
    `Conflict` for a taken address, `NotFound` if the account has been deleted meanwhile and `DomainError` where no
    active administrator would be left.
    """
    left = NO_JOBS
    for name in changes.fields:
        if name == "password":
            with hashing.turn():
                user.set_password(changes.password, keep_session=keep_session)
        else:
            setattr(user, name, getattr(changes, name))
    user.normalize()
    try:
        with transaction.atomic():
            if changes.role not in (None, Role.ADMIN) or changes.is_active is False:
                keep_an_administrator(but=user)
            before = _locked(user)
            if changes.is_active is False:
                left = _leave(user, to=hand_over_to, by=by, now=now)
                api_tokens.end_all(user, why="The account was deactivated.", by=by, now=now)
            user.save(update_fields=[*changes.fields, "updated_at"])
            record_changes(user, before, fields=changes.fields, by=by, now=now)
    except IntegrityError:
        refuse_taken_email(user.email, but=user)
        raise
    return left


def _leave(user: User, *, to: User | None, by: User | None, now: datetime) -> LeaverJobs:
    """Let the other apps hand over what belongs to `user`. Raises `DomainError` where `to` may not have it."""
    if to is not None and to.pk == user.pk:
        raise DomainError("Invalid hand_over_to", "hand_over_to must be another account.", field="hand_over_to")
    told: list[Any] = [answer for _, answer in leaving.send(User, user=user, to=to, by=by, now=now)]
    return LeaverJobs(sum(left.owned for left in told), sum(left.handed_over for left in told))


def new_owner(text: str) -> User:
    """Return the account that `text` names, by id or username. Raises `DomainError`."""
    known = known_id(text)
    found = User.objects.filter(pk=known).first() if known else User.objects.filter(username=text).first()
    if found is None:
        raise DomainError("Invalid hand_over_to", "hand_over_to must be the id or name of an account.")
    return found


def confirm_password(user: User, password: str | None, *, address: str, now: datetime) -> None:
    """Raise `DomainError` unless `password` is that of `user`; wrong ones count like failed sign-ins.

    400 and not 401, which the existing frontend takes for the end of the session.
    """
    field = "current_password"
    if not password:
        raise DomainError(
            "Missing required fields", f'"{field}" is required to change password or e-mail.', field=field
        )
    try:
        check_credentials(user.username, password, address=address, now=now)
    except Unauthorized:
        raise DomainError("Invalid current password", f'"{field}" is not your password.', field=field) from None


def delete_account(user: User, *, by: User, now: datetime, hand_over_to: User | None = None) -> LeaverJobs:
    """Delete `user` and return what it leaves, handed over to `hand_over_to` or without an owner.

    Raises `DomainError` for one's own account and where no active administrator would be left.
    """
    if user.id == by.id:
        raise DomainError("Cannot delete your own account")
    with transaction.atomic():
        keep_an_administrator(but=user)
        # Locked first, so that no row that refers to the account can appear while the others are being collected.
        _locked(user)
        left = _leave(user, to=hand_over_to, by=by, now=now)
        api_tokens.end_all(user, why="The account was deleted.", by=by, now=now)
        User.objects.filter(id=user.id).delete()
        deleted = {name: (value, None) for name, value in _described(user).items()}
        record(_entry("user.deleted", user, deleted), by=by, now=now)
    return left


def keep_an_administrator(*, but: User) -> None:
    """Refuse, by `DomainError`, that the only active administrator ceases to be one.

    All of them stay locked until the transaction ends: two who act on each other at once see each other's act.
    """
    active = batches.locked(User.objects.filter(role=Role.ADMIN, is_active=True).order_by("id"), skip=False)
    if list(active.values_list("id", flat=True)) == [but.id]:
        raise DomainError("Last administrator", LAST_ADMIN)


def refuse_taken_email(email: str, *, but: User) -> None:
    if User.objects.filter(email=email).exclude(id=but.id).exists():
        raise Conflict(EMAIL_TAKEN, EMAIL_TAKEN, field="email", detail=EMAIL_TAKEN)


def _refuse_taken_username(user: User) -> None:
    if User.objects.filter(username=user.username).exclude(id=user.id).exists():
        raise Conflict(USERNAME_TAKEN, USERNAME_TAKEN, field="username", detail=USERNAME_TAKEN)


def _locked(user: User) -> User:
    """Return the account as it is stored, locked until the transaction ends. Raises `NotFound` if it is gone."""
    stored = User.objects.select_for_update().filter(id=user.id).first()
    if stored is None:
        raise NotFound(USER_NOT_FOUND)
    return stored


def create_first_admin(*, username: str, email: str, password: str, now: datetime) -> User | None:
    """Create the first administrator, or return None where there is an active one already.

    Raises `django.core.exceptions.ValidationError` for values no account may have and `Conflict` for those another
    account has. Of several processes that try at once with the same name, one creates the account.
    """
    if _has_administrator():
        return None
    user = User(username=username, email=email, role=Role.ADMIN)
    user.clean()
    user.clean_fields(exclude=["password"])
    validate_password(password, user)
    try:
        user.validate_unique()
        user.set_password(password)
        with transaction.atomic():
            user.save(force_insert=True)
            record_creation(user, by=None, now=now)
    except (IntegrityError, ValidationError):
        if _has_administrator():
            return None
        _refuse_taken_username(user)
        refuse_taken_email(user.email, but=user)
        raise
    return user


def _has_administrator() -> bool:
    return User.objects.filter(role=Role.ADMIN, is_active=True).exists()


# --- Preferences -----------------------------------------------------------------------------------------------------


Preferences = TypeVar("Preferences", NotificationPreferences, UiPreferences)


def preferences_of(user: User, kind: type[Preferences]) -> Preferences:
    """Return the account's preferences, made with the defaults when they are first asked for."""
    try:
        with transaction.atomic():
            preferences, _ = kind._default_manager.get_or_create(user=user)
    except IntegrityError:
        raise NotFound(USER_NOT_FOUND) from None
    return preferences


def set_preferences(user: User, kind: type[Preferences], values: Mapping[str, Any], *, now: datetime) -> Preferences:
    """Store `values` and return the preferences as they are then."""
    preferences = preferences_of(user, kind)
    changes = {**values, "updated_at": now}
    # Only what was sent, so that two forms saved at once do not undo each other.
    kind._default_manager.filter(id=preferences.id).update(**changes)
    for name, value in changes.items():
        setattr(preferences, name, value)
    return preferences
