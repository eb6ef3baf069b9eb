"""API tokens: making, using and ending them (beyond.md, section 1).

A secret reads `cron_<prefix>_<random>`, so that scanners of leaked secrets can recognise it:
`cron_[a-z0-9]{12}_[A-Za-z0-9]{40}`. The random part has 238 bits; a plain SHA-256 of the whole is enough to store.
"""

import hmac
import logging
import secrets
import string
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import ApiToken, User
from audit import origin
from audit.services import Entry, differences, record
from cronsched.lib.errors import DomainError, Forbidden, NotFound, Unauthorized
from cronsched.lib.ids import known_id
from cronsched.lib.input import payload, ranges

logger = logging.getLogger("cronsched.security")

MARK = "cron_"
PREFIX_LENGTH, RANDOM_LENGTH = 12, 40
SCOPES = ("read", "write", "run")
MAX_NAME = 100
MAX_PER_ACCOUNT = 100
MAX_NETWORKS = 50
# What stands before the IPv4 address in ::ffff:192.0.2.1.
MAPPED_BITS = 96
# Precision of "last used", and of refusals of one token in the audit trail.
NOTED_EVERY = timedelta(minutes=1)

INVALID, EXPIRED, INACTIVE = "Invalid token", "Token has expired", "User account is deactivated"
BAD_NETWORKS = f"allowed_ips must be a list of at most {MAX_NETWORKS} addresses or networks such as 192.0.2.0/24."


class Terms(NamedTuple):
    """What a token is called, may do, until when and from where."""

    name: str
    scopes: list[str]
    expires_at: datetime | None
    networks: list[str]


class NewToken(NamedTuple):
    """A token and its secret, which is not stored and cannot be shown again."""

    token: ApiToken
    secret: str


# --- Making and ending -----------------------------------------------------------------------------------------------


def read(sent: Mapping[str, Any], *, now: datetime) -> Terms:
    """Return what `name`, `scopes`, `expires_at` and `allowed_ips` ask for. Raises `DomainError`."""
    return Terms(_name(sent), _scopes(sent), _expiry(sent, now), _networks(sent))


def create(sent: Mapping[str, Any], *, owner: User, by: User | None, now: datetime) -> NewToken:
    """Create a token of `owner` from `name`, `scopes`, `expires_at` and `allowed_ips`. Raises `DomainError`."""
    name, scopes, expires_at, networks = read(sent, now=now)
    prefix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(PREFIX_LENGTH))
    random = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(RANDOM_LENGTH))
    secret = f"{MARK}{prefix}_{random}"
    token = ApiToken(owner=owner, name=name, scopes=scopes, expires_at=expires_at, allowed_ips=networks, created_at=now)
    token.prefix, token.digest = prefix, _digest(secret)
    with transaction.atomic():
        # Held, so that two requests at once cannot both take the last place.
        User.objects.select_for_update().get(pk=owner.pk)
        if ApiToken.objects.filter(owner=owner).count() >= MAX_PER_ACCOUNT:
            raise DomainError("Too many tokens", f"An account may have at most {MAX_PER_ACCOUNT} tokens.")
        token.save(force_insert=True)
        written = expires_at.isoformat() if expires_at else None
        about = {"owner": owner.username, "scopes": scopes, "expires_at": written, "allowed_ips": networks}
        made = differences({}, about)
        record(_entry("token.created", token, made), by=by, now=now)
    return NewToken(token, secret)


def end(token_id: str, *, by: User, now: datetime) -> None:
    """Delete a token. Raises `NotFound` for one that the account may not see."""
    known = known_id(token_id)
    token = visible_to(by).select_related("owner").filter(pk=known).first() if known else None
    if token is None:
        raise NotFound("Token not found", f"No token found with ID: {token_id}")
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk).delete()[0]:
            record(_ended(token), by=by, now=now)


def end_all(owner: User, *, why: str, by: User | None, now: datetime) -> None:
    """Delete the tokens of an account that leaves, in the transaction of that. A reason that was given goes first."""
    tokens = list(ApiToken.objects.select_related("owner").filter(owner=owner).order_by("created_at", "id"))
    ApiToken.objects.filter(pk__in=[token.pk for token in tokens]).delete()
    record(*(_ended(token, reason=origin.current().reason or why) for token in tokens), by=by, now=now)


def listed(by: User, *, owner: str, everybody: bool) -> QuerySet[ApiToken]:
    """Return the tokens that a list shows: one's own, or for administrators those of an account or of all."""
    if not owner and not everybody:
        return ApiToken.objects.filter(owner=by)
    if not by.is_admin:
        raise Forbidden("Insufficient permissions", "Admin access required")
    if everybody:
        return ApiToken.objects.all()
    wanted = known_id(owner)
    if wanted is None:
        raise DomainError("Invalid owner", "owner must be the id of an account.", field="owner")
    return ApiToken.objects.filter(owner_id=wanted)


