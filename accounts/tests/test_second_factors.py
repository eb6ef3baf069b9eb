"""Second factors of the console: enrolling, the second step of a sign-in, and what ends them."""

import base64
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import factor_steps, second_factors
from accounts.models import FailedSignIns, LoginSession, RecoveryCode, SecondFactor, User
from accounts.second_factors import code_at, current_step
from accounts.tests.factories import PASSWORD, JSONClient
from audit.models import AuditEntry
from cronsched.lib.errors import DomainError, TooManyRequests, Unauthorized
from cronsched.tests.console.pages import said
from notifications.models import Delivery
from notifications.tests.conftest import use_mail_server

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LOGIN, STEP, ACCOUNT = "/admin/login/", "/admin/second_factor/", "/admin/account/"
# So far from the real time that no code of a test is right by accident.
LATER = datetime(2031, 5, 4, 3, 2, 15, tzinfo=UTC)


def enrolled(user: User, *, name: str = "Phone") -> tuple[str, list[str]]:
    """Give `user` an app whose last code is long over. Returns its secret and the recovery codes."""
    secret, long_ago = second_factors.new_secret(), timezone.now() - timedelta(days=1)
    code = code_at(secret, current_step(long_ago))
    return secret, second_factors.add_app(user, secret, code, name=name, keep=None, now=long_ago)


def code_of(secret: str, *, steps: int = 0) -> str:
    return code_at(secret, current_step(timezone.now()) + steps)


def gave_password(name: str = "alice", **more: str) -> Client:
    client = Client()
    answer = client.post(LOGIN, {"username": name, "password": PASSWORD, **more})
    assert (answer.status_code, answer["Location"]) == (302, STEP)
    return client


def is_in(client: Client) -> bool:
    return bool(client.get("/admin/").status_code == 200)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("at", "id").values_list("action", flat=True))


