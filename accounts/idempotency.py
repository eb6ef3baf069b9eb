"""Safe repeats: the first answer to a request with an `Idempotency-Key` is kept and given again.

As the IETF's draft "The Idempotency-Key HTTP Header Field" has it: a key belongs to an account and to what was sent
with it. A refused request has changed nothing, so its key is free again. A request that was cut off leaves its key
taken: it is unknown how far it came, and a repeat must not do it twice.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from hashlib import sha256
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.models import IdempotentAnswer, User
from cronsched.api.openapi import Refusal
from cronsched.lib.errors import Conflict, DomainError, UnprocessableRepeat

HEADER = "Idempotency-Key"
MAX_KEY = 255
KEPT = timedelta(hours=24)

REUSED = "Idempotency key reused"
IN_PROGRESS = "Request in progress"
KEY_REFUSALS = (
    Refusal(400, f"Invalid {HEADER}", f"{HEADER} must have 1 to {MAX_KEY} characters."),
    Refusal(409, IN_PROGRESS, "The first request with this key has not ended. Check whether it was carried out."),
)

View = Callable[..., Response]


def idempotent(view: View) -> View:
    """Give a repeated request its first answer instead of calling `view` again. Without the header nothing changes."""

    @wraps(view)
    def answered(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return view(self, request, *args, **kwargs)
        row = _taken(_checked(key), request, now=timezone.now())
        if row.status is not None:
            return Response(row.body, status=row.status, headers={"Idempotency-Replayed": "true"})
        try:
            response = view(self, request, *args, **kwargs)
        except DomainError:
            row.delete()
            raise
        if response.status_code < 400:
            IdempotentAnswer.objects.filter(pk=row.pk).update(status=response.status_code, body=response.data)
        else:
            row.delete()
        return response

    return answered


def prune(now: datetime) -> int:
    """Delete the answers whose time is over."""
    return IdempotentAnswer.objects.filter(created_at__lte=now - KEPT).delete()[0]


def _checked(key: str) -> str:
    if not 1 <= len(key) <= MAX_KEY:
        raise DomainError(f"Invalid {HEADER}", KEY_REFUSALS[0].message)
    return key


def _taken(key: str, request: Request, *, now: datetime) -> IdempotentAnswer:
    """Return the row of `key`: with an answer, or new and this request's to fill. Raises `DomainError` otherwise."""
    owner, sent = caller(request), _digest(f"{request.method} {request.path}\n".encode() + request.body)
    row = IdempotentAnswer.objects.filter(owner=owner, key=_digest(key.encode())).first()
    if row is not None and row.created_at <= now - KEPT:
        row.delete()
        row = None
    if row is None:
        row = _inserted(owner, key, sent, now)
        if row is not None:
            return row
        row = IdempotentAnswer.objects.get(owner=owner, key=_digest(key.encode()))
    if row.sent != sent:
        raise UnprocessableRepeat(REUSED, "This key was sent with another request. Use a new one.")
    if row.status is None:
        raise Conflict(IN_PROGRESS, KEY_REFUSALS[1].message)
    return row


def _inserted(owner: User, key: str, sent: str, now: datetime) -> IdempotentAnswer | None:
    """Return the new row, None where another request was faster."""
    try:
        with transaction.atomic():
            return IdempotentAnswer.objects.create(owner=owner, key=_digest(key.encode()), sent=sent, created_at=now)
    except IntegrityError:
        return None


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
