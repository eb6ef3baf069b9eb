"""Single sign-on against a real provider in a process of its own, and against providers that lie."""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.test import Client
from django.utils import timezone

from accounts import second_factors, sso
from accounts.models import Identity, LoginSession, User
from accounts.tests.factories import PASSWORD, JSONClient
from audit.models import AuditEntry
from cronsched.tests.console.pages import said
from cronsched.tests.processes import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PEOPLE: dict[str, dict[str, Any]] = {
    "s-alice": {"email": "Alice@example.com", "email_verified": True, "groups": ["staff"]},
    "s-dana": {
        "email": "dana@example.com",
        "email_verified": True,
        "preferred_username": "Dana Q.",
        "groups": ["boss"],
    },
    "s-other": {"email": "alice@example.com", "email_verified": True},
    "s-unverified": {"email": "alice@example.com", "email_verified": False},
    "s-mute": {"preferred_username": "mute"},
}


@pytest.fixture(scope="module")
def mock():
    """Serve a real provider and return its address."""
    port = free_port()
    people = [f"--user-claims={json.dumps({'sub': sub, **claims})}" for sub, claims in PEOPLE.items()]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *people]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            requests.get(address, timeout=5)
        except requests.ConnectionError:
            # Another process says nothing when it begins to listen.
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the provider does not answer")


@pytest.fixture(autouse=True)
def on(settings):
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "cronsched", "a secret"


@pytest.fixture
def provider(settings, mock):
    settings.OIDC_ISSUER = mock