# --- The codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds, code", [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_codes_are_those_of_rfc_6238(seconds, code):
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert code_at(secret, seconds // 30) == code


@pytest.mark.parametrize("seconds, right", [(-61, False), (-30, True), (0, True), (30, True), (61, False)])
def test_clocks_may_differ_by_one_step(alice, seconds, right):
    secret, _ = enrolled(alice)
    code = code_at(secret, current_step(LATER + timedelta(seconds=seconds)))
    if right:
        assert second_factors.check_code(alice, f" {code[:3]} {code[3:]} ", address="", now=LATER)
    else:
        with pytest.raises(Unauthorized):
            second_factors.check_code(alice, code, address="", now=LATER)


def test_a_code_counts_once_and_so_do_earlier_ones(alice):
    secret, _ = enrolled(alice)
    step = current_step(LATER)
    second_factors.check_code(alice, code_at(secret, step), address="", now=LATER)
    for again in (step, step - 1):
        with pytest.raises(Unauthorized):
            second_factors.check_code(alice, code_at(secret, again), address="", now=LATER)
    assert second_factors.check_code(alice, code_at(secret, step + 1), address="", now=LATER)


def test_wrong_codes_are_counted_apart_from_passwords(alice, settings):
    settings.SIGN_IN_ATTEMPTS = 2
    secret, codes = enrolled(alice)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            second_factors.check_code(alice, "000000", address="198.51.100.7", now=LATER)
    for code in (code_at(secret, current_step(LATER)), codes[0]):
        with pytest.raises(TooManyRequests):
            second_factors.check_code(alice, code, address="198.51.100.7", now=LATER)
    # The password is taken, from the same address, and does not start the count afresh.
    client = gave_password()
    for _ in range(2):
        client.post(STEP, {"code": "000000"})
    answer = gave_password().post(STEP, {"code": code_of(secret)})
    assert answer.status_code == 429
    assert "Too many failed sign-ins." in answer.content.decode()
    assert int(answer["Retry-After"]) > 0
    assert "user.locked_out" in actions()


def test_who_knows_the_password_may_not_try_codes_from_everywhere(alice, settings):
    settings.SIGN_IN_ATTEMPTS_PER_ACCOUNT = 3
    secret, _ = enrolled(alice)
    for number in range(3):
        address = f"198.51.100.{number}"
        Client().post(LOGIN, {"username": "alice", "password": PASSWORD}, REMOTE_ADDR=address)
        with pytest.raises(Unauthorized):
            second_factors.check_code(alice, "000000", address=address, now=LATER)
    with pytest.raises(Unauthorized):
        second_factors.check_code(alice, "000000", address="198.51.100.1", now=LATER)
    with pytest.raises(TooManyRequests):
        second_factors.check_code(alice, code_at(secret, current_step(LATER)), address="198.51.100.2", now=LATER)


# --- The second step -------------------------------------------------------------------------------------------------


def test_the_password_alone_signs_nobody_in_who_has_a_factor(alice):
    secret, _ = enrolled(alice)
    client = gave_password()
    assert not is_in(client)
    assert not LoginSession.objects.exists()
    answer = client.post(STEP, {"code": code_of(secret)})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert is_in(client)
    entry = AuditEntry.objects.get(action="user.signed_in")
    assert (entry.object_name, entry.reason) == ("alice", "by Authenticator app “Phone”")
    assert alice.second_factors.get().last_used_at is not None


def test_a_wrong_code_is_told_and_written_down(alice, caplog):
    enrolled(alice)
    client = gave_password()
    page = client.post(STEP, {"code": "12345"}).content.decode()
    assert "This code is wrong, has run out or was used already." in page
    assert not is_in(client)
    assert "user.second_factor_refused" in actions()
    assert any(record.name == "cronsched.security" and "alice" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("code", ["", " ", "\x00", "é" * 6, "1" * 41, "١٢٣٤٥٦", "000000000000000000"])
def test_nonsense_is_no_code(alice, code):
    enrolled(alice)
    client = gave_password()
    assert client.post(STEP, {"code": code}).status_code == 200
    assert not is_in(client)


def test_a_code_used_at_one_sign_in_is_worth_nothing_at_another(alice):
    secret, _ = enrolled(alice)
    first, second = gave_password(), gave_password()
    code = code_of(secret)
    assert first.post(STEP, {"code": code}).status_code == 302
    assert second.post(STEP, {"code": code}).status_code == 200
    assert not is_in(second)


def test_each_recovery_code_counts_once(alice, caplog):
    _, codes = enrolled(alice)
    assert len(set(codes)) == 10
    assert gave_password().post(STEP, {"code": codes[3].upper()}).status_code == 302
    assert gave_password().post(STEP, {"code": codes[3]}).status_code == 200
    assert RecoveryCode.objects.count() == 9
    assert AuditEntry.objects.get(action="user.recovery_code_used").reason == "9 left"
    for code in (*codes[:3], *codes[4:]):
        assert gave_password().post(STEP, {"code": code}).status_code == 302
    assert "0 recovery codes left" in signed_in(alice).get(ACCOUNT).content.decode()


def test_the_recovery_code_of_somebody_else_is_none(alice, bob):
    enrolled(alice)
    _, codes = enrolled(bob)
    assert gave_password().post(STEP, {"code": codes[0]}).status_code == 200
    assert RecoveryCode.objects.count() == 20


@pytest.mark.parametrize("wanted", ["https://evil.example/admin/", "//evil.example/admin/", "/docs", "javascript:x"])
def test_the_way_back_stays_in_the_console(alice, wanted):
    secret, _ = enrolled(alice)
    client = gave_password(next=wanted)
    assert client.post(f"{STEP}?next={wanted}", {"code": code_of(secret), "next": wanted})["Location"] == "/admin/"


def test_the_page_that_was_asked_for_is_the_one_that_comes(alice):
    secret, _ = enrolled(alice)
    client = gave_password(next="/admin/jobs/job/?q=x")
    assert client.post(STEP, {"code": code_of(secret)})["Location"] == "/admin/jobs/job/?q=x"


def test_without_the_password_there_is_no_second_step(alice):
    secret, _ = enrolled(alice)
    for answer in (Client().get(STEP), Client().post(STEP, {"code": code_of(secret)})):
        assert (answer.status_code, answer["Location"]) == (302, LOGIN)
    assert alice.second_factors.get().last_used_at is None


def new_password(user):
    user.set_password("another horse battery")
    user.save()


def deactivation(user):
    user.is_active = False
    user.save()


def reset(user):
    second_factors.reset(user, by=None, now=timezone.now())


@pytest.mark.parametrize("change", [new_password, deactivation, reset, User.delete])
def test_a_sign_in_that_stands_between_the_steps_ends_with_what_it_began_on(alice, change):
    secret, _ = enrolled(alice)
    client = gave_password()
    change(User.objects.get(pk=alice.pk))
    answer = client.post(STEP, {"code": code_of(secret)})
    assert (answer.status_code, answer["Location"]) == (302, LOGIN)
    assert said(answer) == [factor_steps.STALE]
    assert not is_in(client)


def test_the_second_step_cannot_wait_for_ever(alice):
    secret, _ = enrolled(alice)
    client = gave_password()
    session = client.session
    session[factor_steps.KEY] = {**session[factor_steps.KEY], "until": timezone.now().timestamp() - 1}
    session.save()
    assert client.post(STEP, {"code": code_of(secret)})["Location"] == LOGIN
    assert not is_in(client)


def test_the_api_goes_on_taking_the_password(alice):
    enrolled(alice)
    assert JSONClient().post("/api/v2/auth/login", {"username": "alice", "password": PASSWORD}).status_code == 200


# --- Enrolling -------------------------------------------------------------------------------------------------------


def test_an_app_is_added_with_a_right_code_only(alice, settings):
    use_mail_server(settings, 1)
    elsewhere, client = signed_in(alice), signed_in(alice)
    page = client.get(reverse("add_app"))
    assert "<svg" in page.content.decode()
    secret = page.context["secret"].replace(" ", "")
    assert client.post(reverse("add_app"), {"name": "Phone", "code": "1"}).status_code == 200
    assert not SecondFactor.objects.exists()
    assert client.get(reverse("add_app")).context["secret"].replace(" ", "") == secret
    code = code_of(secret)
    answer = client.post(reverse("add_app"), {"name": "Phone", "code": code})
    codes = answer.context["codes"]
    assert all(code in answer.content.decode() for code in codes)
    assert "no-store" in answer["Cache-Control"]
    assert [alice.second_factors.get().secret, alice.second_factors.get().name] == [secret, "Phone"]
    # Sessions that the password alone has opened are over; this one goes on.
    assert (is_in(elsewhere), is_in(client)) == (False, True)
    assert actions()[-2:] == ["user.second_factor_added", "user.recovery_codes_made"]
    assert Delivery.objects.get().summary == "The second factor of alice was changed"
    # The code that enrolled it opens nothing.
    assert gave_password().post(STEP, {"code": code}).status_code == 200
    assert gave_password().post(STEP, {"code": codes[0]}).status_code == 302


def test_what_the_app_reads_names_service_and_account(alice):
    parts = urlsplit(second_factors.app_uri(alice, "ABC"))
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/Cron%20Job%20Scheduler%3Aalice")
    query = {"secret": ["ABC"], "issuer": ["Cron Job Scheduler"], "algorithm": ["SHA1"], "digits": ["6"]}
    assert parse_qs(parts.query) == {**query, "period": ["30"]}


def test_the_secret_is_encrypted_wherever_it_is_kept(alice):
    client = signed_in(alice)
    secret = client.get(reverse("add_app")).context["secret"].replace(" ", "")
    assert secret not in str(dict(client.session))
    client.post(reverse("add_app"), {"name": "Phone", "code": code_of(secret)})
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM second_factors")
        assert secret not in cursor.fetchone()[0]
    out = StringIO()
    call_command("dumpdata", "accounts", stdout=out)
    assert secret not in out.getvalue()


def test_a_second_app_leaves_the_recovery_codes_alone(alice):
    _, codes = enrolled(alice)
    _, more = enrolled(alice, name="Tablet")
    assert more == []
    assert gave_password().post(STEP, {"code": codes[0]}).status_code == 302


def test_there_is_a_most(alice):
    for number in range(10):
        enrolled(alice, name=str(number))
    client = signed_in(alice)
    secret = client.get(reverse("add_app")).context["secret"].replace(" ", "")
    page = client.post(reverse("add_app"), {"name": "x", "code": code_of(secret)}).content.decode()
    assert "An account has at most 10 second factors." in page


@pytest.mark.parametrize("page", ["add_app", "add_passkey", "second_factors"])
def test_a_cookie_that_is_not_fresh_changes_no_factors(alice, page):
    client = signed_in(alice)
    LoginSession.objects.update(created_at=timezone.now() - timedelta(minutes=16))
    answer = client.post(reverse(page), {"codes": "1"})
    assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?next={ACCOUNT}")
    assert not is_in(client)


def test_renaming_and_removing(alice, bob):
    enrolled(alice)
    factor, client = alice.second_factors.get(), signed_in(alice)
    change = reverse("second_factors")
    client.post(change, {"rename": factor.pk, f"name-{factor.pk}": "<b>Old phone"})
    assert "&lt;b&gt;Old phone" in client.get(ACCOUNT).content.decode()
    for name in ("", " ", "x" * 61):
        answer = client.post(change, {"rename": factor.pk, f"name-{factor.pk}": name})
        assert said(answer)[-1] == "A name has 1 to 60 characters."
    for nonsense in ("x", "", str(bob.pk)):
        assert said(client.post(change, {"remove": nonsense}))[-1] == "There is no such second factor any more."
    assert said(signed_in(bob).post(change, {"remove": factor.pk}))[-1] == "There is no such second factor any more."
    client.post(change, {"remove": factor.pk})
    assert (SecondFactor.objects.count(), RecoveryCode.objects.count()) == (0, 0)
    assert actions()[-1] == "user.second_factor_removed"
    assert actions().count("user.second_factor_renamed") == 1
    answer = Client().post(LOGIN, {"username": "alice", "password": PASSWORD})
    assert answer["Location"] == "/admin/"


def test_new_recovery_codes_end_the_old_ones(alice):
    _, old = enrolled(alice)
    codes = signed_in(alice).post(reverse("second_factors"), {"codes": "1"}).context["codes"]
    assert gave_password().post(STEP, {"code": old[0]}).status_code == 200
    assert gave_password().post(STEP, {"code": codes[0]}).status_code == 302


def test_there_are_no_recovery_codes_without_a_factor(alice):
    answer = signed_in(alice).post(reverse("second_factors"), {"codes": "1"})
    assert said(answer) == ["Recovery codes stand in for a second factor: add one first."]
    assert not RecoveryCode.objects.exists()


# --- Required --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting, name, is_led", [("ADMINS", "admin", True), ("ADMINS", "alice", False), ("EVERYBODY", "alice", True)]
)
def test_who_needs_a_factor_and_has_none_is_led_to_add_one(alice, admin, settings, setting, name, is_led):
    settings.REQUIRE_SECOND_FACTOR = setting
    client = Client()
    client.post(LOGIN, {"username": name, "password": PASSWORD})
    for page in ("/admin/", "/admin/jobs/job/", "/admin/password_change/", "/admin/nothing/"):
        answer = client.get(page)
        assert (answer.status_code == 302 and answer["Location"] == ACCOUNT) == is_led, page
    assert client.get(ACCOUNT).status_code == 200
    secret = client.get(reverse("add_app")).context["secret"].replace(" ", "")
    client.post(reverse("add_app"), {"name": "Phone", "code": code_of(secret)})
    assert is_in(client)


def test_the_last_factor_stays_where_one_is_required(alice, settings):
    enrolled(alice)
    factor = alice.second_factors.get()
    settings.REQUIRE_SECOND_FACTOR = "EVERYBODY"
    client = gave_password()
    client.post(STEP, {"code": code_of(factor.secret)})
    answer = client.post(reverse("second_factors"), {"remove": factor.pk})
    assert said(answer)[-1] == "A second factor is required of you. Add another one before you remove this one."
    enrolled(alice, name="Tablet")
    client.post(reverse("second_factors"), {"remove": factor.pk})
    assert alice.second_factors.get().name == "Tablet"


def test_a_session_from_before_has_to_prove_the_factor_once_it_is_required(alice, settings):
    enrolled(alice)
    client = signed_in(alice)
    settings.REQUIRE_SECOND_FACTOR = "EVERYBODY"
    answer = client.get("/admin/")
    assert answer["Location"] == f"{LOGIN}?next={ACCOUNT}"
    settings.REQUIRE_SECOND_FACTOR = "NOBODY"
    assert not is_in(client)


# --- Lost ------------------------------------------------------------------------------------------------------------


def test_an_administrator_takes_lost_factors_away(alice, admin):
    enrolled(alice)
    theirs, client = signed_in(alice), signed_in(admin)
    page = f"/admin/accounts/user/{alice.pk}/change/"
    assert "Authenticator app “Phone”" in client.get(page).content.decode()
    client.post(reverse("admin:accounts_user_reset_second_factor", args=[alice.pk]), {"_form_submitted": "true"})
    assert (SecondFactor.objects.count(), RecoveryCode.objects.count()) == (0, 0)
    entry = AuditEntry.objects.filter(action="user.second_factor_reset").get()
    assert (entry.actor_name, entry.object_name) == ("admin", "alice")
    assert entry.changes == {"second_factor": ["Authenticator app “Phone”", None]}
    assert not is_in(theirs)
    assert "Reset second factor" not in client.get(page).content.decode()


def test_nobody_else_takes_them_away(alice, bob):
    enrolled(alice)
    page = reverse("admin:accounts_user_reset_second_factor", args=[alice.pk])
    signed_in(bob).post(page, {"_form_submitted": "true"})
    assert second_factors.has(alice)


def test_the_command_helps_the_last_administrator(admin):
    enrolled(admin)
    out = StringIO()
    call_command("reset_second_factor", "admin@example.com", stdout=out)
    assert out.getvalue() == "1 second factor of admin removed.\n"
    assert not second_factors.has(admin)
    entry = AuditEntry.objects.get(action="user.second_factor_reset")
    assert (entry.actor_kind, entry.actor_name) == ("command", "reset_second_factor")
    with pytest.raises(CommandError, match="There is no account nobody"):
        call_command("reset_second_factor", "nobody")


def test_a_secret_whose_key_is_lost_opens_nothing_and_breaks_nothing(alice):
    secret, codes = enrolled(alice)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE second_factors SET secret = 'gAAAAlost'")
    client = gave_password()
    assert client.post(STEP, {"code": code_of(secret)}).status_code == 200
    assert client.post(STEP, {"code": codes[0]}).status_code == 302


def test_secrets_go_along_when_the_key_is_changed(alice, settings):
    settings.SECRETS_KEY = "a" * 40
    secret, _ = enrolled(alice)
    settings.SECRETS_KEY, settings.SECRETS_KEY_FALLBACKS = "b" * 40, ["a" * 40]
    call_command("rotate_secrets", stdout=StringIO())
    settings.SECRETS_KEY_FALLBACKS = []
    assert second_factors.check_code(alice, code_of(secret), address="", now=timezone.now())


# --- Where a password is asked for again -----------------------------------------------------------------------------


def test_guesses_of_the_old_password_are_counted_like_failed_sign_ins(alice, settings):
    settings.SIGN_IN_ATTEMPTS = 2
    client, new = signed_in(alice), "another horse battery"
    wrong = {"old_password": "wrong", "new_password1": new, "new_password2": new}
    page = reverse("admin:password_change")
    assert [client.post(page, wrong).status_code for _ in range(3)] == [200, 200, 429]
    answer = client.post(page, {**wrong, "old_password": PASSWORD})
    assert answer.status_code == 429
    assert "Too many failed sign-ins." in answer.content.decode()
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_an_enrolment_whose_key_is_gone_begins_again(alice, settings):
    client = signed_in(alice)
    settings.SECRETS_KEY = "o" * 40
    client.get("/admin/account/add_app/")
    settings.SECRETS_KEY, before = "n" * 40, client.session["new_app_secret"]
    answer = client.post("/admin/account/add_app/", {"name": "Phone", "code": "123456"})
    assert answer.status_code == 200
    assert "Let the app read the new picture." in answer.content.decode()
    assert client.session["new_app_secret"] != before


# --- Passkeys (those of a real browser are in test_passkeys) ---------------------------------------------------------

CLIENT_DATA = b'{"type": "webauthn.get", "challenge": "AAAA", "origin": "http://localhost"}'


@pytest.mark.parametrize("broken", [b"", b"\xa3", b"\x1b\x00", b"\x81" * 5000, b"\xff" * 36], ids=len)
@pytest.mark.parametrize("client_data", [b"[" * 100_000, CLIENT_DATA], ids=len)
def test_what_no_authenticator_says_is_refused_and_counted(alice, broken, client_data):
    # After 32 bytes of a digest: flags that promise extensions, and a counter.
    data = {"authenticatorData": b"\x00" * 32 + b"\x81" + b"\x00" * 4 + broken, "attestationObject": broken}
    told = {**data, "clientDataJSON": client_data, "signature": broken}
    sent = {name: base64.urlsafe_b64encode(value).decode() for name, value in told.items()}
    answer = json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": sent})
    state, now = {"challenge": "A" * 43, "user_verification": "preferred"}, timezone.now()
    with pytest.raises(DomainError, match="could not be added"):
        second_factors.add_passkey(alice, state, answer, name="Key", keep=None, now=now)
    with pytest.raises(Unauthorized, match="not recognised"):
        second_factors.check_passkey(alice, state, answer, address="192.0.2.1", now=now)
    assert actions() == ["user.second_factor_refused"]
    assert FailedSignIns.objects.exists()
