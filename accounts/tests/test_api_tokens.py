"""API tokens: made by people, shown once, used by scripts, and dead when they should be."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import api_tokens
from accounts.models import ApiToken, User
from accounts.tests.factories import api_client, make_token, make_user, token_client
from audit.models import AuditEntry
from audit.origin import Origin, acting_from

pytestmark = [pytest.mark.django_db, pytest.mark.database]

TOKENS, JOBS = "/api/v2/tokens", "/api/v2/jobs"
SECRET = re.compile(r"cron_[a-z0-9]{12}_[A-Za-z0-9]{40}")


def trail():
    entries = AuditEntry.objects.filter(object_type="token").order_by("at", "id")
    return [(entry.action, entry.actor_name, entry.actor_kind) for entry in entries]


def test_a_secret_is_shown_once_and_stored_as_a_digest(alice):
    client = api_client(alice)
    answer = client.post(
        TOKENS, {"name": "ci", "scopes": ["run", "read"], "allowed_ips": ["192.0.2.7", "2001:db8::/32"]}
    )
    assert answer.status_code == 201
    token, secret = answer.json()["token"], answer.json()["secret"]
    assert SECRET.fullmatch(secret)
    assert secret.startswith(token["prefix"])
    assert token["scopes"] == ["read", "run"]
    assert token["allowed_ips"] == ["192.0.2.7/32", "2001:db8::/32"]
    assert (token["expires_at"], token["last_used_at"], token["last_used_ip"]) == (None, None, None)
    listed = client.get(TOKENS)
    assert listed.json()["tokens"] == [token]
    random = secret.rpartition("_")[2]
    assert random not in str(ApiToken.objects.values()) + listed.content.decode() + str(AuditEntry.objects.values())


def test_a_token_acts_as_its_owner_and_says_when_it_was_used(alice):
    made = make_token(alice, "read")
    answer = token_client(made.secret, REMOTE_ADDR="192.0.2.7").get(JOBS)
    assert answer.status_code == 200
    made.token.refresh_from_db()
    assert made.token.last_used_ip == "192.0.2.7"
    assert timezone.now() - made.token.last_used_at < timedelta(minutes=1)


def test_what_a_token_changes_is_on_record_under_its_name(admin):
    made = make_token(admin, "write", name="ci")
    assert token_client(made.secret).post("/api/v2/job-categories", {"name": "New"}).status_code == 201
    entry = AuditEntry.objects.filter(action="category.created").get()
    assert (entry.actor_id, entry.actor_name, entry.actor_kind) == (admin.pk, "admin (ci)", "token")


def test_a_token_that_was_just_used_costs_one_query(alice, django_assert_num_queries):
    made = make_token(alice)
    now = timezone.now()
    with acting_from(Origin()):
        api_tokens.authenticate(made.secret, address="192.0.2.7", now=now)
        with django_assert_num_queries(1):
            api_tokens.authenticate(made.secret, address="192.0.2.7", now=now)


@pytest.mark.parametrize(
    "spoil",
    [
        str.upper,
        str.swapcase,
        lambda secret: secret[:-1],
        lambda secret: f"{secret}x",
        lambda secret: secret[:17],
        lambda _: "cron_",
        lambda _: "cron_\x00",
        lambda secret: f"{secret[:-1]}é",
        lambda _: "cron_" * 4000,
    ],
)
def test_a_spoiled_secret_is_no_token(alice, spoil):
    answer = token_client(spoil(make_token(alice).secret)).get(JOBS)
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid token")


def test_an_expired_token_is_told_so_and_refused(alice):
    made = make_token(alice)
    ApiToken.objects.update(expires_at=timezone.now())
    answer = token_client(made.secret).get(JOBS)
    assert (answer.status_code, answer.json()["message"]) == (401, "Token has expired")
    assert trail()[-1] == ("token.refused", "alice (a script)", "token")


def test_refusals_of_one_token_are_on_record_once_a_minute(alice, caplog):
    made = make_token(alice)
    ApiToken.objects.update(expires_at=timezone.now())
    for _ in range(3):
        token_client(made.secret).get(JOBS)
    assert [action for action, *_ in trail()] == ["token.created", "token.refused"]
    lines = [record.getMessage() for record in caplog.records if record.name == "cronsched.security"]
    assert len(lines) == 3
    assert made.token.prefix in lines[0]
    assert made.secret not in str(lines)


@pytest.mark.parametrize(("address", "status"), [("192.0.2.7", 200), ("::ffff:192.0.2.7", 200), ("198.51.100.1", 403)])
def test_a_token_is_bound_to_its_addresses(alice, address, status):
    made = make_token(alice, allowed_ips=["192.0.2.0/24"])
    answer = token_client(made.secret, REMOTE_ADDR=address).get(JOBS)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["message"] == "This token may not be used from 198.51.100.1."


def test_a_token_dies_with_the_deactivation_of_its_owner_for_good(admin, alice):
    made = make_token(alice)
    path = f"/api/v2/auth/users/{alice.pk}"
    assert api_client(admin).put(path, {"is_active": False}).status_code == 200
    assert token_client(made.secret).get(JOBS).status_code == 401
    assert api_client(admin).put(path, {"is_active": True}).status_code == 200
    assert token_client(made.secret).get(JOBS).status_code == 401


def test_a_token_dies_with_its_owner(alice):
    made = make_token(alice)
    User.objects.filter(pk=alice.pk).delete()
    assert token_client(made.secret).get(JOBS).status_code == 401


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({"name": ""}, "Invalid name"),
        ({"name": "n" * 101}, "Invalid name"),
        ({"scopes": None}, "Invalid scopes"),
        ({"scopes": []}, "Invalid scopes"),
        ({"scopes": ["admin"]}, "Invalid scopes"),
        ({"scopes": [["read"]]}, "Invalid scopes"),
        ({"scopes": "read"}, "Invalid scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "Invalid expires_at"),
        ({"expires_at": "soon"}, "Invalid expires_at"),
        ({"allowed_ips": "192.0.2.7"}, "Invalid allowed_ips"),
        ({"allowed_ips": ["192.0.2.7/24"]}, "Invalid allowed_ips"),
        ({"allowed_ips": [7]}, "Invalid allowed_ips"),
        ({"allowed_ips": ["192.0.2.7"] * 51}, "Invalid allowed_ips"),
    ],
)
def test_what_cannot_be_meant_is_refused(alice, sent, error):
    answer = api_client(alice).post(TOKENS, {"name": "ci", "scopes": ["read"], **sent})
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert not ApiToken.objects.exists()


def test_an_account_has_a_bounded_number_of_tokens(alice, monkeypatch):
    monkeypatch.setattr(api_tokens, "MAX_PER_ACCOUNT", 1)
    make_token(alice)
    answer = api_client(alice).post(TOKENS, {"name": "ci", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["error"]) == (400, "Too many tokens")


def test_administrators_see_and_end_the_tokens_of_others(admin, alice, bob):
    made = make_token(alice)
    assert api_client(bob).delete(f"{TOKENS}/{made.token.pk}").status_code == 404
    client = api_client(admin)
    assert client.get(TOKENS).json()["tokens"] == []
    assert len(client.get(TOKENS, {"owner": str(alice.pk)}).json()["tokens"]) == 1
    assert len(client.get(TOKENS, {"all": "true"}).json()["tokens"]) == 1
    assert client.delete(f"{TOKENS}/{made.token.pk}").json() == {"message": "Token deleted"}
    assert client.delete(f"{TOKENS}/{made.token.pk}").status_code == 404
    assert trail()[-1] == ("token.deleted", "admin", "user")
    for params in ({"owner": str(alice.pk)}, {"all": "1"}):
        assert api_client(bob).get(TOKENS, params).status_code == 403
    assert client.get(TOKENS, {"owner": "alice"}).status_code == 400


@pytest.mark.parametrize("leaves", ["deactivated", "deleted"])
def test_what_ends_with_its_owner_is_on_record(admin, alice, leaves):
    made = [make_token(alice, name=name) for name in ("ci", "nightly")]
    client, url = api_client(admin), f"/api/v2/auth/users/{alice.pk}"
    if leaves == "deleted":
        answer = client.delete(url)
    else:
        answer = client.put(url, {"is_active": False}, headers={"X-Change-Reason": "She leaves"})
    assert answer.status_code == 200
    assert not ApiToken.objects.exists()
    entries = AuditEntry.objects.filter(action="token.deleted").order_by("id")
    assert [entry.object_id for entry in entries] == [str(one.token.pk) for one in made]
    why = {"deleted": "The account was deleted.", "deactivated": "She leaves"}[leaves]
    for entry in entries:
        told = (entry.actor_name, entry.owner_id, entry.changes, entry.reason)
        assert told == ("admin", alice.pk, {"owner": ["alice", None]}, why)


def test_whose_token_it_is_stands_in_the_trail(alice):
    run("alice", "--name", "ci", "--scope", "read")
    assert AuditEntry.objects.get(action="token.created").changes["owner"] == [None, "alice"]


def test_an_ipv4_address_in_the_writing_of_ipv6_is_that_address(alice):
    sent = {"name": "ci", "scopes": ["read"], "allowed_ips": ["::ffff:192.0.2.7", "::ffff:10.0.0.0/104"]}
    made = api_client(alice).post(TOKENS, sent).json()
    assert made["token"]["allowed_ips"] == ["192.0.2.7/32", "10.0.0.0/8"]
    assert token_client(made["secret"], REMOTE_ADDR="192.0.2.7").get(JOBS).status_code == 200


# --- The command -----------------------------------------------------------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command("create_api_token", *arguments, stdout=out)
    return out.getvalue().strip()


def test_the_command_prints_a_secret_that_works(alice):
    secret = run("alice", "--name", "ci", "--scope", "read", "--scope", "run", "--expires-days", "30")
    assert token_client(secret).get(JOBS).status_code == 200
    token = ApiToken.objects.get()
    assert (token.scopes, token.owner) == (["read", "run"], alice)
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert trail() == [("token.created", "create_api_token", "command")]


def test_the_command_prints_json_as_the_api_does(alice):
    printed = json.loads(run("alice", "--name", "ci", "--scope", "read", "--json"))
    (listed,) = api_client(alice).get("/api/v2/tokens").json()["tokens"]
    assert printed["token"] == listed
    assert token_client(printed["secret"]).get(JOBS).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody", "--name", "ci", "--scope", "read"], "There is no account nobody"),
        (["asleep", "--name", "ci", "--scope", "read"], "is not active"),
        (["asleep", "--name", "ci", "--scope", "admin"], "invalid choice"),
        (["asleep", "--scope", "read"], "--name"),
        (["awake", "--name", "ci", "--scope", "read", "--expires-days", "-1"], "expires_at must lie in the future"),
        (["awake", "--name", "ci", "--scope", "read", "--expires-days", "999999999"], "--expires-days is too far"),
        (["awake", "--name", "ci", "--scope", "read", "--allow", "home"], "allowed_ips"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, words):
    make_user("asleep", is_active=False)
    make_user("awake")
    with pytest.raises(CommandError, match=re.escape(words)):
        run(*arguments)
    assert not ApiToken.objects.exists()
