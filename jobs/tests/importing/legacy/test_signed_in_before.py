"""A browser that the older service signed in: asked once to sign in, and never sent round in a circle."""

import pytest

from accounts.models import User
from accounts.tests.factories import api_client
from jobs.tests.importing.legacy.conftest import run
from jobs.tests.importing.legacy.older import PASSWORD, token

pytestmark = pytest.mark.django_db

POLLED = ("/api/v2/notifications/unread-count", "/api/v2/jobs", "/api/v2/executions/statistics")


def with_token(token):
    client = api_client()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.mark.parametrize("is_same_key", [True, False], ids=["JWT_SECRET_KEY kept", "another key"])
def test_old_tokens_lead_to_the_sign_in_page_once(there, settings, is_same_key):
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "accounts.passlib_hashes.PasslibPBKDF2PasswordHasher"]
    key = settings.JWT_SECRET_KEY if is_same_key else "the older service's key, which nobody took along"
    there.user("ann")
    run("import_legacy", there.url)
    ann = User.objects.get(username="ann")
    # What the client asks for when it starts: each answer means "session bad", in words it can show.
    browser = with_token(token(ann.pk, "access", key))
    for path in POLLED:
        answer = browser.get(path)
        assert answer.status_code == 401, path
        assert isinstance(answer.json()["message"], str)
        assert answer.json()["message"]
    # It tries to refresh once per call; refused, it wipes what it has and shows the page for signing in.
    refreshed = with_token(token(ann.pk, "refresh", key)).post("/api/v2/auth/refresh", None)
    assert refreshed.status_code == 401
    assert "access_token" not in refreshed.json()
    signed_in = api_client().post("/api/v2/auth/login", {"username": "ann", "password": PASSWORD}).json()
    again = with_token(signed_in["access_token"])
    assert [again.get(path).status_code for path in POLLED] == [200, 200, 200]
    assert with_token(signed_in["refresh_token"]).post("/api/v2/auth/refresh", None).status_code == 200
