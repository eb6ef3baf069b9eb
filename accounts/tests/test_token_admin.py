"""API tokens in the console."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import api_tokens
from accounts.models import ApiToken
from accounts.tests.factories import make_user
from audit.models import AuditEntry
from cronsched.tests.console.pages import errors_of, said

pytestmark = pytest.mark.django_db

LIST, ADD = reverse("admin:accounts_apitoken_changelist"), reverse("admin:accounts_apitoken_add")
WANTED = {"name": "deploy", "scopes": ["read", "run"], "expires_at_0": "", "expires_at_1": "", "allowed_ips": ""}


def make_token(owner, **more):
    return api_tokens.create({"name": "t", "scopes": ["read"], **more}, owner=owner, by=owner, now=timezone.now()).token


@pytest.fixture
def user():
    return make_user(role="user")


@pytest.fixture
def signed_in(client, user):
    client.force_login(user)
    return client


@pytest.mark.parametrize("role", ["admin", "user", "viewer"])
def test_the_secret_is_shown_once_and_works(client, role):
    client.force_login(make_user(role=role))
    page = client.post(ADD, {**WANTED, "allowed_ips": "127.0.0.1\n10.0.0.0/8"})
    secret = page.context["secret"]
    assert secret in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    token = ApiToken.objects.get()
    assert (token.scopes, token.allowed_ips) == (["read", "run"], ["127.0.0.1/32", "10.0.0.0/8"])
    assert client.get("/api/v2/jobs", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    shown = client.get(LIST).content.decode() + client.get(f"{LIST}{token.pk}/change/").content.decode()
    assert f"cron_{token.prefix}" in shown
    assert secret not in shown
    assert AuditEntry.objects.filter(action="token.created").count() == 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": ""}),
        ("scopes", {"scopes": []}),
        ("scopes", {"scopes": ["root"]}),
        ("expires_at", {"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}),
        ("expires_at", {"expires_at_0": "x"}),
        ("allowed_ips", {"allowed_ips": "here"}),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_by_its_label(signed_in, field, change):
    errors = errors_of(signed_in.post(ADD, {**WANTED, **change}))
    assert list(errors) == [field]
    assert not any(name in " ".join(errors[field]) for name in ("allowed_ips", "expires_at"))
    assert not ApiToken.objects.exists()


def test_more_than_may_be_are_refused_in_words(signed_in, user, monkeypatch):
    monkeypatch.setattr(api_tokens, "MAX_PER_ACCOUNT", 1)
    make_token(user)
    assert "at most 1 tokens" in said(signed_in.post(ADD, WANTED))[0]


def test_one_sees_and_revokes_the_own_ones_only(signed_in, user):
    mine, theirs = make_token(user), make_token(make_user())
    assert [token.pk for token in signed_in.get(LIST).context["cl"].result_list] == [mine.pk]
    assert signed_in.post(f"{LIST}{theirs.pk}/delete/", {"post": "yes"}).status_code in (302, 403, 404)
    signed_in.post(LIST, {"action": "delete_selected", "_selected_action": [theirs.pk], "post": "yes"})
    assert ApiToken.objects.filter(pk=theirs.pk).exists()
    assert "refused at once" in signed_in.get(f"{LIST}{mine.pk}/delete/").content.decode()
    signed_in.post(f"{LIST}{mine.pk}/delete/", {"post": "yes"})
    assert not ApiToken.objects.filter(pk=mine.pk).exists()
    assert AuditEntry.objects.filter(action="token.deleted").count() == 1


def test_an_administrator_sees_and_revokes_all(client, user):
    client.force_login(make_user(role="admin"))
    tokens = [make_token(user), make_token(user)]
    assert len(client.get(LIST).context["cl"].result_list) == 2
    sent = {"action": "delete_selected", "_selected_action": [token.pk for token in tokens], "post": "yes"}
    client.post(LIST, sent)
    assert not ApiToken.objects.exists()


def test_it_says_how_a_token_is(signed_in, user):
    token = make_token(user, expires_at=(timezone.now() + timedelta(days=1)).isoformat())
    assert "Valid" in signed_in.get(LIST).content.decode()
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(days=1))
    assert "Expired" in signed_in.get(LIST).content.decode()


def test_the_list_takes_as_many_queries_for_many_as_for_few(signed_in, user, django_assert_max_num_queries):
    for _ in range(20):
        make_token(user)
    with django_assert_max_num_queries(15):
        signed_in.get(LIST)
