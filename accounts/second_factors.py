"""Second factors of the console's sign-in: codes of an app (TOTP, RFC 6238), passkeys (WebAuthn), recovery codes.

Secrets are encrypted at rest, recovery codes are digests. A code counts once: the step of the last one is kept.
"""

import base64
import hmac
import json
import logging
import secrets
import struct
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts import throttle
from accounts.models import FactorKind, LoginSession, RecoveryCode, SecondFactor, SessionKind, User
from accounts.signals import credentials_changed
from audit.services import Entry, record
from cronsched.lib.errors import DomainError, NotFound, Unauthorized
from cronsched.lib.ids import known_id

security = logging.getLogger("cronsched.security")

STEP_SECONDS, DIGITS, SKEW = 30, 6, 1
RECOVERY_CODES, RECOVERY_LENGTH = 10, 16
MOST_FACTORS = 10

WRONG_CODE = "This code is wrong, has run out or was used already."
WRONG_PASSKEY = "This passkey was not recognised."
NOT_ENROLLED = "The passkey could not be added. Try it again."
# What reading something raises that no authenticator says.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error)
NEEDED = "A second factor is required of you. Add another one before you remove this one."

# --- Who has and who needs one ---------------------------------------------------------------------------------------


def of(user: User) -> list[SecondFactor]:
    return list(user.second_factors.order_by("created_at", "id"))


def has(user: User) -> bool:
    return user.second_factors.exists()


def is_required(user: User) -> bool:
    required = settings.REQUIRE_SECOND_FACTOR
    return required == "EVERYBODY" or (required == "ADMINS" and user.is_admin)


def recovery_codes_left(user: User) -> int:
    return user.recovery_codes.count()


# --- Codes of an app -------------------------------------------------------------------------------------------------


def new_secret() -> str:
    return base64.b32encode(secrets.token_bytes(20)).decode()


