"""Single sign-on by OpenID Connect: the authorization code flow with PKCE, against the one provider of the settings.

What a provider says is believed only where its signature, issuer, audience, nonce and times are right (OpenID Connect
Core 1.0, section 3.1.3.7); also where it was fetched from the provider itself, since a proxy may stand between.
"""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
import requests
import urllib3
from django.conf import settings

from cronsched.lib.errors import DomainError
from cronsched.lib.input.strict_json import check_tree, parse_json

# For each call: until its answer begins, between its parts, and until it has come.
SECONDS = 5.0
LEEWAY_SECONDS = 60
MAX_ANSWER = 512 * 1024
# Signed with the provider's own key; a secret that both know would let this service forge what it is to believe.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

DOWN = "The identity provider cannot be reached at the moment. Try again later."
ODD = "The identity provider answered something that cannot be trusted. Tell an administrator."
DENIED = "The identity provider did not sign you in."
STALE = "This sign-in was started in another browser or too long ago. Start again."


class SignInFailed(Exception):
    """`str()` is for the person who signs in, `detail` for the security log."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail or text


@dataclass(frozen=True, slots=True)
class Flow:
    """What a sign-in that has begun must end with. Kept by the browser, signed."""

    state: str
    nonce: str
    verifier: str
    next: str


def is_on() -> bool:
    return bool(settings.OIDC_ISSUER)


def callback_url() -> str:
    """Return the address to register at the provider."""
    return f"{settings.PUBLIC_BASE_URL}/admin/sso/callback/"


def new_flow(next_page: str) -> Flow:
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Flow(state, nonce, verifier, next_page)


def authorization_url(flow: Flow) -> str:
    """Return where to send the browser. Raises `SignInFailed` where the provider cannot be used."""
    challenge = urlsafe_b64encode(sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": settings.OIDC_CLIENT_ID,
        "redirect_uri": callback_url(),
        "scope": settings.OIDC_SCOPES,
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    endpoint = _address(_discovered(), "authorization_endpoint")
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def claims_of(answer: Mapping[str, str], flow: Flow) -> dict[str, Any]:
    """Return what the provider says of the person, from the query that the browser came back with.

    Raises `SignInFailed`.
    """
    if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
        raise SignInFailed(STALE, "the state is another one")
    if answer.get("error") or not answer.get("code"):
        raise SignInFailed(DENIED, f"the provider refused: {answer.get('error', 'no code')[:100]}")
    provider = _discovered()
    tokens = _exchanged(provider, answer["code"], flow)
    claims = _verified(provider, _text(tokens, "id_token"), flow)
    return claims if claims.get("email") else {**_userinfo(provider, tokens, claims["sub"]), **claims}


def _discovered() -> dict[str, Any]:
    provider = _asked("GET", f"{settings.OIDC_ISSUER}/.well-known/openid-configuration")
    if _text(provider, "issuer").rstrip("/") != settings.OIDC_ISSUER:
        raise SignInFailed(ODD, "the provider calls itself otherwise than OIDC_ISSUER")
    return provider


def _exchanged(provider: Mapping[str, Any], code: str, flow: Flow) -> dict[str, Any]:
    sent = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback_url(),
        "code_verifier": flow.verifier,
    }
    identity = (settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET)
    methods = _list(provider, "token_endpoint_auth_methods_supported", default="client_secret_basic")
    endpoint = _address(provider, "token_endpoint")
    if "client_secret_basic" in methods:
        return _asked("POST", endpoint, data=sent, auth=identity)
    return _asked("POST", endpoint, data={**sent, "client_id": identity[0], "client_secret": identity[1]})


def _verified(provider: Mapping[str, Any], token: str, flow: Flow) -> dict[str, Any]:
    offered = _list(provider, "id_token_signing_alg_values_supported", default="RS256")
    try:
        keys = jwt.PyJWKSet.from_dict(_asked("GET", _address(provider, "jwks_uri")))
        header = jwt.get_unverified_header(token)
        named = [key for key in keys.keys if header.get("kid") in (None, key.key_id)]
        if len(named) != 1:
            raise SignInFailed(ODD, "the ID token is signed by a key that the provider does not publish")
        claims: dict[str, Any] = jwt.decode(
            token,
            named[0].key,
            algorithms=[name for name in ALGORITHMS if name in offered],
            audience=settings.OIDC_CLIENT_ID,
            issuer=_text(provider, "issuer"),
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
        check_tree(claims)
    # A key of another kind than the algorithm is a `TypeError`.
    except (jwt.PyJWTError, DomainError, TypeError, ValueError) as error:
        raise SignInFailed(ODD, f"the ID token is not valid: {error}") from error
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), flow.nonce.encode()):
        raise SignInFailed(ODD, "the ID token has another nonce")
    if claims.get("azp", settings.OIDC_CLIENT_ID) != settings.OIDC_CLIENT_ID:
        raise SignInFailed(ODD, "the ID token was made for another client")
    return claims


def _userinfo(provider: Mapping[str, Any], tokens: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """Return what the provider tells besides; nothing where it has no such page. It must be of the same person."""
    if not provider.get("userinfo_endpoint") or not tokens.get("access_token"):
        return {}
    headers = {"Authorization": f"Bearer {_text(tokens, 'access_token')}"}
    info = _asked("GET", _address(provider, "userinfo_endpoint"), headers=headers)
    if info.get("sub") != subject:
        raise SignInFailed(ODD, "the userinfo is of another person")
    return info


def _asked(method: str, url: str, **sent: Any) -> dict[str, Any]:
    """Return the JSON object that the provider answers. Not redirected: what is sent holds secrets."""
    try:
        with requests.request(method, url, timeout=SECONDS, allow_redirects=False, stream=True, **sent) as answer:
            status, body = answer.status_code, _body(answer)
    # What comes while the body is read is urllib3's own; a name or a header that cannot be written is a `ValueError`.
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise SignInFailed(DOWN, f"{url} failed: {type(error).__name__}") from error
    if status >= requests.codes.server_error:
        raise SignInFailed(DOWN, f"{url} answered {status}")
    try:
        document = parse_json(body) if len(body) <= MAX_ANSWER and status == 200 else None
    except DomainError:
        document = None
    if not isinstance(document, dict):
        raise SignInFailed(ODD, f"{url} answered {status} and no object")
    return document


def _body(answer: requests.Response) -> bytes:
    """Return what is answered, at most a little more than is allowed. Raises `TimeoutError` where it trickles."""
    body, until = bytearray(), time.monotonic() + SECONDS
    while len(body) <= MAX_ANSWER and (part := answer.raw.read1(MAX_ANSWER, decode_content=True)):
        body += part
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(body)


def _address(document: Mapping[str, Any], name: str) -> str:
    """Return a page of the provider's."""
    address = _text(document, name)
    try:
        parts = urlsplit(address)
        is_page = parts.scheme in ("http", "https") and bool(parts.hostname) and address.isprintable()
    except ValueError:
        is_page = False
    if not is_page:
        raise SignInFailed(ODD, f"{name} is no web address")
    return address


def _list(document: Mapping[str, Any], name: str, *, default: str) -> list[Any]:
    value = document.get(name) or [default]
    if not isinstance(value, list):
        raise SignInFailed(ODD, f"{name} is no list")
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise SignInFailed(ODD, f"{name} is missing")
    return value