def authorized(client, subject, **options):
    """Go to the provider, say who one is, and return the query that it sends the browser back with."""
    begun = client.get("/admin/sso/", options)
    assert begun.status_code == 302, begun
    answer = requests.post(begun["Location"], data={"sub": subject}, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def sign_in(subject):
    client = Client()
    return client.get("/admin/sso/callback/", authorized(client, subject))


def refused(answer):
    """Return what somebody is told who was not let in; nothing may have been written but the refusal."""
    assert (answer.status_code, answer["Location"]) == (302, "/admin/login/")
    assert not LoginSession.objects.exists()
    return said(answer)[-1]


# --- With a provider that tells the truth ----------------------------------------------------------------------------


def test_a_person_signs_in_to_the_account_with_the_verified_address(provider, alice):
    client = Client()
    answer = client.get("/admin/sso/callback/", authorized(client, "s-alice", next="/admin/jobs/job/"))
    assert answer["Location"] == "/admin/jobs/job/"
    assert client.get("/admin/account/").context["user"] == alice
    assert [entry.action for entry in AuditEntry.objects.order_by("at", "id")] == ["user.linked", "user.signed_in"]
    User.objects.filter(pk=alice.pk).update(email="new@example.com")
    sign_in("s-alice")
    assert Identity.objects.get().user == alice


def test_the_providers_own_second_factor_is_trusted(provider, alice, settings):
    settings.REQUIRE_SECOND_FACTOR = "EVERYBODY"
    secret, now = second_factors.new_secret(), timezone.now()
    code = second_factors.code_at(secret, second_factors.current_step(now))
    second_factors.add_app(alice, secret, code, name="Phone", keep=None, now=now)
    client = Client()
    client.get("/admin/sso/callback/", authorized(client, "s-alice"))
    assert client.get("/admin/").status_code == 200
    assert AuditEntry.objects.get(action="user.signed_in").reason == "by single sign-on"


def test_who_has_no_account_is_told_so(provider):
    assert refused(sign_in("s-dana")).startswith("There is no account for you here.")
    assert not User.objects.exists()


def test_accounts_are_made_where_the_setting_says_so(provider, settings):
    settings.OIDC_CREATE_ACCOUNTS = True
    settings.OIDC_ROLE_CLAIM, settings.OIDC_ROLE_MAP = "groups", {"boss": "admin", "staff": "user"}
    sign_in("s-dana")
    user = User.objects.get()
    assert (user.username, user.email, user.role) == ("dana-q", "dana@example.com", "admin")
    assert not user.has_usable_password()
    sent = {"username": "dana-q", "password": PASSWORD}
    assert JSONClient().post("/api/v2/auth/login", sent).status_code == 401


def test_the_role_follows_the_claim_at_each_sign_in(provider, settings, alice):
    settings.OIDC_ROLE_CLAIM, settings.OIDC_ROLE_MAP = "groups", {"staff": "viewer"}
    sign_in("s-alice")
    alice.refresh_from_db()
    assert alice.role == "viewer"
    entry = AuditEntry.objects.get(action="user.updated")
    assert (entry.actor_name, entry.actor_kind) == ("single sign-on", "system")
    settings.OIDC_ROLE_MAP = {"others": "user"}
    LoginSession.objects.all().delete()
    assert refused(sign_in("s-alice")).startswith("The identity provider gives you no role here.")
    settings.OIDC_ROLE_MAP = {"*": "user"}
    sign_in("s-alice")
    alice.refresh_from_db()
    assert alice.role == "user"


def test_the_last_administrator_is_not_made_less_by_a_claim(provider, settings, alice):
    User.objects.filter(pk=alice.pk).update(role="admin")
    settings.OIDC_ROLE_CLAIM, settings.OIDC_ROLE_MAP = "groups", {"staff": "user"}
    assert refused(sign_in("s-alice")) == "At least one active administrator is needed."
    assert not Identity.objects.exists()


@pytest.mark.parametrize(
    "subject, told",
    [
        ("s-unverified", "Your e-mail address is not verified"),
        ("s-mute", "The identity provider sends no e-mail address for you."),
    ],
)
def test_addresses_that_prove_nothing_lead_to_no_account(provider, settings, alice, subject, told):
    settings.OIDC_CREATE_ACCOUNTS = True
    assert refused(sign_in(subject)).startswith(told)
    assert (User.objects.count(), Identity.objects.count()) == (1, 0)


def test_the_address_of_somebody_elses_account_does_not_open_it(provider, alice):
    sign_in("s-alice")
    LoginSession.objects.all().delete()
    assert refused(sign_in("s-other")).startswith("Your e-mail address belongs to an account")


def test_a_deactivated_account_stays_closed_and_the_trail_says_so(provider, alice, caplog):
    sign_in("s-alice")
    LoginSession.objects.all().delete()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert refused(sign_in("s-alice")) == "Account is inactive. Contact administrator."
    entry = AuditEntry.objects.first()
    assert (entry.action, entry.object_name) == ("user.sign_in_refused", "alice")
    lines = [record.getMessage() for record in caplog.records if record.name == "cronsched.security"]
    assert lines[-1] == "A single sign-on of alice was refused, from 127.0.0.1: the account alice is inactive"


def test_an_answer_counts_only_in_the_browser_that_asked(provider, alice):
    client = Client()
    answer = authorized(client, "s-alice")
    assert refused(Client().get("/admin/sso/callback/", answer)).startswith(
        "This sign-in was started in another browser"
    )
    assert refused(client.get("/admin/sso/callback/", {**answer, "state": "another"})).startswith("This sign-in was")
    # The one time that it counts is over.
    assert refused(client.get("/admin/sso/callback/", answer)).startswith("This sign-in was started in another browser")


def test_a_code_counts_once(provider, alice):
    client = Client()
    answer = authorized(client, "s-alice")
    kept = client.cookies["sso"].value
    client.get("/admin/sso/callback/", answer)
    LoginSession.objects.all().delete()
    again = Client()
    again.cookies["sso"] = kept
    assert refused(again.get("/admin/sso/callback/", answer)).startswith("The identity provider answered something")


def test_who_is_refused_by_the_provider_is_told_so(provider):
    client = Client()
    state = authorized(client, "s-alice")["state"]
    answer = client.get("/admin/sso/callback/", {"error": "access_denied", "state": state})
    assert refused(answer) == "The identity provider did not sign you in."


@pytest.mark.parametrize("wanted", ["https://evil.example/admin/", "//evil.example/admin/", "/docs", "javascript:x"])
def test_the_way_back_stays_in_the_console(provider, alice, wanted):
    client = Client()
    answer = client.get("/admin/sso/callback/", authorized(client, "s-alice", next=wanted))
    assert answer["Location"] == "/admin/"


# --- With a provider that is down, or lies ---------------------------------------------------------------------------


class Liar:
    """A provider whose documents a test bends."""

    def __init__(self):
        self.key = self.published = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.claims, self.userinfo, self.config, self.status, self.algorithm = {}, {}, {}, 200, "RS256"
        self.nonce, self.tokens = "", {}
        self.headers: dict[str, Any] = {}
        # What an answer at a path is instead, how many bytes more it promises, and how long each byte of it takes.
        self.instead, self.missing, self.pause = {}, 0, 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer(outer.document(self.path))

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer(outer.document(self.path))

            def _answer(self, document):
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(outer.status)
                for name, value in {"Content-Length": len(body) + outer.missing, **outer.headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                for part in (body[at : at + 1] for at in range(len(body))) if outer.pause else [body]:
                    self.wfile.write(part)
                    time.sleep(outer.pause)

            def log_message(self, *arguments):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def document(self, path):
        if path in self.instead:
            return self.instead[path]
        match path:
            case "/.well-known/openid-configuration":
                ends = {name: f"{self.address}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
                more = {"jwks_uri": f"{self.address}/jwks", "userinfo_endpoint": f"{self.address}/userinfo"}
                return {"issuer": self.address, **ends, **more, **self.config}
            case "/jwks":
                public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.published.public_key()))
                return {"keys": [{**public, "kid": "one", "alg": "RS256"}]}
            case "/userinfo":
                return self.userinfo
        return {"access_token": "a", "id_token": self.token(), **self.tokens}

    def token(self):
        now = timezone.now()
        claims = {
            "iss": self.address,
            "sub": "s-alice",
            "aud": "cronsched",
            "iat": now,
            "exp": now + timedelta(minutes=5),
            "nonce": self.nonce,
            "email": "alice@example.com",
            "email_verified": True,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.key if self.algorithm == "RS256" else {"none": None}.get(self.algorithm, "a secret" * 8)
        return jwt.encode(claims, key, algorithm=self.algorithm, headers={"kid": "one"})


@pytest.fixture
def liar(settings):
    made = Liar()
    settings.OIDC_ISSUER = made.address
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def come_back(liar):
    client = Client()
    begun = client.get("/admin/sso/")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun["Location"]).query).items()}
    liar.nonce = asked["nonce"]
    return client, asked["state"]


