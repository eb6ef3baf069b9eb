"""What makes a bearer token usable, and every way in which it is not (contract, sections 2 and 3)."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import LoginSession, Role, User
from accounts.services import refresh, sign_in
from accounts.tests.factories import PASSWORD, JSONClient, api_client, make_session, make_user
from accounts.tokens import AccessToken, RefreshToken, issue_pair
from cronsched.lib.errors import Unauthorized

ME = "/api/v2/auth/me"
NOON = datetime(2026, 1, 15, 12, 0, 0, 987654, tzinfo=UTC)


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, settings.JWT_SECRET_KEY, algorithms=["HS256"], options={"verify_exp": False})


def signed(claims: dict[str, Any], *, key: str | None = None, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, settings.JWT_SECRET_KEY if key is None else key, algorithm=algorithm)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def ask(header: str | None) -> Any:
    client = JSONClient()
    return client.get(ME) if header is None else client.get(ME, HTTP_AUTHORIZATION=header)


@pytest.fixture
def good(alice: User) -> dict[str, Any]:
    """The claims of a usable access token of Alice."""
    return AccessToken.issue(make_session(alice), now=timezone.now()).payload


# --- What tokens say -------------------------------------------------------------------------------------------------


def test_tokens_carry_the_claims_of_the_contract(alice):
    session = make_session(alice, now=NOON)
    access, refreshing = (claims_of(token) for token in issue_pair(session, now=NOON))
    shared = {"sub": str(alice.id), "role": "user", "email": "alice@example.com", "sid": str(session.id)}
    issued_at = int(NOON.timestamp())
    assert access.pop("jti") != refreshing.pop("jti")
    assert access == {**shared, "type": "access", "fresh": True, "iat": issued_at, "exp": issued_at + 3600}
    assert refreshing == {**shared, "type": "refresh", "iat": issued_at, "exp": issued_at + 2592000}


def test_lifetimes_follow_the_settings(alice, settings):
    settings.ACCESS_TOKEN_SECONDS, settings.REFRESH_TOKEN_SECONDS = 5, 7
    access, refreshing = (claims_of(token) for token in issue_pair(make_session(alice), now=NOON))
    assert (access["exp"] - access["iat"], refreshing["exp"] - refreshing["iat"]) == (5, 7)


def test_header_names_the_algorithm(alice):
    token = str(AccessToken.issue(make_session(alice), now=NOON))
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


# --- The header ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_scheme_is_read_in_any_case(good, scheme):
    assert ask(f"{scheme}   {signed(good)} ").status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YWxpY2U6eA==", "Token abc", "bearerabc"])
def test_without_a_bearer_token_nobody_is_recognised(db, header):
    refused(ask(header), "Not authenticated")


def refused(answer: Any, text: str) -> None:
    assert answer.status_code == 401
    assert answer.json() == {"error": "Unauthorized", "message": text, "detail": text}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


# --- The token -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "a b",
        "....",
        "\xe9\xff",
        "eyJhbGciOiJIUzI1NiJ9..",
        "eyJhbGciOiJIUzI1NiJ9.eyJ9.x",
        "A" * 5000,
    ],
)
def test_malformed_token_is_invalid(db, token):
    refused(ask(f"Bearer {token}"), "Invalid token")


def test_token_signed_by_another_key_is_invalid(good):
    refused(ask(f"Bearer {signed(good, key='another-key-that-is-long-enough-for-hs256')}"), "Invalid token")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_other_algorithm_is_invalid_even_with_the_right_key(good, algorithm):
    refused(ask(f"Bearer {signed(good, key=settings.JWT_SECRET_KEY * 2, algorithm=algorithm)}"), "Invalid token")
    refused(ask(f"Bearer {signed(good, algorithm='HS256')[:-4]}AAAA"), "Invalid token")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "RS256", "", 7, None])
@pytest.mark.parametrize("signature", ["", "eA"])
def test_unsigned_token_is_invalid(good, algorithm, signature):
    header = {"alg": algorithm, "typ": "JWT"}
    refused(ask(f"Bearer {part(header)}.{part(good)}.{signature}"), "Invalid token")


@pytest.mark.parametrize(
    "change",
    [
        {"sid": None},
        {"sid": ""},
        {"sid": 7},
        {"sid": "no-uuid"},
        {"sid": ["x"]},
        {"sub": "no-uuid"},
        {"type": None},
        {"type": "other"},
        {"type": ["access"]},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 1e300},
    ],
)
def test_claim_of_the_wrong_form_makes_the_token_invalid(good, change):
    refused(ask(f"Bearer {signed({**good, **change})}"), "Invalid token")


@pytest.mark.parametrize("claim", ["sid", "exp", "type"])
def test_token_without_the_claim_is_invalid(good, claim):
    del good[claim]
    refused(ask(f"Bearer {signed(good)}"), "Invalid token")


def test_list_instead_of_claims_is_invalid(db):
    refused(ask(f"Bearer {jwt.api_jws.encode(b'[]', settings.JWT_SECRET_KEY, algorithm='HS256')}"), "Invalid token")


def test_token_expires_with_its_second(alice):
    session = make_session(alice, now=NOON)
    access = str(AccessToken.issue(session, now=NOON))
    expiry = NOON.replace(microsecond=0) + timedelta(seconds=3600)
    assert AccessToken.read(access, now=expiry - timedelta(microseconds=1)).session_id == session.id
    with pytest.raises(Unauthorized, match="Token has expired"):
        AccessToken.read(access, now=expiry)


def test_expired_token_says_so(good):
    refused(ask(f"Bearer {signed({**good, 'exp': int(timezone.now().timestamp()) - 1})}"), "Token has expired")


def test_clock_of_the_host_that_issued_it_may_run_ahead(good):
    ahead = int(timezone.now().timestamp()) + 30
    assert ask(f"Bearer {signed({**good, 'iat': ahead})}").status_code == 200


def test_refresh_and_access_tokens_are_not_interchangeable(alice):
    access, refreshing = issue_pair(make_session(alice), now=timezone.now())
    refused(ask(f"Bearer {refreshing}"), "Invalid token type")
    answer = JSONClient().post("/api/v2/auth/refresh", HTTP_AUTHORIZATION=f"Bearer {access}")
    refused(answer, "Invalid token type")


# --- The account and the session -------------------------------------------------------------------------------------


def test_deleted_account_is_not_found(alice):
    client = api_client(alice)
    alice.delete()
    refused(client.get(ME), "User not found")


def test_a_deactivated_account_comes_back_without_its_sessions(admin, alice):
    client, boss = api_client(alice), api_client(admin)
    url = f"/api/v2/auth/users/{alice.id}"
    boss.put(url, {"is_active": False})
    refused(client.get(ME), "User account is deactivated")
    boss.put(url, {"is_active": True})
    refused(client.get(ME), "Token has been revoked")
    assert api_client(User.objects.get(pk=alice.pk)).get(ME).status_code == 200


def test_account_is_judged_before_the_session(alice):
    client = api_client(alice)
    LoginSession.objects.all().delete()
    refused(client.get(ME), "Token has been revoked")
    User.objects.update(is_active=False)
    refused(client.get(ME), "User account is deactivated")


def test_session_of_another_account_does_not_count(alice, bob, good):
    refused(ask(f"Bearer {signed({**good, 'sub': str(bob.id)})}"), "Token has been revoked")
    refused(ask(f"Bearer {signed({**good, 'sub': str(uuid4())})}"), "User not found")


def test_role_is_read_from_the_account_and_never_from_the_token(alice):
    admin = make_user("boss", role=Role.ADMIN)
    client = api_client(admin)
    assert client.get("/api/v2/auth/users").status_code == 200
    User.objects.filter(id=admin.id).update(role=Role.VIEWER)
    assert client.get("/api/v2/auth/users").status_code == 403
    claims = AccessToken.issue(make_session(alice), now=timezone.now()).payload
    forged = signed({**claims, "role": "admin"})
    assert JSONClient().get("/api/v2/auth/users", HTTP_AUTHORIZATION=f"Bearer {forged}").status_code == 403


def test_recognising_a_caller_takes_one_query(alice, django_assert_num_queries):
    client = api_client(alice)
    with django_assert_num_queries(1):
        client.get(ME)


def test_refresh_reads_the_claims_from_the_account_anew(alice):
    tokens = sign_in("alice", PASSWORD, address="192.0.2.1", now=NOON).tokens
    User.objects.update(role=Role.VIEWER, email="al@example.org")
    claims = claims_of(refresh(tokens.refresh, now=NOON).access)
    assert (claims["role"], claims["email"]) == ("viewer", "al@example.org")
    assert RefreshToken.read(tokens.refresh, now=NOON)["role"] == "user"