def visible_to(by: User) -> QuerySet[ApiToken]:
    """Return the tokens that an account may see and end: its own, or for administrators all."""
    return ApiToken.objects.all() if by.is_admin else ApiToken.objects.filter(owner=by)


def _entry(action: str, token: ApiToken, changes: Mapping[str, tuple[Any, Any]], *, reason: str = "") -> Entry:
    return Entry(action, str(token.pk), token.name, changes, owner_id=token.owner_id, reason=reason)


def _ended(token: ApiToken, *, reason: str = "") -> Entry:
    return _entry("token.deleted", token, {"owner": (token.owner.username, None)}, reason=reason)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


# --- Using -----------------------------------------------------------------------------------------------------------


def is_api_token(text: str) -> bool:
    return text.startswith(MARK)


def authenticate(secret: str, *, address: str, now: datetime) -> ApiToken:
    """Return the token whose secret this is, with its owner. One query where it was used a moment ago.

    Raises `Unauthorized`, or `Forbidden` for a caller that is not at one of its addresses. Refusals are logged.
    """
    prefix = secret.removeprefix(MARK).partition("_")[0]
    token = ApiToken.objects.select_related("owner").filter(prefix=prefix).first() if "\x00" not in prefix else None
    if token is None or not hmac.compare_digest(token.digest, _digest(secret)):
        logger.warning("An unknown API token was refused, from %s", address)
        raise Unauthorized(INVALID)
    # Before it is judged: a refused one has acted as well, and not its owner.
    origin.note_token(token.pk, token.name)
    if refusal := _refusal(token, address, now):
        _note_refusal(token, refusal, address, now)
        raise refusal
    _note_use(token, address, now)
    return token


def _refusal(token: ApiToken, address: str, now: datetime) -> Unauthorized | Forbidden | None:
    if not token.owner.is_active:
        return Unauthorized(INACTIVE)
    if token.expires_at is not None and token.expires_at <= now:
        return Unauthorized(EXPIRED)
    if token.allowed_ips and not _is_within(address, token.allowed_ips):
        return Forbidden("Address not allowed", f"This token may not be used from {address}.")
    return None


def _is_within(address: str, networks: Sequence[str]) -> bool:
    try:
        caller = ip_address(address)
    except ValueError:
        return False
    caller = getattr(caller, "ipv4_mapped", None) or caller
    return any(caller in ip_network(network) for network in networks)


def _note_refusal(token: ApiToken, refusal: Exception, address: str, now: datetime) -> None:
    logger.warning("API token cron_%s of %s was refused, from %s: %s", token.prefix, token.owner, address, refusal)
    lately = Q(last_refused_at=None) | Q(last_refused_at__lte=now - NOTED_EVERY)
    with transaction.atomic():
        if ApiToken.objects.filter(lately, pk=token.pk).update(last_refused_at=now):
            record(_entry("token.refused", token, {}, reason=str(refusal)), by=token.owner, now=now)


def _note_use(token: ApiToken, address: str, now: datetime) -> None:
    is_fresh = token.last_used_at is not None and token.last_used_at > now - NOTED_EVERY
    if not is_fresh or token.last_used_ip != address[:45]:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now, last_used_ip=address[:45])


# --- What may be sent ------------------------------------------------------------------------------------------------


def _name(sent: Mapping[str, Any]) -> str:
    name = payload.text(sent, "name")
    if name is None or len(name) > MAX_NAME:
        raise DomainError("Invalid name", f"name is required, with at most {MAX_NAME} characters.", field="name")
    return name


def _scopes(sent: Mapping[str, Any]) -> list[str]:
    value = sent.get("scopes")
    if not isinstance(value, list) or not value or any(item not in SCOPES for item in value):
        raise DomainError("Invalid scopes", f"scopes must be a list of: {', '.join(SCOPES)}.", field="scopes")
    return [scope for scope in SCOPES if scope in value]


def _expiry(sent: Mapping[str, Any], now: datetime) -> datetime | None:
    text = payload.text(sent, "expires_at")
    if text is None:
        return None
    moment = ranges.read_instant(text, "expires_at")
    if moment <= now:
        raise DomainError("Invalid expires_at", "expires_at must lie in the future.", field="expires_at")
    return moment


def _networks(sent: Mapping[str, Any]) -> list[str]:
    value = sent.get("allowed_ips")
    if value is None:
        return []
    try:
        if not isinstance(value, list) or len(value) > MAX_NETWORKS:
            raise ValueError
        return [_network(item.strip()) for item in value]
    except (ValueError, AttributeError):
        raise DomainError("Invalid allowed_ips", BAD_NETWORKS, field="allowed_ips") from None


def _network(text: str) -> str:
    """Return a network as it is compared. IPv4 in the writing of IPv6 is IPv4, as with the addresses of callers.

    Raises `ValueError`.
    """
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= MAPPED_BITS:
        network = IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - MAPPED_BITS))
    return str(network)
