"""How long to wait before trying again. Pure: the same input gives the same wait, on every host, after every restart.

The curve doubles: a target that is down is asked less and less often. The jitter spreads jobs that failed together; it
comes from a key instead of a random number, so that computing a wait again gives the one that was announced.
"""

import hashlib
import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Beyond this a wait is no longer a retry of the same run.
LONGEST = timedelta(hours=24)
JITTER = 0.25


def delay(attempt: int, *, first: timedelta, key: str, longest: timedelta = LONGEST) -> timedelta:
    """Return the wait after the failed attempt number `attempt` (1 = the first).

    It starts at `first`, doubles with each attempt up to `longest`, and is then made up to a quarter longer by `key`
    (job id and fire time), so two attempts of one run differ too.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} is not a failed attempt")
    # Past 2**40 no cap is larger; the exponent must not outgrow a float first.
    seconds = min(first.total_seconds() * 2 ** min(attempt - 1, 40), longest.total_seconds())
    return timedelta(seconds=seconds * (1 + JITTER * spread(f"{key}/{attempt}")))


def spread(key: str) -> float:
    """Return a number in [0, 1) that depends on `key` alone and is evenly spread over keys."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest()) / 2**48


def retry_after(value: str | None, *, now: datetime, longest: timedelta = LONGEST) -> timedelta | None:
    """Return the wait a `Retry-After` header asks for (RFC 9110, section 10.2.3), within 0 and `longest`.

    Seconds or an HTTP date; None for an absent value or one that is neither. `now` is aware.
    """
    text = (value or "").strip()
    if not text or len(text) > 64:
        return None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        seconds = float(text)
    else:
        seconds = _seconds_until(text, now)
    if math.isnan(seconds):
        return None
    return timedelta(seconds=max(0.0, min(seconds, longest.total_seconds())))


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan
