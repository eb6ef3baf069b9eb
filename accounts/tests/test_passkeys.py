"""Second factors in a real browser: passkeys of a virtual authenticator, and an app's codes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page

from accounts import second_factors
from accounts.models import LoginSession, SecondFactor
from accounts.second_factors import code_at, current_step
from accounts.tests.factories import PASSWORD, make_user
from audit.models import AuditEntry
from cronsched.tests.browser import opened_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(400),
]


@pytest.fixture
def address(live_server, settings):
    """Serve the console where passkeys may be used: a bare IP address is no place for them."""
    settings.PUBLIC_BASE_URL = live_server.url
    assert live_server.url.startswith("http://localhost:")
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
    return settings.PUBLIC_BASE_URL


def ask(question: Callable[[], Any]) -> Any:
    """Ask the database something in a thread of its own: the browser's event loop runs in this one."""
    from django.db import connections

    def answer() -> Any:
        try:
            return question()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(answer).result(60)


class Authenticator:
    """Chromium's own virtual security key."""

    def __init__(self, page: Page) -> None:
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.send("WebAuthn.enable")
        self._id = self._added()

    def _added(self) -> str:
        made = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        options = {**made, "isUserVerified": True, "automaticPresenceSimulation": True}
        return str(self._devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"])

    def credentials(self) -> list[dict[str, Any]]:
        found = self._devtools.send("WebAuthn.getCredentials", {"authenticatorId": self._id})
        return list(found["credentials"])

    def put_back(self, credential: dict[str, Any], **changes: Any) -> None:
        """Put a credential there, as one who has copied it does."""
        kept = {"authenticatorId": self._id, "credentialId": credential["credentialId"]}
        self._devtools.send("WebAuthn.removeCredential", kept)
        added = {"authenticatorId": self._id, "credential": {**credential, **changes}}
        self._devtools.send("WebAuthn.addCredential", added)

    def clear(self) -> None:
        self._devtools.send("WebAuthn.clearCredentials", {"authenticatorId": self._id})


def watch(page: Page) -> list[str]:
    wrong: list[str] = []
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    return wrong


def give_password(page: Page, address: str, *, to: str = "") -> None:
    page.goto(f"{address}/admin/login/{to}")
    page.fill("[name=username]", "alice")
    page.fill("[name=password]", PASSWORD)
    page.click("#login-form [type=submit]")


def sign_out(page: Page) -> None:
    page.context.clear_cookies()


def test_a_passkey_is_made_used_and_refused_when_it_was_copied(address):
    make_user("alice")
    with opened_page() as page:
        key, wrong = Authenticator(page), watch(page)
        give_password(page, address)
        page.wait_for_url(f"{address}/admin/")
        page.goto(f"{address}/admin/account/")
        page.click("text=Add a passkey")
        page.fill("[name=name]", "Laptop")
        page.click("text=Make a passkey")
        page.wait_for_selector("#recovery-codes")
        assert len(page.locator("#recovery-codes li").all()) == 10
        page.click("text=I have kept them")
        page.wait_for_selector("[value=Laptop]")
        (credential,) = key.credentials()

        sign_out(page)
        give_password(page, address, to="?next=/admin/jobs/job/")
        page.wait_for_url(f"{address}/admin/second_factor/")
        page.goto(f"{address}/admin/")
        assert "/admin/login/" in page.url
        page.goto(f"{address}/admin/second_factor/")
        page.click("text=Use a passkey")
        page.wait_for_url(f"{address}/admin/jobs/job/")
        assert wrong == []

        # A copy that has counted less than the passkey itself has.
        key.put_back(credential, signCount=0)
        sign_out(page)
        give_password(page, address)
        page.wait_for_url(f"{address}/admin/second_factor/")
        page.click("text=Use a passkey")
        page.wait_for_selector("text=This passkey was not recognised.")

        # An authenticator that does not know the account has nothing to answer.
        key.clear()
        page.click("text=Use a passkey")
        page.wait_for_selector("#passkey-trouble:has-text('The browser did not take it')")
    assert SecondFactor.objects.get().name == "Laptop"
    reasons = AuditEntry.objects.filter(action="user.signed_in").values_list("reason", flat=True)
    assert "by Passkey “Laptop”" in reasons
    assert AuditEntry.objects.filter(action="user.second_factor_refused").count() == 1


def test_a_passkey_works_at_its_address_only(address):
    user, other = make_user("alice"), address.replace("localhost", "127.0.0.1")
    with opened_page() as page:
        Authenticator(page)
        give_password(page, other)
        page.goto(f"{other}/admin/account/add_passkey/")
        page.click("text=Make a passkey")
        page.wait_for_selector(f"#passkey-trouble:has-text('Passkeys work at {address} only.')")
    assert not second_factors.has(user)


def test_an_answer_to_another_challenge_counts_nowhere(address):
    user = make_user("alice")
    with opened_page() as page:
        key = Authenticator(page)
        give_password(page, address)
        page.goto(f"{address}/admin/account/add_passkey/")
        page.click("text=Make a passkey")
        page.wait_for_selector("#recovery-codes")
        assert len(key.credentials()) == 1
        sign_out(page)
        give_password(page, address)
        page.wait_for_url(f"{address}/admin/second_factor/")
        answer = page.evaluate(
            """async () => {
              const options = JSON.parse(document.getElementById("passkey-options").textContent);
              const asked = PublicKeyCredential.parseRequestOptionsFromJSON(options);
              return JSON.stringify((await navigator.credentials.get({ publicKey: asked })).toJSON());
            }"""
        )
        # The page asks anew each time it is shown, so what was signed before is over.
        page.goto(f"{address}/admin/second_factor/")
        page.evaluate(
            """(answer) => {
              const form = document.getElementById("passkey-form");
              form.elements.passkey.value = answer;
              form.submit();
            }""",
            answer,
        )
        page.wait_for_selector("text=This passkey was not recognised.")
    # Nor is it taken twice by whoever holds the challenge.
    state = {"challenge": "A" * 43, "user_verification": "preferred"}
    for nonsense in ("", "x", "[]", "{}", "null", '{"id": 1}', "[" * 100_000, answer.replace("rawId", "raw")):
        with pytest.raises(Exception, match=r"This passkey was not recognised|Too many failed"):
            second_factors.check_passkey(user, state, nonsense, address="", now=timezone.now())


def test_an_app_is_added_and_used_in_the_browser(address, settings):
    settings.REQUIRE_SECOND_FACTOR = "EVERYBODY"
    user = make_user("alice")
    with opened_page() as page:
        wrong = watch(page)
        give_password(page, address)
        page.wait_for_url(f"{address}/admin/account/")
        page.wait_for_selector("text=A second factor is required of you.")
        page.get_by_role("link", name="Add an authenticator app").click()
        picture = page.locator("#app-picture svg").bounding_box()
        assert picture is not None
        assert picture["width"] > 150
        secret = page.inner_text("#app-secret").replace(" ", "")
        page.fill("[name=code]", code_at(secret, current_step(timezone.now())))
        page.click("#app_form [type=submit]")
        codes = page.locator("#recovery-codes li").all_inner_texts()
        assert len(codes) == 10
        sign_out(page)
        give_password(page, address)
        page.wait_for_url(f"{address}/admin/second_factor/")
        page.fill("[name=code]", "000000")
        page.click("text=Go on")
        page.wait_for_selector("text=This code is wrong, has run out or was used already.")
        page.fill("[name=code]", codes[0])
        page.click("text=Go on")
        page.wait_for_url(f"{address}/admin/")
        page.goto(f"{address}/admin/account/")
        page.wait_for_selector("text=9 recovery codes left")
        sign_out(page)
        step = current_step(timezone.now())
        ask(lambda: SecondFactor.objects.update(counter=step - 2))
        give_password(page, address)
        page.fill("[name=code]", code_at(secret, current_step(timezone.now())))
        page.click("text=Go on")
        page.wait_for_url(f"{address}/admin/")
        assert wrong == []
    assert LoginSession.objects.filter(user=user).exists()
