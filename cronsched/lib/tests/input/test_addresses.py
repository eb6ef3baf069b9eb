"""Which addresses may stand on a job or a team."""

import pytest

from cronsched.lib.errors import DomainError
from cronsched.lib.input import addresses

LOCAL = "a" * 64


def longest(length: int) -> str:
    return f"{LOCAL}@{'b' * 63}.{'c' * 63}.{'d' * (length - 197)}.com"


def refusal(items: list[object]) -> str | None:
    with pytest.raises(DomainError) as refused:
        addresses.checked(items, field="emails")
    assert (refused.value.error, refused.value.field) == ("Invalid emails", "emails")
    return refused.value.message


def test_an_address_has_254_characters_at_most():
    assert len(longest(254)) == 254
    assert addresses.checked([f" {longest(254)} "], field="emails") == [longest(254)]
    assert refusal([longest(255)]) == "emails must contain valid email addresses."


@pytest.mark.parametrize("item", ["a", "", None, 1, ["a@example.com"], "a@example.com\nb@example.com", "a\x00@b.com"])
def test_what_is_no_address_is_refused(item):
    assert refusal([item]) == "emails must contain valid email addresses."


def test_there_may_be_20():
    many: list[object] = [f"p{number}@example.com" for number in range(21)]
    assert len(addresses.checked(many[:20], field="emails")) == 20
    assert refusal(many) == "emails may hold at most 20 addresses. Use a distribution list for more."


def test_domains_may_be_limited(settings):
    settings.NOTIFICATION_EMAIL_DOMAINS = ["example.com", ".example.org"]
    allowed = ["a@Example.com", "a@mail.example.org"]
    assert addresses.checked(allowed, field="emails") == allowed
    for address in ("a@mail.example.com", "a@example.org", "a@badexample.org"):
        assert refusal([address]) == "emails may hold addresses of these domains only: example.com, .example.org."
