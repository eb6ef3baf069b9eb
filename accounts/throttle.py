"""Limits guessing. Failed sign-ins are counted in three ways; each says who has to wait after too many.

pair      one identifier from one address: that pair waits `SIGN_IN_LOCKOUT_SECONDS` after its last failure. Not the
          account: otherwise anybody could lock a person out from everywhere by failing on purpose.
address   all identifiers together, also invented ones: the address waits for the end of the window it has failed in.
account   one account, or invented name, from all addresses: it takes one attempt every few seconds. Addresses which its
          owner has signed in from before are not held up, so strangers lock no owner out.

The counts are rows, because several web processes must count together.
"""

import logging
import math
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Value, When
from django.http import HttpRequest

from accounts.models import FailedSignIns, KnownAddress, User
from audit.services import Entry, record
from cronsched.lib.addresses import one_client
from cronsched.lib.errors import TooManyRequests

security = logging.getLogger("cronsched.security")

# In which failures of one account are counted, and how often one more is let through when there are too many.
ACCOUNT_WINDOW = timedelta(hours=1)
CROWDED_SECONDS = 10.0
# How long an address is known after a sign-in.
KNOWN_FOR = timedelta(days=90)


def client_address(request: HttpRequest) -> str:
    """Return the address to count by. IPv6 callers own whole networks of addresses, so theirs counts as one."""
    return one_client(reported_address(request))


def reported_address(request: HttpRequest) -> str:
    """Return the address a request came from, as the proxies of ours report it."""
    # Each proxy appends the address it was called from: ours are the last ones, what stands before them is a claim.
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if settings.PROXY_COUNT and hops:
        return hops[-min(settings.PROXY_COUNT, len(hops))]
    return str(request.META.get("REMOTE_ADDR", ""))


class Attempt:
    """One attempt of `identifier` from `address`, which is blank where a command signs in.

    What is tried `of` an account besides its password is counted apart, and knows its addresses apart: who has only the
    password becomes known nowhere.
    """

    def __init__(self, identifier: str, address: str, *, of: str = "") -> None:
        self._identifier = identifier.lower()
        self._address = address
        self._of = [of] if of else []
        self._pair = _key(*self._of, self._address, self._identifier)

    def refuse_early(self, *, now: datetime) -> None:
        """Raise `TooManyRequests` while the pair or the address has to wait."""
        _refuse(self._pair, limit=settings.SIGN_IN_ATTEMPTS, now=now)
        if self._address:
            _refuse(_key("address", self._address), limit=settings.SIGN_IN_ATTEMPTS_PER_ADDRESS, now=now)

    def refuse_crowded(self, account: UUID | None, *, now: datetime) -> None:
        """Raise `TooManyRequests` while the account, or the invented name, is being tried from too many addresses.

        Of those that come from an unknown address, one is let through every `CROWDED_SECONDS`.
        """
        tried = FailedSignIns.objects.filter(key=self._tried(account), expires_at__gt=now)
        if not tried.filter(failures__gte=settings.SIGN_IN_ATTEMPTS_PER_ACCOUNT).exists():
            return
        if account and KnownAddress.objects.filter(key=self._known(account), expires_at__gt=now).exists():
            return
        key = _key("next", self._tried(account))
        _make_row(key, expires_at=now)
        free_at = now + timedelta(seconds=CROWDED_SECONDS)
        if not FailedSignIns.objects.filter(key=key, expires_at__lte=now).update(expires_at=free_at):
            row = FailedSignIns.objects.filter(key=key).first()
            raise _too_many((row.expires_at - now).total_seconds() if row else CROWDED_SECONDS)

    def failed(self, user: User | None, *, now: datetime) -> None:
        """Count a failure. Raises `TooManyRequests` if others, made meanwhile, have used up the attempts.

        Where it is the last one that is allowed, the lock-out that begins is put into the audit trail.
        """
        lockout = timedelta(seconds=settings.SIGN_IN_LOCKOUT_SECONDS)
        where = self._address or "a command"
        crowded = _LockOut(user, settings.SIGN_IN_ATTEMPTS_PER_ACCOUNT, "from any address within an hour", now)
        _count(self._tried(user.id if user else None), crowded, limit=None, window=ACCOUNT_WINDOW)
        if self._address:
            limit = settings.SIGN_IN_ATTEMPTS_PER_ADDRESS
            of_address = _LockOut(None, limit, f"from {where}, of any account", now)
            _count(_key("address", self._address), of_address, limit=limit, window=lockout)
        limit = settings.SIGN_IN_ATTEMPTS
        _count(self._pair, _LockOut(user, limit, f"from {where}", now), limit=limit, window=lockout, anew=True)

    def succeeded(self, account: UUID, *, now: datetime) -> None:
        """Start the pair afresh and remember the address.

        Raises `TooManyRequests` if the attempts were used up while the password was being checked: otherwise many
        guesses sent at once would all count as the first.
        """
        if row := FailedSignIns.objects.filter(key=self._pair).first():
            _refuse(self._pair, limit=settings.SIGN_IN_ATTEMPTS, now=now)
            row.delete()
        if self._address:
            _remember(self._known(account), now=now)

    def _tried(self, account: UUID | None) -> str:
        return _key(*self._of, "account", str(account or self._identifier))

    def _known(self, account: UUID) -> str:
        return _key(*self._of, "known", self._address, str(account))


