"""Finds or creates the account of a person from the claims of an identity provider."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import services
from accounts.models import Identity, Role, User
from accounts.services import INACTIVE, AccountChanges
from accounts.sso import SignInFailed
from accounts.validators import EMAIL_LENGTH, USERNAME_LENGTH, is_email
from audit.origin import acting_from, current
from audit.services import Entry, record
from cronsched.lib.errors import DomainError

security = logging.getLogger("cronsched.security")

NO_EMAIL = "The identity provider sends no e-mail address for you. Ask its administrator for one."
UNVERIFIED = "Your e-mail address is not verified at the identity provider. Verify it there and sign in again."
TAKEN = "Your e-mail address belongs to an account that another person signs in to. Tell an administrator."
UNKNOWN = "There is no account for you here. Ask an administrator to create one with your e-mail address."
NO_ROLE = "The identity provider gives you no role here. Ask its administrator for one."
# The role with the most rights first: of several it counts.
ROLES = (Role.ADMIN, Role.USER, Role.VIEWER)
EVERYBODY = "*"


def account_of(claims: Mapping[str, Any], *, now: datetime) -> User:
    """Return the account of the person that `claims` tell of, with the role they say; made where the settings let it.

    Raises `SignInFailed`, with nothing written but, where the account is known, the refusal.
    """
    try:
        return _account(claims, now=now)
    except (SignInFailed, IntegrityError):
        # Another browser of the same person, or somebody who wants the same name, may have been faster.
        return _account(claims, now=now)


def _account(claims: Mapping[str, Any], *, now: datetime) -> User:
    try:
        with transaction.atomic(), acting_from(replace(current(), nobody="single sign-on")):
            user = _known(claims) or _linked(claims, now=now) or _created(claims, now=now)
            if not user.is_active:
                raise SignInFailed(INACTIVE, f"the account {user} is inactive")
            _set_role(user, _role(claims), now=now)
            return user
    except DomainError as refusal:
        raise SignInFailed(str(refusal)) from refusal


def note_refusal(claims: Mapping[str, Any], failure: SignInFailed, *, address: str, now: datetime) -> None:
    """Put a refused sign-in into the security log, and into the audit trail of the account where there is one."""
    user = _known(claims) if claims else None
    security.warning(
        "A single sign-on of %s was refused, from %s: %s", user or "an unknown person", address, failure.detail
    )
    if user is not None:
        entry = Entry("user.sign_in_refused", str(user.pk), user.username, owner_id=user.pk, reason=str(failure))
        record(entry, by=user, now=now)


def _key(claims: Mapping[str, Any]) -> str:
    return sha256(f"{claims['iss']}\n{claims['sub']}".encode()).hexdigest()


def _known(claims: Mapping[str, Any]) -> User | None:
    identity = Identity.objects.select_related("user").filter(key=_key(claims)).first()
    return identity.user if identity else None


def _linked(claims: Mapping[str, Any], *, now: datetime) -> User | None:
    """Return the account with the person's verified address, from now on theirs; None where there is none."""
    user = User.objects.select_for_update().filter(email=_email(claims)).first()
    if user is None:
        return None
    if user.identities.exists():
        raise SignInFailed(TAKEN, f"the address is that of {user}, who has another identity")
    _link(user, claims, now=now)
    return user


def _created(claims: Mapping[str, Any], *, now: datetime) -> User:
    if not settings.OIDC_CREATE_ACCOUNTS:
        raise SignInFailed(UNKNOWN, "no account has this address")
    email, role = _email(claims), _role(claims) or Role.VIEWER
    user = services.create_account(
        username=_free_name(claims, email), email=email, password=None, role=role, by=None, now=now
    )
    _link(user, claims, now=now)
    return user


def _link(user: User, claims: Mapping[str, Any], *, now: datetime) -> None:
    Identity.objects.create(user=user, key=_key(claims), issuer=claims["iss"][:255], created_at=now)
    record(Entry("user.linked", str(user.pk), user.username, owner_id=user.pk), by=user, now=now)


def _email(claims: Mapping[str, Any]) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or not is_email(email.strip()) or len(email) > EMAIL_LENGTH:
        raise SignInFailed(NO_EMAIL, "no usable e-mail address was sent")
    if claims.get("email_verified") is not True and settings.OIDC_REQUIRE_VERIFIED_EMAIL:
        raise SignInFailed(UNVERIFIED, "the e-mail address is not verified")
    return email.strip().lower()


def _free_name(claims: Mapping[str, Any], email: str) -> str:
    wanted = str(claims.get("preferred_username") or email).partition("@")[0].lower()
    base = re.sub(r"[^a-z0-9_-]", "-", wanted).strip("-_")[: USERNAME_LENGTH[1] - 6]
    base = base if len(base) >= USERNAME_LENGTH[0] else f"user-{base or 'sso'}"
    taken = set(User.objects.filter(username__startswith=base).values_list("username", flat=True))
    return next(name for name in (base, *(f"{base}-{number}" for number in range(2, 10_000))) if name not in taken)


def _role(claims: Mapping[str, Any]) -> Role | None:
    """Return the role with the most rights in the claims, None where the provider does not decide about roles."""
    if not settings.OIDC_ROLE_CLAIM:
        return None
    given = {settings.OIDC_ROLE_MAP[value] for value in _values(claims) if value in settings.OIDC_ROLE_MAP}
    role = next((role for role in ROLES if role in given), None)
    if role is None:
        raise SignInFailed(NO_ROLE, "none of the roles is in OIDC_ROLE_MAP")
    return role


def _values(claims: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands at `OIDC_ROLE_CLAIM`, which may be a path such as `realm_access.roles`."""
    yield EVERYBODY
    value: Any = claims
    for step in settings.OIDC_ROLE_CLAIM.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


def _set_role(user: User, role: Role | None, *, now: datetime) -> None:
    if role is not None and user.role != role:
        services.update_account(user, AccountChanges(role=role), keep_session=None, by=None, now=now)
