"""POST /auth/refresh."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import LoginSession, User
from accounts.services import refresh
from accounts.tests.factories import JSONClient, make_session
from accounts.tokens import RefreshToken, issue_pair
from cronsched.lib.errors import Unauthorized

URL = "/api/v2/auth/refresh"


def post(content: Any = None, *, token: str | None = None, content_type: str = "application/json") -> Any:
    client: Any = JSONClient()
    headers = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    if isinstance(content, bytes):
        return client.generic("POST", URL, content, content_type=content_type, **headers)
    return client.post(URL, content, **headers)


@pytest.fixture
def session(alice: User) -> LoginSession:
    return make_session(alice)


@pytest.fixture
def token(session: LoginSession) -> str:
    return issue_pair(session, now=timezone.now()).refresh


def claims_of(text: str) -> dict[str, Any]:
    return jwt.decode(text, settings.JWT_SECRET_KEY, algorithms=["HS256"])


@pytest.mark.parametrize("way", ["header", "body", "both"])
def test_token_may_come_as_header_or_in_the_body(session, token, way):
    in_body = {"header": None, "body": token, "both": "broken"}[way]
    answer = post({"refresh_token": in_body}, token=None if way == "body" else token)
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 3600)
    access, refreshing = claims_of(body["access_token"]), claims_of(body["refresh_token"])
    assert (access["type"], refreshing["type"]) == ("access", "refresh")
    assert access["sid"] == refreshing["sid"] == str(session.id)


@pytest.mark.parametrize(
    "content, content_type",
    [
        (b"null", "application/json"),
        (b"", ""),
        (b"", "application/json"),
        (b"[1]", "application/json"),
        (b"{broken", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (b'{"refresh_token": 7}', "application/json"),
        (b"\xff", "text/plain"),
    ],
)
def test_any_other_body_is_ignored(token, content, content_type):
    assert post(content, token=token, content_type=content_type).status_code == 200


@pytest.mark.parametrize("content", [b"null", b"", b"{}", b"[]", b"{broken", b'{"refresh_token": null}'])
def test_without_any_token_nobody_is_recognised(db, content):
    answer = post(content)
    assert (answer.status_code, answer.json()["message"]) == (401, "Not authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("unusable", [7, True, ["x"], {"a": 1}, "x", "   "])
def test_unusable_token_in_the_body_is_invalid(db, unusable):
    answer = post({"refresh_token": unusable})
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid token")


def test_token_used_stays_valid(token):
    answers = [post(token=token) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    access = answers[0].json()["access_token"]
    assert JSONClient().get("/api/v2/auth/me", HTTP_AUTHORIZATION=f"Bearer {access}").status_code == 200


def test_refresh_prolongs_the_session(session):
    first = RefreshToken.issue(session, now=session.created_at)
    later = session.created_at + timedelta(days=29)
    newest = refresh(str(first), now=later).refresh
    session.refresh_from_db()
    assert session.expires_at == later + timedelta(seconds=settings.REFRESH_TOKEN_SECONDS)
    # The first one ends when it said it would; the newest goes on.
    end = session.created_at + timedelta(days=30)
    with pytest.raises(Unauthorized, match="Token has expired"):
        refresh(str(first), now=end)
    assert refresh(newest, now=end)


@pytest.mark.parametrize(
    "change, text",
    [({"is_active": False}, "User account is deactivated"), (None, "User not found")],
)
def test_account_is_read_anew(alice, token, change, text):
    if change is None:
        alice.delete()
    else:
        User.objects.update(**change)
    for answer in (post(token=token), post({"refresh_token": token})):
        assert (answer.status_code, answer.json()["message"]) == (401, text)


def test_session_that_ends_during_the_refresh_is_not_revived(token):
    def end_first(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE"):
            LoginSession.objects.all().delete()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end_first):
        answer = post(token=token)
    assert (answer.status_code, answer.json()["message"]) == (401, "Token has been revoked")
    assert not LoginSession.objects.exists()