def _key(*parts: str) -> str:
    """Return a digest: people also type their password into the field of the name."""
    return sha256("\n".join(parts).encode()).hexdigest()


def _refuse(key: str, *, limit: int, now: datetime) -> None:
    row = FailedSignIns.objects.filter(key=key, expires_at__gt=now, failures__gte=limit).first()
    if row is not None:
        raise _too_many((row.expires_at - now).total_seconds())


class _LockOut(NamedTuple):
    """What begins with the failure that is the `limit`th: of an account, or of whatever an address tries."""

    user: User | None
    limit: int
    which: str
    now: datetime

    def begin(self) -> None:
        """Put it into the audit trail and the security log. Call it in the transaction that counts the failure."""
        reason = f"{self.limit} failed sign-ins {self.which}"
        security.warning("Locked out: %s: %s", self.user or "no account", reason)
        account = (str(self.user.pk), self.user.username) if self.user else ("", "")
        owner = self.user.pk if self.user else None
        record(Entry("user.locked_out", *account, owner_id=owner, reason=reason), by=None, now=self.now)


def _count(key: str, lock_out: _LockOut, *, limit: int | None, window: timedelta, anew: bool = False) -> None:
    """Count one more failure within `window`, which `anew` begins with each of them.

    Raises `TooManyRequests` where it is one more than `limit`.
    """
    now = lock_out.now
    rows = FailedSignIns.objects.filter(key=key)
    if not rows.exists():
        _make_row(key, expires_at=now + window)
    goes_on = When(expires_at__gt=now, then=F("failures") + 1)
    until = now + window
    ends = Value(until) if anew else Case(When(expires_at__gt=now, then=F("expires_at")), default=Value(until))
    with transaction.atomic():
        # The update locks the row, so each of several failures at once reads a number of its own.
        rows.update(failures=Case(goes_on, default=Value(1)), expires_at=ends)
        row = rows.filter(failures__gt=limit).first() if limit is not None else None
        # Of several at once one reads exactly this number, so that each lock-out is one entry.
        if rows.filter(failures=lock_out.limit).exists():
            lock_out.begin()
    if row is not None:
        raise _too_many((row.expires_at - now).total_seconds())


def _make_row(key: str, *, expires_at: datetime) -> None:
    # Apart from the transaction that counts: on MariaDB the loser of the insert keeps a lock that others wait for.
    try:
        with transaction.atomic():
            FailedSignIns.objects.create(key=key, failures=0, expires_at=expires_at)
    except IntegrityError:
        # Another process has just made it, which is all we want.
        return


def _remember(key: str, *, now: datetime) -> None:
    expires_at = now + KNOWN_FOR
    if KnownAddress.objects.filter(key=key).update(expires_at=expires_at):
        return
    try:
        with transaction.atomic():
            KnownAddress.objects.create(key=key, expires_at=expires_at)
    except IntegrityError:
        # The same person, at the same moment.
        return


def prune_failures(now: datetime) -> int:
    """Delete the counts and the known addresses that have fallen due. Returns how many there were."""
    return sum(kind._default_manager.filter(expires_at__lte=now).delete()[0] for kind in (FailedSignIns, KnownAddress))


def _too_many(seconds: float) -> TooManyRequests:
    wait = max(1, math.ceil(seconds))
    return TooManyRequests(f"Too many failed sign-ins. Try again in {wait} seconds.", retry_after=wait)
