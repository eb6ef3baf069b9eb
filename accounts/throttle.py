"""Slow down guessing: too many failed sign-ins of one identifier from one address, and that pair has to wait.

The pair, not the account: otherwise anybody could lock a person out from everywhere by failing on purpose. The counts
are rows, because several web processes must count together. They fall due `SIGN_IN_LOCKOUT_SECONDS` after the last
failure, whether or not the limit was reached.
"""

import math
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Value, When
from django.http import HttpRequest

from accounts.models import FailedSignIns
from cronsched.lib.addresses import one_client
from cronsched.lib.errors import TooManyRequests


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


def key_of(identifier: str, address: str) -> str:
    return sha256(f"{address}\n{identifier.lower()}".encode()).hexdigest()


def refuse_locked(key: str, *, now: datetime) -> None:
    """Raise `TooManyRequests` while `key` has to wait."""
    row = FailedSignIns.objects.filter(key=key, expires_at__gt=now, failures__gte=settings.SIGN_IN_ATTEMPTS).first()
    if row is not None:
        raise _too_many((row.expires_at - now).total_seconds())


def count_failure(key: str, *, now: datetime) -> None:
    """Count one more failure. Raises `TooManyRequests` if others, made meanwhile, have used up the attempts."""
    lockout = timedelta(seconds=settings.SIGN_IN_LOCKOUT_SECONDS)
    rows = FailedSignIns.objects.filter(key=key)
    if not rows.exists():
        _make_row(key, expires_at=now + lockout)
    more = Case(When(expires_at__gt=now, then=F("failures") + 1), default=Value(1))
    with transaction.atomic():
        # The update locks the row, so each of several failures at once reads a number of its own.
        rows.update(failures=more, expires_at=now + lockout)
        used_up = rows.filter(failures__gt=settings.SIGN_IN_ATTEMPTS).exists()
    if used_up:
        raise _too_many(lockout.total_seconds())


def _make_row(key: str, *, expires_at: datetime) -> None:
    # Apart from the transaction that counts: on MariaDB the loser of the insert keeps a lock that others wait for.
    try:
        with transaction.atomic():
            FailedSignIns.objects.create(key=key, failures=0, expires_at=expires_at)
    except IntegrityError:
        # Another process has just made it, which is all we want.
        return


def forget_failures(key: str, *, now: datetime) -> None:
    """Start `key` afresh after a correct sign-in.

    Raises `TooManyRequests` if the attempts were used up while the password was being checked: otherwise many guesses
    sent at once would all count as the first.
    """
    if row := FailedSignIns.objects.filter(key=key).first():
        refuse_locked(row.key, now=now)
        row.delete()


def prune_failures(now: datetime) -> int:
    """Delete the counts that have fallen due. Returns how many there were."""
    deleted, _ = FailedSignIns.objects.filter(expires_at__lte=now).delete()
    return deleted


def _too_many(seconds: float) -> TooManyRequests:
    wait = max(1, math.ceil(seconds))
    return TooManyRequests(f"Too many failed sign-ins. Try again in {wait} seconds.", retry_after=wait)
