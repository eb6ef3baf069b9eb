import pytest

from cronsched.lib.http import RequestError
from cronsched.lib.http.urls import parse, parse_any


@pytest.mark.parametrize("url", ["http://localhost:0/", "https://example.com:0", "http://[::1]:00/"])
def test_port_zero_is_refused_and_not_taken_for_the_schemes_own(url):
    with pytest.raises(RequestError, match="the port is not valid"):
        parse(url)


@pytest.mark.parametrize("sign", ["\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060", "\u00a0", "\u202e", "\u2028"])
@pytest.mark.parametrize("url", ["http://example{}.com/", "http://example.com/a{}b", "http://example.com/?q={}x"])
def test_characters_that_cannot_be_seen_are_refused_by_their_number(url, sign):
    with pytest.raises(RequestError, match=f"U\\+{ord(sign):04X}"):
        parse(url.format(sign))


@pytest.mark.parametrize("url", ["http://b\u00fccher.example/", "http://example.com/\u65e5\u672c"])
def test_letters_of_other_scripts_are_fine(url):
    assert parse(url).server.port == 80


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://example.com:8443/a/b.c?d=e&f=g/h?i",
        "http://example.com//a//b/",
        "http://example.com/a/..b/c..",
        "http://example.com/a/./b/../c",
        "http://example.com/a b%20c?d=%2F",
        "http://example.com/a?b#c",
        "http://example.com",
        "http://example.com?a",
        "http://user:p%40ss@example.com/a",
        "http://[::1]:8080/a?b",
        "http://EXAMPLE.com:80/A",
        "http://example.com./a",
        "http://example.com/;a=b,c'(d)*!$~",
    ],
)
def test_the_short_way_of_plain_urls_leads_to_the_same(url):
    assert parse(url) == parse_any(url)


@pytest.mark.parametrize(
    "one, other",
    [
        ("https://h.test/", "https://h.test:443/x"),
        ("http://h.test/", "http://H.TEST:80/"),
        ("http://h.test./", "http://user:secret@h.test/"),
    ],
)
def test_requests_to_one_host_are_counted_together(one, other):
    assert parse(one).server.origin == parse(other).server.origin