def app_uri(user: User, secret: str) -> str:
    """Return what the app reads from the picture (Key Uri Format)."""
    issuer = settings.SERVICE_NAME
    query = {"secret": secret, "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_SECONDS}
    return f"otpauth://totp/{quote(f'{issuer}:{user.username}')}?{urlencode(query, quote_via=quote)}"


def code_at(secret: str, step: int) -> str:
    """Return the code of a time step (RFC 4226, section 5.3)."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), "sha1")
    start = digest[-1] & 15
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def current_step(now: datetime) -> int:
    return int(now.timestamp()) // STEP_SECONDS


def _step_of(secret: str, code: str, *, now: datetime) -> int | None:
    """Return the step that `code` is of: the present one or, for clocks that differ, one beside it."""
    middle = current_step(now)
    near = range(middle - SKEW, middle + SKEW + 1)
    right = [step for step in near if hmac.compare_digest(code_at(secret, step).encode(), code.encode())]
    return right[-1] if right else None


# --- Enrolling -------------------------------------------------------------------------------------------------------


def add_app(user: User, secret: str, code: str, *, name: str, keep: UUID | None, now: datetime) -> list[str]:
    """Store the secret of an app that shows the right `code`. Return recovery codes where the account had none.

    Raises `DomainError`. Of the sessions at the console, the account's first factor ends all but `keep`.
    """
    step = _step_of(secret, _plain(code), now=now)
    if step is None:
        raise DomainError("Invalid code", WRONG_CODE, field="code")
    factor = SecondFactor(user=user, kind=FactorKind.APP, name=name, secret=secret, counter=step, created_at=now)
    return _added(factor, keep=keep, now=now)


def begin_passkey(user: User) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the browser makes a passkey from, and the state that belongs to its answer."""
    person = PublicKeyCredentialUserEntity(id=user.pk.bytes, name=user.username, display_name=user.username)
    options, state = _server().register_begin(
        person,
        _credentials(user),
        resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return dict(options)["publicKey"], state


def add_passkey(
    user: User, state: Mapping[str, Any] | None, answer: str, *, name: str, keep: UUID | None, now: datetime
) -> list[str]:
    """Store the passkey that the browser answers with, else as `add_app`."""
    try:
        response = RegistrationResponse.from_dict(_answered(state, answer))
        data = _server().register_complete(state, response)
    except UNREADABLE as error:
        security.warning("A passkey of %s was not taken: %s", user, error)
        raise DomainError("Invalid passkey", NOT_ENROLLED) from error
    credential = data.credential_data
    assert credential is not None
    stored = base64.b64encode(credential).decode()
    key = sha256(credential.credential_id).hexdigest()
    factor = SecondFactor(
        user=user, kind=FactorKind.PASSKEY, name=name, secret=stored, key=key, counter=data.counter, created_at=now
    )
    try:
        return _added(factor, keep=keep, now=now)
    except IntegrityError as error:
        raise DomainError("Passkey taken", "This passkey is in use already.") from error


def _added(factor: SecondFactor, *, keep: UUID | None, now: datetime) -> list[str]:
    user = factor.user
    with transaction.atomic():
        # Locked: the codes are made once, and the number is kept by all who add at the same moment.
        User.objects.select_for_update().get(pk=user.pk)
        number = user.second_factors.count()
        if number >= MOST_FACTORS:
            raise DomainError("Too many second factors", f"An account has at most {MOST_FACTORS} second factors.")
        factor.save(force_insert=True)
        _note(user, "second_factor_added", {"second_factor": (None, str(factor))}, by=user, now=now)
        if not number:
            # Their sign-in needed the password alone.
            LoginSession.objects.filter(user=user, kind=SessionKind.CONSOLE).exclude(
                pk__in=[keep] if keep else []
            ).delete()
        return [] if user.recovery_codes.exists() else _made_codes(user, now=now)


def rename(user: User, factor_id: str, name: str, *, now: datetime) -> SecondFactor:
    factor = _own(user, factor_id)
    before, factor.name = str(factor), name
    with transaction.atomic():
        factor.save(update_fields=["name"])
        if before != str(factor):
            entry = _entry(user, "second_factor_renamed", {"second_factor": (before, str(factor))})
            record(entry, by=user, now=now)
    return factor


def remove(user: User, factor_id: str, *, now: datetime) -> SecondFactor:
    """Delete one factor, and with the last one the recovery codes. Raises `DomainError` where one is required."""
    factor = _own(user, factor_id)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        is_last = not user.second_factors.exclude(pk=factor.pk).exists()
        if is_last and is_required(user):
            raise DomainError("Second factor required", NEEDED)
        SecondFactor.objects.filter(pk=factor.pk).delete()
        if is_last:
            user.recovery_codes.all().delete()
        _note(user, "second_factor_removed", {"second_factor": (str(factor), None)}, by=user, now=now)
    return factor


def renew_recovery_codes(user: User, *, now: datetime) -> list[str]:
    """Make new recovery codes; the old ones are worth nothing from now on. Raises `DomainError`."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if not has(user):
            raise DomainError("No second factor", "Recovery codes stand in for a second factor: add one first.")
        return _made_codes(user, now=now)


def reset(user: User, *, by: User | None, now: datetime) -> int:
    """Remove all factors of an account and end its sessions at the console. Return the number of factors."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        taken = [str(factor) for factor in of(user)]
        user.second_factors.all().delete()
        user.recovery_codes.all().delete()
        if taken:
            LoginSession.objects.filter(user=user, kind=SessionKind.CONSOLE).delete()
            _note(user, "second_factor_reset", {"second_factor": (", ".join(taken), None)}, by=by, now=now)
    return len(taken)


def _own(user: User, factor_id: str) -> SecondFactor:
    known = known_id(factor_id)
    factor = user.second_factors.filter(pk=known).first() if known else None
    if factor is None:
        raise NotFound("Second factor not found", "There is no such second factor any more.")
    return factor


def _made_codes(user: User, *, now: datetime) -> list[str]:
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    codes = ["".join(secrets.choice(alphabet) for _ in range(RECOVERY_LENGTH)) for _ in range(RECOVERY_CODES)]
    user.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create([RecoveryCode(user=user, digest=_digest(user, code)) for code in codes])
    record(_entry(user, "recovery_codes_made"), by=user, now=now)
    return ["-".join(code[at : at + 4] for at in range(0, RECOVERY_LENGTH, 4)) for code in codes]


def _digest(user: User, code: str) -> str:
    # 80 random bits need no slow hash.
    return sha256(f"{user.pk}\n{code}".encode()).hexdigest()


def _entry(user: User, what: str, changes: Mapping[str, tuple[Any, Any]] | None = None, reason: str = "") -> Entry:
    return Entry(f"user.{what}", str(user.pk), user.username, changes or {}, owner_id=user.pk, reason=reason)


def _note(user: User, what: str, changes: Mapping[str, tuple[Any, Any]], *, by: User | None, now: datetime) -> None:
    """Write a change of the factors down, and tell the account's owner of it by mail."""
    security.warning("%s of %s, by %s", what.replace("_", " ").capitalize(), user, by or "a command")
    record(_entry(user, what, changes), by=by, now=now)
    credentials_changed.send(User, user=user, address=user.email, changed=["second factor"])


# --- Signing in ------------------------------------------------------------------------------------------------------


def check_code(user: User, code: str, *, address: str, now: datetime) -> str:
    """Take a code of an app or a recovery code, once. Return what it was.

    Raises `Unauthorized`, and `TooManyRequests` after too many failures, which are counted apart from passwords.
    """
    attempt = _attempt(user, address, now=now)
    plain = _plain(code)
    used = _used_app(user, plain, now=now) or _used_recovery_code(user, plain, now=now)
    if not used:
        raise _failed(user, attempt, WRONG_CODE, "a code", now=now)
    attempt.succeeded(user.pk, now=now)
    return used


def ask_passkey(user: User) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return what the browser is asked for and the state that belongs to its answer; None where there is no passkey."""
    credentials = _credentials(user)
    if not credentials:
        return None
    options, state = _server().authenticate_begin(credentials, user_verification=UserVerificationRequirement.PREFERRED)
    return dict(options)["publicKey"], state


def check_passkey(user: User, state: Mapping[str, Any] | None, answer: str, *, address: str, now: datetime) -> str:
    """Take a passkey's signature of the challenge in `state`, else as `check_code`."""
    attempt = _attempt(user, address, now=now)
    try:
        response = AuthenticationResponse.from_dict(_answered(state, answer))
        credential = _server().authenticate_complete(state, _credentials(user), response)
        factor = user.second_factors.get(key=sha256(credential.credential_id).hexdigest())
        counter = response.response.authenticator_data.counter
    except (*UNREADABLE, SecondFactor.DoesNotExist) as error:
        raise _failed(user, attempt, WRONG_PASSKEY, f"a passkey ({error})", now=now) from error
    # One that counts never goes back, unless it was copied (Web Authentication, section 6.1.1).
    counts = bool(counter or factor.counter)
    rows = user.second_factors.filter(pk=factor.pk, **({"counter__lt": counter} if counts else {}))
    if not rows.update(counter=counter, last_used_at=now):
        raise _failed(user, attempt, WRONG_PASSKEY, "a passkey whose counter went back", now=now)
    attempt.succeeded(user.pk, now=now)
    return str(factor)


def _attempt(user: User, address: str, *, now: datetime) -> throttle.Attempt:
    attempt = throttle.Attempt(str(user.pk), address, of="second factor")
    attempt.refuse_early(now=now)
    attempt.refuse_crowded(user.pk, now=now)
    return attempt


def _failed(user: User, attempt: throttle.Attempt, told: str, what: str, *, now: datetime) -> Unauthorized:
    security.warning("%s was refused as second factor of %s", what.capitalize(), user)
    record(_entry(user, "second_factor_refused", reason=told), by=user, now=now)
    attempt.failed(user, now=now)
    return Unauthorized(told, error="Invalid second factor")


def _used_app(user: User, code: str, *, now: datetime) -> str:
    for factor in user.second_factors.filter(kind=FactorKind.APP):
        step = _step_of(factor.secret, code, now=now) if factor.secret else None
        # The update decides: of two who send the same code at once, one gets in.
        if step and user.second_factors.filter(pk=factor.pk, counter__lt=step).update(counter=step, last_used_at=now):
            return str(factor)
    return ""


def _used_recovery_code(user: User, code: str, *, now: datetime) -> str:
    with transaction.atomic():
        if len(code) != RECOVERY_LENGTH or not user.recovery_codes.filter(digest=_digest(user, code)).delete()[0]:
            return ""
        left = f"{recovery_codes_left(user)} left"
        record(_entry(user, "recovery_code_used", reason=left), by=user, now=now)
    security.warning("A recovery code of %s was used, %s", user, left)
    return f"a recovery code ({left})"


def _plain(code: str) -> str:
    return "".join(letter for letter in code.lower() if letter.isascii() and letter.isalnum())


# --- WebAuthn --------------------------------------------------------------------------------------------------------


def origin() -> str:
    """Return where passkeys are made and used: the address of the console in the settings, nowhere else."""
    parts = urlsplit(settings.PUBLIC_BASE_URL)
    return f"{parts.scheme}://{parts.netloc}"


def _server() -> Fido2Server:
    party = PublicKeyCredentialRpEntity(id=urlsplit(origin()).hostname or "", name=settings.SERVICE_NAME)
    return Fido2Server(party, verify_origin=lambda named: hmac.compare_digest(named.encode(), origin().encode()))


def _credentials(user: User) -> list[AttestedCredentialData]:
    stored = user.second_factors.filter(kind=FactorKind.PASSKEY).values_list("secret", flat=True)
    return [AttestedCredentialData(base64.b64decode(text)) for text in stored if text]


def _answered(state: Mapping[str, Any] | None, answer: str) -> dict[str, Any]:
    if state is None:
        raise ValueError("nothing was asked")
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ValueError("no JSON") from error
    if not isinstance(document, dict):
        raise TypeError("no object")
    return document