def test_a_provider_that_tells_the_truth_is_believed(liar, alice):
    client, state = come_back(liar)
    assert client.get("/admin/sso/callback/", {"state": state, "code": "c"})["Location"] == "/admin/"
    assert LoginSession.objects.get().user == alice


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"exp": None},
        {"sub": None},
        {"aud": ["cronsched", "another-client"], "azp": "another-client"},
        {"sub": "\ud800"},
        {"nonce": "\ud800"},
        {"nonce": 5},
    ],
    ids=str,
)
def test_claims_that_are_not_for_this_sign_in_are_refused(liar, alice, claims, caplog):
    client, state = come_back(liar)
    liar.claims = claims
    answer = client.get("/admin/sso/callback/", {"state": state, "code": "c"})
    assert refused(answer).startswith("The identity provider answered something that cannot be trusted.")
    assert not Identity.objects.exists()
    assert any(record.name == "cronsched.security" for record in caplog.records)


def test_a_token_signed_by_another_key_is_refused(liar, alice):
    client, state = come_back(liar)
    liar.published = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    answer = client.get("/admin/sso/callback/", {"state": state, "code": "c"})
    assert refused(answer).startswith("The identity provider answered something that cannot be trusted.")


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_that_anybody_could_have_signed_is_refused(liar, alice, algorithm):
    client, state = come_back(liar)
    liar.algorithm = algorithm
    liar.config = {"id_token_signing_alg_values_supported": [algorithm, "RS256"]}
    answer = client.get("/admin/sso/callback/", {"state": state, "code": "c"})
    assert refused(answer).startswith("The identity provider answered something that cannot be trusted.")


def test_the_userinfo_of_somebody_else_is_refused(liar, alice):
    client, state = come_back(liar)
    liar.claims = {"email": None}
    liar.userinfo = {"sub": "s-other", "email": "alice@example.com", "email_verified": True}
    answer = client.get("/admin/sso/callback/", {"state": state, "code": "c"})
    assert refused(answer).startswith("The identity provider answered something that cannot be trusted.")


def test_an_address_that_stands_in_the_userinfo_only_is_found(liar, alice):
    client, state = come_back(liar)
    liar.claims = {"email": None, "email_verified": None}
    liar.userinfo = {"sub": "s-alice", "email": "alice@example.com", "email_verified": True}
    assert client.get("/admin/sso/callback/", {"state": state, "code": "c"})["Location"] == "/admin/"


@pytest.mark.parametrize(
    "config, told",
    [
        ({"issuer": "https://elsewhere.example"}, "The identity provider answered something"),
        ({"authorization_endpoint": None}, "The identity provider answered something"),
    ],
)
def test_a_provider_that_is_another_is_refused(liar, config, told):
    liar.config = config
    assert refused(Client().get("/admin/sso/")).startswith(told)


@pytest.mark.parametrize(
    "bent",
    [
        {"config": {"token_endpoint_auth_methods_supported": 5}},
        {"config": {"id_token_signing_alg_values_supported": 5}},
        {"config": {"id_token_signing_alg_values_supported": "RS256"}},
        {"config": {"token_endpoint": f"http://{'a' * 70}.example/"}},
        {"config": {"token_endpoint": "file:///etc/passwd"}},
        {"config": {"jwks_uri": "http://[::"}},
        {"tokens": {"id_token": "\ud800.x.y"}},
        {"tokens": {"id_token": "é.x.y"}},
        {"tokens": {"access_token": "日本"}, "claims": {"email": None}},
        {"instead": {"/jwks": {"keys": ["one"]}}},
        {"instead": {"/jwks": b'{"keys": ' + b"[" * 100_000}},
        {"instead": {"/token_endpoint": b"[" * 100_000}},
        {"instead": {"/.well-known/openid-configuration": b"\xff"}},
        {"headers": {"Content-Encoding": "gzip"}},
        {"missing": 10},
    ],
    ids=lambda bent: ascii(bent)[:80],
)
def test_whatever_the_provider_answers_the_person_is_told(liar, alice, bent):
    client, state = come_back(liar)
    for name, value in bent.items():
        setattr(liar, name, value)
    answer = client.get("/admin/sso/callback/", {"state": state, "code": "c"})
    assert refused(answer).startswith("The identity provider ")
    assert not Identity.objects.exists()


def test_a_token_signed_by_another_kind_of_key_is_refused(liar, alice):
    client, state = come_back(liar)
    liar.config = {"id_token_signing_alg_values_supported": ["ES256", "RS256"]}
    made = jwt.encode({"sub": "s-alice"}, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "one"})
    liar.tokens = {"id_token": made}
    answer = client.get("/admin/sso/callback/", {"state": state, "code": "c"})
    assert refused(answer).startswith("The identity provider answered something that cannot be trusted.")


@pytest.mark.parametrize("endpoint", ["javascript:alert(1)", "http://[::", "/here", "http://id.example/\ud800"])
def test_the_browser_is_sent_to_a_web_page_only(liar, endpoint):
    liar.config = {"authorization_endpoint": endpoint}
    assert refused(Client().get("/admin/sso/")).startswith("The identity provider answered something")


def test_a_provider_that_answers_a_byte_at_a_time_holds_no_thread(liar, monkeypatch):
    monkeypatch.setattr(sso, "SECONDS", 0.5)
    liar.pause = 0.05
    begun = time.monotonic()
    assert refused(Client().get("/admin/sso/")).startswith("The identity provider cannot be reached at the moment.")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("status, told", [(503, "The identity provider cannot be reached"), (404, "The identity")])
def test_a_provider_in_trouble_is_said_to_be(liar, status, told):
    liar.status = status
    assert refused(Client().get("/admin/sso/")).startswith(told)


def test_a_provider_that_is_down_is_said_to_be(settings):
    settings.OIDC_ISSUER = f"http://127.0.0.1:{free_port()}"
    assert refused(Client().get("/admin/sso/")).startswith("The identity provider cannot be reached at the moment.")


# --- The ways in -----------------------------------------------------------------------------------------------------


def test_the_page_offers_the_ways_in_that_there_are(settings):
    settings.OIDC_NAME = "Example ID"
    page = Client().get("/admin/login/?next=/admin/jobs/job/").content.decode()
    assert "Sign in with Example ID" in page
    assert "/admin/sso/?next=%2Fadmin%2Fjobs%2Fjob%2F" in page
    assert 'name="password"' in page
    settings.LOCAL_PASSWORDS = False
    assert 'name="password"' not in Client().get("/admin/login/").content.decode()
    settings.OIDC_ISSUER, settings.LOCAL_PASSWORDS = "", True
    assert "Sign in with" not in Client().get("/admin/login/").content.decode()
    assert Client().get("/admin/sso/").status_code == 404


def test_without_local_passwords_nobody_signs_in_by_one(settings, alice):
    settings.LOCAL_PASSWORDS = False
    sent = {"username": "alice", "password": PASSWORD}
    answer = JSONClient().post("/api/v2/auth/login", sent)
    assert (answer.status_code, answer.json()["error"]) == (403, "Local sign-in is off")
    assert "API tokens" in answer.json()["message"]
    assert Client().post("/admin/login/", sent).status_code == 200
    assert not LoginSession.objects.exists()
